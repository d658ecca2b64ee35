"""What a file is: told from its bytes, never from its name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextgpt_core.errors import UnsupportedMedia
from nextgpt_core.modalities import containers
from nextgpt_core.modalities.image import FORMATS, identified
from nextgpt_core.modalities.limits import display_name
from nextgpt_core.modalities.reading import Stop, read
from nextgpt_core.modalities.soundtrack import stored_format

START = 4096  # bytes that are looked at
# First bytes that nothing else has, by their place: where no reader takes such a file, it is damaged.
Marks = dict[int, tuple[bytes, ...]]
PICTURES: Marks = {0: (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"), 8: (b"WEBP",)}
RECORDINGS: Marks = {
    0: (b"fLaC", b"OggS", b"FORM", b"caff", b".snd", b"ID3", b"#!AMR", b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x30\x26\xb2\x75", b".RMF"),
    4: (b"ftyp", b"moov", b"mdat", b"free", b"wide"),
    8: (b"WAVE", b"AVI "),
}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
# What a list of other files or addresses begins with: HLS, FFmpeg's concat, SDP, PLS, old ASX, and DASH, SMIL, ASX, XSPF in XML.
PLAYLIST = re.compile(
    rb"#EXTM3U|ffconcat version|v=0\s+o=|\[playlist\]|\[Reference\]|(<[?!][^>]*>\s*)*<(MPD|smil|asx|playlist|SmoothStreamingMedia)[\s>]",
    re.IGNORECASE,
)
PLAIN_PIXMAP = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+(#[^\n]*\n\s*)*\d+\s")  # the one picture that may be text
KINDS = ("image", "video", "audio")
SUFFIX = re.compile(r"\.[a-z0-9]{2,4}")
CONTROL = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")
FRAMES = 3  # that must decode where only probing says what a file is


@dataclass(frozen=True)
class Found:
    """What a file was recognised as."""

    modality: str
    suffix: str  # what such a file is called, whatever this one's name is
    playable: bool  # every browser shows it as it is


@dataclass(frozen=True)
class Look:
    """All that is to be known of a file that was just chosen."""

    found: Found
    facts: dict[str, Any]  # what the modality's `describe` gives
    provenance: dict[str, Any] | None


def sniff(path: Path) -> str:
    """The modality ("image", "video", "audio") of a file. Raises UnsupportedMedia with what to do instead."""
    return _checked(read("sniff", path).facts, path).modality


def look(path: Path, *, cancelled: Stop = None) -> Look:
    """`sniff`, `describe` and `read_provenance` at once. Raises MediaError, or Cancelled."""
    facts = read("look", path, cancelled=cancelled).facts
    described, provenance = facts.get("facts"), facts.get("provenance")
    return Look(
        _checked(facts.get("found"), path),
        described if isinstance(described, dict) else {},
        provenance if isinstance(provenance, dict) else None,
    )


def _checked(facts: Any, path: Path) -> Found:
    """What a helper found, where it can be meant."""
    try:
        found = Found(facts["modality"], facts["suffix"], facts["playable"] is True)
        if found.modality in KINDS and SUFFIX.fullmatch(found.suffix):
            return found
    except (KeyError, TypeError):
        pass
    raise UnsupportedMedia(f"{display_name(path)} is damaged and cannot be read; please send it again.")


def recognise(path: Path) -> Found:
    """In the helper: what a file is. Raises UnsupportedMedia with what to do instead."""
    with path.open("rb") as file:
        start = file.read(START)
    name = display_name(path)
    if PLAYLIST.match(start.lstrip(b"\xef\xbb\xbf \t\r\n")):
        raise UnsupportedMedia(f"{name} is a playlist, which only names other files; please send those files themselves.")
    if not PLAIN_PIXMAP.match(start) and is_text(start):
        raise UnsupportedMedia(
            f"{name} is not a picture, sound or video that can be read but text; please write or paste it into the message instead."
        )
    if is_heic(start):
        raise UnsupportedMedia(f"{name} is a HEIC picture, which cannot be read here; please send it as JPEG or PNG.")
    found = _picture(path)
    if found is None and (_begins(start, PICTURES) or is_avif(start)):
        raise UnsupportedMedia(f"{name} is damaged or cut off and cannot be shown; please send it again.")
    found = found or _recording(path, certain=_begins(start, RECORDINGS)) or _sound(path)
    if found is not None:
        return found
    if _begins(start, RECORDINGS):
        raise UnsupportedMedia(f"{name} is damaged or cut off and cannot be played; please send it again.")
    raise UnsupportedMedia(f"{name} is not a picture, sound or video that can be read; please send PNG, JPEG, WAV, MP3 or MP4.")


def _begins(start: bytes, marks: Marks) -> bool:
    return any(start[place:].startswith(some) for place, some in marks.items())


def is_text(start: bytes) -> bool:
    """Whether these first bytes are words, in whatever encoding. Every picture, sound and video has control characters among its own."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        words = start[: len(start) // 2 * 2].decode("utf-16", "replace")
        return sum(one.isprintable() or one.isspace() for one in words) > 0.95 * len(words)
    if CONTROL & set(start):
        return False
    try:
        start.decode("utf-8")
        return True
    except UnicodeDecodeError as error:
        if error.start >= len(start) - 3:  # a character cut in two at the end
            return True
    return 32 <= start[0] < 127 and sum(one < 128 for one in start) > 0.7 * len(start)


def is_avif(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and bool(_brands(start) & AVIF_BRANDS)


def is_heic(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS and not is_avif(start)


def _brands(start: bytes) -> set[bytes]:
    end = min(int.from_bytes(start[:4], "big"), 256)
    return {start[8:12], *(start[i : i + 4] for i in range(16, end - 3, 4))}


def _picture(path: Path) -> Found | None:
    kind, moves = identified(path)
    if kind is None:
        return None
    suffix, playable = FORMATS[kind]
    return Found("video" if moves else "image", suffix, playable)


def _recording(path: Path, *, certain: bool) -> Found | None:
    """A container that PyAV opens is a video if it has a moving picture (a cover does not count), else a sound."""
    try:
        with containers.opened_container(path) as container:
            streams = containers.moving_streams(container) or list(container.streams.audio)
            if not streams and certain:
                raise UnsupportedMedia(f"{display_name(path)} has neither moving pictures nor sound in it; please choose another file.")
            if not streams or not (certain or _decodes(container, streams[0])):
                return None
            return Found(streams[0].type, containers.suffix_of(container), containers.plays_in_browsers(container))
    except containers.DAMAGE:
        return None


def _decodes(container: Any, stream: Any) -> bool:
    """Whether frames come out of it: probing finds a sound in almost anything."""
    good = bad = 0
    if stream.codec_context is None:
        return False
    for packet in containers.packets_of(container, stream):
        try:
            good += len(packet.decode())
        except containers.DAMAGE:
            bad += 1
        if good >= FRAMES or bad > 50:
            break
    return good > bad


def _sound(path: Path) -> Found | None:
    """One of the rarer formats that soundfile knows."""
    kind = stored_format(path)
    return None if kind in (None, "MP3") else Found("audio", f".{kind.lower()[:4]}", False)
