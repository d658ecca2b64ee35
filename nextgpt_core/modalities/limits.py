"""How much of a file is read at most, and how files, sizes and lengths are called in a sentence."""

from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds checked before and while a file is decoded."""

    max_bytes: int
    max_pixels: int | None = None  # of one picture or frame
    max_decoded_pixels: int | None = None  # of all frames that are decoded together; the rest is not looked at
    max_seconds: float | None = None  # what is used; longer files are cut, and the page says so
    max_file_seconds: float | None = None  # longer files are refused
    max_frames: int | None = None  # of a video; chosen evenly over what is used


def display_name(path: Path) -> str:
    """A file's name as it may stand in a sentence: printable, on one line, at most 60 characters."""
    name = "".join(character if character.isprintable() else "?" for character in path.name)
    return f"{name[:40]}…{name[-19:]}" if len(name) > 60 else name


def check_size(path: Path, limits: Limits) -> None:
    """Refuse what is missing, empty or too big before anything reads it."""
    if not path.is_file():
        raise UnsupportedMedia(f"{display_name(path)} is not there any more; please add it again.")
    size = path.stat().st_size
    if size == 0:
        raise UnsupportedMedia(f"{display_name(path)} is empty (0 bytes); please choose another file.")
    if size > limits.max_bytes:
        raise MediaTooLarge(
            f"{display_name(path)} has {megabytes(size)} and at most {megabytes(limits.max_bytes)} can be read; please send a smaller file."
        )


def megabytes(size: int) -> str:
    return f"{max(1, round(size / 2**20)):,} MB"


def duration(seconds: float) -> str:
    """3.2 -> "3.2 s", 75 -> "1:15 min", 10800 -> "3:00:00 h"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} h"


def used_part(seconds: float, noun: str) -> str:
    """The note of a file whose beginning is used."""
    return f"The first {seconds:.{0 if seconds >= 1 else 1}f} s of this {noun} are used."
