"""Videos (and animated GIF, WebP, PNG): a bounded number of evenly spaced RGB frames; MP4 with provenance out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia
from nextgpt_core.messages import Media
from nextgpt_core.modalities.animation import animation_facts, animation_frames, is_animation
from nextgpt_core.modalities.base import ReadApart
from nextgpt_core.modalities.containers import (
    DAMAGE,
    Length,
    claimed_seconds,
    moving_streams,
    opened_container,
    packets_of,
    refuse_long,
    usable_stream,
)
from nextgpt_core.modalities.image import MAX_ASPECT
from nextgpt_core.modalities.limits import Limits, display_name, duration, used_part
from nextgpt_core.modalities.provenance import decode_provenance, encode_provenance
from nextgpt_core.modalities.reading import Answer

LONG_SIDE = 512  # frames are read at this size at most; no encoder looks closer
DEFAULT_FPS = 8.0
FRAME_COST = 100_000  # pixels: the smallest frame takes that much work
BAD_PACKETS = 100  # are passed over

TimedFrame = tuple[float, np.ndarray]  # seconds from the start, uint8 [H, W, 3]


@dataclass(frozen=True, eq=False)
class VideoClip:
    """A silent video: uint8 [T, H, W, 3], evenly spaced at `fps`."""

    frames: np.ndarray
    fps: float = DEFAULT_FPS

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps


class VideoSpec(ReadApart):
    """How videos are read, described and written."""

    name = "video"
    noun = "video"
    signal = "VID"
    suffixes: tuple[str, ...] = (
        *(".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".mpg", ".mpeg", ".m2v", ".ogv", ".wmv", ".flv", ".ts", ".mts", ".m2ts", ".3gp"),
    )
    mime_types: tuple[str, ...] = ("video/*",)
    save_suffix = ".mp4"
    limits = Limits(
        max_bytes=2**31,
        max_pixels=36_000_000,
        max_decoded_pixels=3_000_000_000,  # twenty seconds of 1920 x 1080 at 60 frames a second
        max_seconds=20.0,
        max_file_seconds=24 * 3600.0,
        max_frames=32,
    )

    def load_here(self, path: Path, limits: Limits) -> VideoClip:
        """The first `max_seconds` of a video -> VideoClip of at most `max_frames` upright frames, evenly spaced over them."""
        most = limits.max_frames or 10_000
        if is_animation(path):
            kept = thin_out(_until(limits.max_seconds, animation_frames(path, limits)), 2 * most, scaled)
        else:
            kept = thin_out(_until(limits.max_seconds, container_frames(path, limits)), 2 * most, Upright())
        if not kept:
            raise UnsupportedMedia(f"{display_name(path)} has no frame that can be shown; please send another video.")
        return even_clip(kept, limits.max_frames or len(kept))

    def describe_here(self, path: Path, limits: Limits) -> dict[str, Any]:
        facts, within = _animation_facts(path, limits) if is_animation(path) else _container_facts(path, limits)
        refuse_long(facts["seconds"], path, limits)
        used = min(facts["seconds"], within, limits.max_seconds or facts["seconds"])
        note = used_part(used, self.noun) if facts["seconds"] > used + 0.05 else None
        summary = f"{facts['width']} × {facts['height']}, {duration(facts['seconds'])}"
        return {**facts, "used_seconds": used, "summary": summary, "note": note}

    def provenance_here(self, path: Path) -> dict[str, Any] | None:
        try:
            with opened_container(path) as container:
                return decode_provenance(container.metadata.get("comment"))
        except DAMAGE:
            return None

    def save(self, content: np.ndarray | VideoClip, path: Path, *, provenance: dict[str, Any]) -> Media:
        """uint8 [T, H, W, 3] (at `provenance["fps"]`, 8 if not said) or a VideoClip -> H.264 MP4 with a comment.

        The same frames give the same bytes from 64 x 64 on (x264 reads memory that it never set in smaller ones).
        """
        from nextgpt_core.modalities.writing import write_mp4  # those who only read, and start for it, need no imageio

        clip = content if isinstance(content, VideoClip) else VideoClip(np.asarray(content), float(provenance.get("fps", DEFAULT_FPS)))
        frames = _padded(np.asarray(clip.frames, dtype=np.uint8))
        write_mp4(path, frames, fps=clip.fps, comment=encode_provenance(provenance))
        height, width = clip.frames.shape[1:3]
        size = {"width": width, "height": height, "frames": len(frames)}
        return Media("video", path, {**provenance, **size, "fps": clip.fps, "seconds": clip.seconds})

    def pack(self, content: VideoClip) -> tuple[dict[str, Any], np.ndarray]:
        return {"fps": content.fps}, content.frames

    def unpack(self, answer: Answer) -> VideoClip:
        frames, fps = answer.array, float(answer.facts["fps"])
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or frames.size == 0 or not 0 < fps < 1e6:
            raise ValueError("this is no video")
        return VideoClip(frames, fps)


def thin_out(frames: Iterable[tuple[float, Any]], capacity: int, pixels: Callable[[Any], np.ndarray] = np.asarray) -> list[TimedFrame]:
    """Frames spread over a video of unknown length in bounded memory: when the store is full, every second one goes and the step doubles.
    `pixels` is asked for those that are kept."""
    kept: list[TimedFrame] = []
    gap = 0.0
    for seconds, frame in frames:
        if kept and seconds < kept[-1][0] + gap * 0.999:
            continue
        kept.append((seconds, pixels(frame)))
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


def container_frames(path: Path, limits: Limits) -> Iterator[tuple[float, Any]]:
    """Seconds from the start and PyAV's frame, as many as `limits` allow to decode. What is damaged is passed over, if anything is left.
    (By PyAV itself: imageio tells neither a frame's time nor its rotation, and ends at the first damage.)"""
    first: float | None = None
    shown = bad = work = 0
    try:
        with opened_container(path) as container:
            stream = checked_stream(container, path, limits)
            refuse_long(claimed_seconds(container), path, limits)
            for packet in packets_of(container, stream):
                try:
                    frames = packet.decode()
                except DAMAGE:
                    bad += 1
                    frames = []
                for frame in frames:
                    check_frame(frame.width, frame.height, path, limits)
                    at = frame.time if frame.time is not None else shown / DEFAULT_FPS
                    first = at if first is None else first
                    yield at - first, frame
                    shown += 1
                    work += max(FRAME_COST, frame.width * frame.height)
                if bad > BAD_PACKETS or (limits.max_decoded_pixels is not None and work > limits.max_decoded_pixels):
                    break
    except DAMAGE as error:
        if not shown:
            raise UnsupportedMedia(f"{display_name(path)} is damaged or cut off and cannot be played; please send it again.") from error
    if bad and not shown:
        raise UnsupportedMedia(f"{display_name(path)} is damaged or cut off and cannot be played; please send it again.")


class Upright:
    """PyAV's frames -> uint8 [H, W, 3], upright, all of one size, also where a stream changes its own."""

    def __init__(self, long_side: int = LONG_SIDE) -> None:
        self._long_side = long_side
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        self._size = self._size or reading_size(frame.width, frame.height, self._long_side)
        pixels = frame.to_ndarray(format="rgb24", width=self._size[0], height=self._size[1])
        return np.rot90(pixels, round(frame.rotation / 90) % 4)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of any size -> with sides of at most LONG_SIDE."""
    size = reading_size(pixels.shape[1], pixels.shape[0])
    same = size == (pixels.shape[1], pixels.shape[0])
    return pixels if same else np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def checked_stream(container: Any, path: Path, limits: Limits) -> Any:
    """The first video stream that can be decoded, of a sane size and length by what the container says."""
    streams = moving_streams(container)
    if not streams:
        raise UnsupportedMedia(f"{display_name(path)} has no moving picture in it; please send another video.")
    stream = usable_stream(streams, path)
    check_frame(stream.width, stream.height, path, limits)
    if limits.max_pixels is not None:  # also of what comes later in it
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
    return stream


def check_frame(width: int, height: int, path: Path, limits: Limits) -> None:
    if limits.max_pixels is not None and width * height > limits.max_pixels:
        raise MediaTooLarge(f"{display_name(path)} is {width} × {height} pixels large, which is too much; please send a smaller copy.")
    if max(width, height) > MAX_ASPECT * min(width, height) > 0:
        raise UnsupportedMedia(f"{display_name(path)} is too narrow a strip ({width} × {height}); please crop it and send it again.")


def reading_size(width: int, height: int, long_side: int = LONG_SIDE) -> tuple[int, int]:
    scale = min(1.0, long_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _until(seconds: float | None, frames: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
    for at, frame in frames:
        if seconds is not None and at > seconds:
            return
        yield at, frame


def _container_facts(path: Path, limits: Limits) -> tuple[dict[str, Any], float]:
    """Size, length and whether there is sound; and the seconds that are decoded at most."""
    frame, bad = None, 0
    try:
        with opened_container(path) as container:
            stream = checked_stream(container, path, limits)
            length = Length(container, stream, path.stat().st_size)
            for packet in packets_of(container, stream):
                if frame is None and bad <= BAD_PACKETS:
                    try:
                        frame = next(iter(packet.decode()), None)
                    except DAMAGE:
                        bad += 1
                if not length.take(packet):
                    break
            if frame is None and not bad:
                raise UnsupportedMedia(f"{display_name(path)} has no frame that can be shown; please send another video.")
            if frame is None:
                raise ValueError("no frame can be decoded")
            check_frame(frame.width, frame.height, path, limits)
            width, height = (frame.height, frame.width) if round(frame.rotation / 90) % 2 else (frame.width, frame.height)
            facts = {"width": width, "height": height, "seconds": length.seconds, "sound": bool(container.streams.audio)}
            cost = max(FRAME_COST, width * height) * length.packets_per_second
            return facts, (limits.max_decoded_pixels / cost if limits.max_decoded_pixels is not None and cost else float("inf"))
    except DAMAGE as error:
        raise UnsupportedMedia(f"{display_name(path)} is damaged or cut off and cannot be played; please send it again.") from error


def _animation_facts(path: Path, limits: Limits) -> tuple[dict[str, Any], float]:
    (width, height), seconds, within = animation_facts(path, limits)
    return {"width": width, "height": height, "seconds": seconds, "sound": False}, within


def _padded(frames: np.ndarray) -> np.ndarray:
    """Repeat the last row or column where a side is odd: H.264 with 4:2:0 colour needs even ones."""
    _, height, width, _ = frames.shape
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")


VIDEO = VideoSpec()
