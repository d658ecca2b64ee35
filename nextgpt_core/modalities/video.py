"""Films (and animated GIF, WebP, PNG): a bounded number of evenly spaced RGB frames; MP4 with provenance out."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image, ImageSequence

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia
from nextgpt_core.messages import Media
from nextgpt_core.modalities.base import Limits, check_size, decode_provenance, display_name, duration, encode_provenance
from nextgpt_core.modalities.image import opened, to_rgb

LONG_SIDE = 512  # frames are read at this size at most; no encoder looks closer
DEFAULT_FPS = 8.0
ANIMATED = {b"GIF8", b"RIFF", b"\x89PNG"}  # the first bytes of the formats that Pillow plays

TimedFrame = tuple[float, np.ndarray]  # seconds from the start, uint8 [H, W, 3]


@dataclass(frozen=True, eq=False)
class VideoClip:
    """A silent film: uint8 [T, H, W, 3], evenly spaced at `fps`."""

    frames: np.ndarray
    fps: float = DEFAULT_FPS

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps


class VideoSpec:
    """How films are read, described and written."""

    name = "video"
    noun = "video"
    signal = "VID"
    suffixes: tuple[str, ...] = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv", ".ts", ".3gp")
    mime_types: tuple[str, ...] = ("video/*",)
    save_suffix = ".mp4"
    limits = Limits(max_bytes=2**31, max_pixels=36_000_000, max_seconds=20.0, max_file_seconds=24 * 3600.0, max_frames=32)

    def load(self, path: Path, *, limits: Limits | None = None) -> VideoClip:
        """The first `max_seconds` of a film -> VideoClip of at most `max_frames` upright frames, evenly spaced over them."""
        limits = limits or self.limits
        check_size(path, limits)
        kept = thin_out(_frames(path, limits), 2 * (limits.max_frames or 10_000))
        if not kept:
            raise UnsupportedMedia(f"{display_name(path)} has no frame that can be shown; please send another video.")
        return even_clip(kept, limits.max_frames or len(kept))

    def describe(self, path: Path, *, limits: Limits | None = None) -> dict[str, Any]:
        limits = limits or self.limits
        check_size(path, limits)
        facts = _animation_facts(path, limits) if _is_animation(path) else _container_facts(path, limits)
        used = min(facts["seconds"], limits.max_seconds or facts["seconds"])
        note = f"The first {used:.0f} s of this video are used." if facts["seconds"] > used + 0.05 else None
        summary = f"{facts['width']} × {facts['height']}, {duration(facts['seconds'])}"
        return {**facts, "used_seconds": used, "summary": summary, "note": note}

    def save(self, content: np.ndarray | VideoClip, path: Path, *, provenance: dict[str, Any]) -> Media:
        """uint8 [T, H, W, 3] (at `provenance["fps"]`, 8 if not said) or a VideoClip -> H.264 MP4 with a comment.

        The same frames give the same bytes from 64 x 64 on (x264 reads memory that it never set in smaller ones).
        """
        clip = content if isinstance(content, VideoClip) else VideoClip(np.asarray(content), float(provenance.get("fps", DEFAULT_FPS)))
        frames = _padded(np.asarray(clip.frames, dtype=np.uint8))
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata["comment"] = encode_provenance(provenance)
            stream = container.add_stream("libx264", rate=Fraction(clip.fps).limit_denominator(1000))
            stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
            stream.options = {"crf": "16", "threads": "1"}  # one thread: the same bytes whatever the machine's load
            for pixels in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
            container.mux(stream.encode())
        height, width = clip.frames.shape[1:3]
        size = {"width": width, "height": height, "frames": len(frames)}
        return Media("video", path, {**provenance, **size, "fps": clip.fps, "seconds": clip.seconds})

    def read_provenance(self, path: Path) -> dict[str, Any] | None:
        try:
            with av.open(str(path), metadata_errors="replace") as container:
                return decode_provenance(container.metadata.get("comment"))
        except (FFmpegError, OSError, ValueError):
            return None


def thin_out(frames: Iterator[TimedFrame], capacity: int) -> list[TimedFrame]:
    """Frames spread over a film of unknown length in bounded memory: when the store is full, every second one goes and the step doubles."""
    kept: list[TimedFrame] = []
    gap = 0.0
    for seconds, pixels in frames:
        if kept and seconds < kept[-1][0] + gap * 0.999:
            continue
        kept.append((seconds, pixels))
        if len(kept) > capacity:
            kept = kept[::2]
            gap = (kept[-1][0] - kept[0][0]) / (len(kept) - 1)
    return kept


def even_clip(kept: list[TimedFrame], max_frames: int) -> VideoClip:
    """Frames at any times -> at most `max_frames` at even distances (nearest in time), so that a variable rate does not bend motion."""
    times = np.array([seconds for seconds, _ in kept])
    count = min(len(kept), max_frames)
    span = float(times[-1] - times[0])
    if count == 1 or span <= 0:
        return VideoClip(kept[0][1][None])
    nearest = [int(np.abs(times - t).argmin()) for t in np.linspace(times[0], times[-1], count)]
    return VideoClip(np.stack([kept[i][1] for i in nearest]), (count - 1) / span)


def _frames(path: Path, limits: Limits) -> Iterator[TimedFrame]:
    frames = _animation_frames(path, limits) if _is_animation(path) else _container_frames(path, limits)
    for seconds, pixels in frames:
        if limits.max_seconds is not None and seconds > limits.max_seconds:
            return
        yield seconds, pixels


def _container_frames(path: Path, limits: Limits) -> Iterator[TimedFrame]:
    """Decode until the used part ends; what is damaged after the first good frame just ends the film."""
    shown = 0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = _video_stream(container, path, limits)
            stream.thread_type = "AUTO"
            first = None
            size: tuple[int, int] | None = None
            for frame in container.decode(stream):
                at = frame.time if frame.time is not None else shown / DEFAULT_FPS
                first = at if first is None else first
                size = size or _reading_size(frame.width, frame.height)  # one size, also where a stream changes its own
                pixels = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                yield at - first, np.rot90(pixels, round(frame.rotation / 90) % 4)
                shown += 1
    except (FFmpegError, OSError, ValueError) as error:
        if not shown:
            raise UnsupportedMedia(f"{display_name(path)} is damaged or cut off and cannot be played; please send it again.") from error


def _container_facts(path: Path, limits: Limits) -> dict[str, Any]:
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = _video_stream(container, path, limits)
            frame = next(container.decode(stream), None)
            if frame is None:
                raise UnsupportedMedia(f"{display_name(path)} has no frame that can be shown; please send another video.")
            width, height = (frame.height, frame.width) if round(frame.rotation / 90) % 2 else (frame.width, frame.height)
            seconds = container.duration / av.time_base if container.duration else 0.0
            if not seconds:  # recorded by a browser: only playing it tells, up to the part that is used
                seconds = VIDEO.load(path, limits=limits).seconds
            return {"width": width, "height": height, "seconds": seconds, "sound": bool(container.streams.audio)}
    except (FFmpegError, OSError, ValueError) as error:
        raise UnsupportedMedia(f"{display_name(path)} is damaged or cut off and cannot be played; please send it again.") from error


def _video_stream(container: Any, path: Path, limits: Limits) -> Any:
    """The first real video stream (not a cover picture) of a sane size."""
    name = display_name(path)
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise UnsupportedMedia(f"{name} has no moving picture in it; please send another video.")
    stream = streams[0]
    if limits.max_pixels is not None and stream.width * stream.height > limits.max_pixels:
        raise MediaTooLarge(f"{name} is {stream.width} × {stream.height} pixels large, which is too much; please send a smaller copy.")
    seconds = container.duration / av.time_base if container.duration else 0.0
    if limits.max_file_seconds is not None and seconds > limits.max_file_seconds:
        raise MediaTooLarge(f"{name} is {duration(seconds)} long, which is too much; please send the part that matters.")
    return stream


def _is_animation(path: Path) -> bool:
    """True for GIF, WebP and PNG, which Pillow plays; AVI also begins with RIFF, so its own mark is looked at."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[:4] in ANIMATED and (start[:4] != b"RIFF" or start[8:12] == b"WEBP")


def _animation_frames(path: Path, limits: Limits) -> Iterator[TimedFrame]:
    with opened(path, limits) as picture:
        size = _reading_size(*picture.size)
        at = 0.0
        for frame in ImageSequence.Iterator(picture):
            pixels = to_rgb(frame.copy())
            if size != picture.size:
                pixels = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
            yield at, pixels
            at += _frame_seconds(frame)


def _animation_facts(path: Path, limits: Limits) -> dict[str, Any]:
    with opened(path, limits) as picture:
        width, height = picture.size
        seconds = sum(_frame_seconds(frame) for frame in ImageSequence.Iterator(picture))
    return {"width": width, "height": height, "seconds": seconds, "sound": False}


def _frame_seconds(frame: Image.Image) -> float:
    """How long a frame of an animation stands; browsers show "0" as a tenth of a second, and so do we."""
    milliseconds = float(frame.info.get("duration") or 0)
    return milliseconds / 1000 if milliseconds > 10 else 0.1


def _reading_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LONG_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _padded(frames: np.ndarray) -> np.ndarray:
    """Repeat the last row or column where a side is odd: H.264 with 4:2:0 colour needs even ones."""
    _, height, width, _ = frames.shape
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")


VIDEO = VideoSpec()
