"""Animated GIF, WebP and PNG: their frames by Pillow, one after the other; how long each stands by a walk over the file, as Pillow would
decode them all for that."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ImageSequence

from nextgpt_core.modalities.image import READING_PIXELS, opened, to_rgb
from nextgpt_core.modalities.limits import Limits

MAX_FRAMES = 100_000  # that are looked at
MAX_PIXELS = 16_000_000  # of a frame
COST = 20  # how much longer Pillow takes for a pixel than FFmpeg, by whose pace the limit is set
FRAME_COST = 4_000  # pixels: the smallest frame takes that much work


def is_animation(path: Path) -> bool:
    """True for GIF, WebP and PNG, which Pillow plays; AVI also begins with RIFF, so its own mark is looked at."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[:4] in (b"GIF8", b"\x89PNG") or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def animation_frames(path: Path, limits: Limits) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds from the start and uint8 [H, W, 3] of each frame; of the first ones where all would be too many pixels to decode."""
    with opened(path, _of_frames(limits)) as picture:
        at = 0.0
        for frame in islice(ImageSequence.Iterator(picture), frames_within(picture.size, limits)):
            yield at, to_rgb(frame, READING_PIXELS)
            at += _shown(float(frame.info.get("duration") or 0))  # decoded by now; a WebP does not know it before


def animation_facts(path: Path, limits: Limits) -> tuple[tuple[int, int], float, float]:
    """Width and height, the length in seconds, and how much of it is looked at. The first frame is decoded: damage is told now."""
    with opened(path, _of_frames(limits)) as picture:
        size = picture.size
        picture.load()
    with path.open("rb") as file:
        start = file.read(4)
        walk = {b"GIF8": _gif, b"RIFF": _webp}.get(start, _png)
        seconds = [_shown(one) for one in islice(walk(file), MAX_FRAMES)] or [0.1]
    return size, sum(seconds), sum(seconds[: frames_within(size, limits)])


def frames_within(size: tuple[int, int], limits: Limits) -> int:
    """How many frames of that size are decoded at most."""
    if limits.max_decoded_pixels is None:
        return MAX_FRAMES
    return min(MAX_FRAMES, max(1, limits.max_decoded_pixels // COST // max(FRAME_COST, size[0] * size[1])))


def _of_frames(limits: Limits) -> Limits:
    """Those of one frame: Pillow holds several at once."""
    return replace(limits, max_pixels=min(MAX_PIXELS, limits.max_pixels or MAX_PIXELS))


def _shown(milliseconds: float) -> float:
    """For how many seconds a browser shows a frame: "0" is a tenth of one."""
    return milliseconds / 1000 if milliseconds > 10 else 0.1


def _gif(file: IO[bytes]) -> Iterator[float]:
    """The milliseconds of each frame."""
    file.seek(10)
    _skip_palette(file, file.read(3)[:1])
    milliseconds = 0.0
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b"!":
            control = file.read(1) == b"\xf9"
            block = _skip_blocks(file)
            milliseconds = 10.0 * int.from_bytes(block[1:3], "little") if control else milliseconds
        else:
            _skip_palette(file, file.read(9)[8:])
            file.seek(1, 1)
            _skip_blocks(file)
            yield milliseconds
            milliseconds = 0.0


def _skip_palette(file: IO[bytes], flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 * 2 ** ((flags[0] & 7) + 1), 1)


def _skip_blocks(file: IO[bytes]) -> bytes:
    """Go past a row of blocks; gives the first one."""
    first = b""
    while (size := file.read(1)) not in (b"", b"\0"):
        if first:
            file.seek(size[0], 1)
        else:
            first = file.read(size[0])
    return first


def _webp(file: IO[bytes]) -> Iterator[float]:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        kind, size = struct.unpack("<4sI", head)
        inside = file.read(16)[12:15] if kind == b"ANMF" else None
        if inside is not None:
            yield float(int.from_bytes(inside, "little"))
        file.seek(size + size % 2 - (16 if inside is not None else 0), 1)


def _png(file: IO[bytes]) -> Iterator[float]:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind == b"fcTL" and size == 26:
            count, of = struct.unpack(">HH", file.read(26)[20:24].ljust(4, b"\0"))
            yield 1000.0 * count / (of or 100)
            size = 0
        file.seek(size + 4, 1)
