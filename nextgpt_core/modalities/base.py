"""What the system knows of one modality: how its files are loaded, bounded, saved, and what they are called."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia
from nextgpt_core.messages import Media

PROVENANCE_KEY = "nextgpt"  # the name of our text field where a format has named ones


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds checked before and while a file is decoded."""

    max_bytes: int
    max_pixels: int | None = None  # of one picture or frame
    max_seconds: float | None = None  # what is used; longer files are cut, and the page says so
    max_file_seconds: float | None = None  # longer files are refused
    max_frames: int | None = None  # of a film; chosen evenly over what is used


class ModalitySpec(Protocol):
    """One modality. Everything that is special about pictures, sounds or films lives behind this."""

    name: str  # "image", "video", "audio"
    noun: str  # what a person calls it: "picture", "video", "sound"
    signal: str  # the stem of its signal tokens: "IMG" gives [IMG0], [IMG1], …
    suffixes: tuple[str, ...]  # lower-case file suffixes that may be this
    mime_types: tuple[str, ...]
    save_suffix: str
    limits: Limits

    def load(self, path: Path, *, limits: Limits | None = None) -> Any:
        """File -> content. Image: uint8 [H, W, 3]. Audio: AudioClip. Video: VideoClip. Raises MediaError."""
        ...

    def describe(self, path: Path, *, limits: Limits | None = None) -> dict[str, Any]:
        """Cheap facts for the page. Always "summary" (a few words: size or length) and "note" (a sentence on what
        will be used of the file, or None); further keys by modality: width, height, seconds, used_seconds… Raises MediaError."""
        ...

    def save(self, content: Any, path: Path, *, provenance: dict[str, Any]) -> Media:
        """Write a made medium with its provenance in the file's metadata."""
        ...

    def read_provenance(self, path: Path) -> dict[str, Any] | None:
        """The provenance that `save` wrote, or None. Never raises on a file that is damaged or not ours."""
        ...


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
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} h"


def encode_provenance(provenance: dict[str, Any]) -> str:
    """Provenance as the text that goes into a file. It always says that the medium is machine-made."""
    return json.dumps({"ai_generated": True, **provenance}, ensure_ascii=True, sort_keys=True, default=str)


def decode_provenance(text: object) -> dict[str, Any] | None:
    """The inverse of `encode_provenance`; None for text that is not ours."""
    if not isinstance(text, str):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("ai_generated") is True else None
