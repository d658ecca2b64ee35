"""Containers of sound and video, opened so that a file reaches nothing but itself: PyAV with a list of formats, without protocols, and
without the file's name. (imageio's readers choose by name, take any format and follow addresses.)"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia
from nextgpt_core.modalities.limits import Limits, display_name, duration

# FFmpeg's demuxers that read one file by itself -> what it is called afterwards, as a video and as a sound. FFmpeg has some 370, among them
# playlists, capture devices and scripts, which name further files or addresses.
FORMATS: dict[str, tuple[str, str]] = {
    "mov": (".mp4", ".m4a"),
    "matroska": (".mkv", ".mka"),
    "avi": (".avi", ".avi"),
    "flv": (".flv", ".flv"),
    "asf": (".wmv", ".wma"),
    "mpeg": (".mpg", ".mpg"),
    "mpegts": (".ts", ".ts"),
    "mpegvideo": (".mpg", ".mpg"),
    "m4v": (".m4v", ".m4v"),
    "h264": (".h264", ".h264"),
    "hevc": (".h265", ".h265"),
    "ivf": (".ivf", ".ivf"),
    "dv": (".dv", ".dv"),
    "mxf": (".mxf", ".mxf"),
    "rm": (".rm", ".ra"),
    "ogg": (".ogv", ".ogg"),
    "wav": (".wav", ".wav"),
    "w64": (".w64", ".w64"),
    "aiff": (".aif", ".aif"),
    "caf": (".caf", ".caf"),
    "au": (".au", ".au"),
    "voc": (".voc", ".voc"),
    "flac": (".flac", ".flac"),
    "mp3": (".mp3", ".mp3"),
    "aac": (".aac", ".aac"),
    "ac3": (".ac3", ".ac3"),
    "eac3": (".eac3", ".eac3"),
    "dts": (".dts", ".dts"),
    "amr": (".amr", ".amr"),
    "ape": (".ape", ".ape"),
    "wv": (".wv", ".wv"),
    "tta": (".tta", ".tta"),
}
OPTIONS = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "none", "max_streams": "200"}
# Demuxer -> decoders of sound and of pictures.
_PCM = ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le")
IN_BROWSERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mov": (("aac", "mp3", "mp3float", "opus", "libopus", "flac"), ("h264", "av1", "libdav1d", "vp9")),
    "matroska": (("opus", "libopus", "vorbis"), ("vp8", "vp9", "av1", "libdav1d")),
    "wav": (_PCM, ()),
    "mp3": (("mp3", "mp3float"), ()),
    "flac": (("flac",), ()),
    "aac": (("aac",), ()),
    "ogg": (("opus", "libopus", "vorbis", "flac"), ()),
}
DAMAGE = (FFmpegError, OSError, ValueError, IndexError, OverflowError)
THREADS = 2  # of a decoder; each holds frames of its own
LONGEST = 1000 * 3600.0  # seconds that are said; no file is longer, whatever it claims
READ_AHEAD, PACKETS = 64 * 2**20, 200_000  # of a stream are read at most to find its length
RAW = ("mp3", "aac", "ac3", "eac3", "dts", "amr", "flac")  # one frame after the other: what they claim of the whole is a guess, or made up


class Nameless:
    """A file as libraries read it, without its name: none of them shall choose by it, or find other files beside it."""

    def __init__(self, path: Path) -> None:
        file = FileIO(path)
        self.read, self.readinto, self.seek, self.tell, self.close = file.read, file.readinto, file.seek, file.tell, file.close


@contextmanager
def opened_container(path: Path) -> Iterator[Any]:
    """A PyAV container of one of FORMATS. Raises FFmpegError, OSError or ValueError for anything else."""
    file = Nameless(path)
    try:
        with av.open(file, container_options=OPTIONS, metadata_errors="replace", buffer_size=2**18) as container:
            yield container
    finally:
        file.close()


def format_of(container: Any) -> str:
    """Its key in FORMATS."""
    return next(name for name in container.format.name.split(",") if name in FORMATS)


def moving_streams(container: Any) -> list[Any]:
    """Its video streams; a cover picture is none."""
    return [one for one in container.streams.video if not one.disposition & av.stream.Disposition.attached_pic]


def usable_stream(streams: list[Any], path: Path) -> Any:
    """The first stream that can be decoded, bounded in threads. Raises UnsupportedMedia where its codec is not known."""
    known = [one for one in streams if one.codec_context is not None]
    if not known:
        raise UnsupportedMedia(
            f"{display_name(path)} uses a codec that is not known here; please convert it to MP4 or MP3 and send it again."
        )
    known[0].thread_type, known[0].thread_count = "AUTO", THREADS
    return known[0]


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """Its packets, and one without content at the end; where the container breaks off, they end."""
    try:
        yield from container.demux(stream)
    except DAMAGE:
        return


class Length:
    """How long a stream is, by its packets: `take` them one by one."""

    def __init__(self, container: Any, stream: Any, size: int) -> None:
        """`size`: bytes of the file."""
        self._container, self._size = container, size
        self._base = float(stream.time_base or 0)
        self._first, self._last = math.inf, -math.inf
        self._sum = 0.0
        self._bytes = self._count = 0
        self._cut = False

    def take(self, packet: Any) -> bool:
        """Count a packet. False: that was enough."""
        length = (packet.duration or 0) * self._base
        self._sum += length
        if packet.pts is not None:
            self._first = min(self._first, packet.pts * self._base)
            self._last = max(self._last, packet.pts * self._base + length)
        self._bytes += packet.size
        self._count += bool(packet.size)
        self._cut = self._bytes > READ_AHEAD or self._count > PACKETS
        return not self._cut

    @property
    def seconds(self) -> float:
        """From the first to the last packet; of a stream that was not read to its end, what the container says of it."""
        raw = format_of(self._container) in RAW
        seen = self._sum if raw or self._last < self._first else self._last - self._first
        if not self._cut:
            return seen
        if raw:
            return seen * self._size / self._bytes
        return max(claimed_seconds(self._container), seen)

    @property
    def packets_per_second(self) -> float:
        seen = self._last - self._first
        return self._count / seen if 0 < seen < math.inf else 0.0


def claimed_seconds(container: Any) -> float:
    """What a container says of its length."""
    claim = (container.duration or 0) / av.time_base
    if format_of(container) == "matroska":  # it tells when it ends, not how long it is
        claim -= max(0, container.start_time or 0) / av.time_base
    return max(0.0, claim)


def refuse_long(seconds: float, path: Path, limits: Limits) -> None:
    if limits.max_file_seconds is not None and seconds > limits.max_file_seconds:
        length = duration(seconds) if seconds < LONGEST else f"more than {LONGEST / 3600:,.0f} h"
        raise MediaTooLarge(f"{display_name(path)} is {length} long, which is too much; please send the part that matters.")


def plays_in_browsers(container: Any) -> bool:
    """Whether every browser of today plays it as it is."""
    video = [one.codec_context and one.codec_context.name for one in moving_streams(container)]
    audio = [one.codec_context and one.codec_context.name for one in container.streams.audio]
    plain = all(one.codec_context and one.codec_context.pix_fmt in ("yuv420p", "yuvj420p") for one in moving_streams(container))
    heard, seen = IN_BROWSERS.get(format_of(container), ((), ()))
    return plain and set(audio[:1]) <= set(heard) and set(video[:1]) <= set(seen)


def suffix_of(container: Any) -> str:
    """What such a file is called, by what is in it."""
    name, video = format_of(container), bool(moving_streams(container))
    if name == "matroska" and plays_in_browsers(container):
        return ".webm" if video else ".weba"
    return FORMATS[name][0 if video else 1]
