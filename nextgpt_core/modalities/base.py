"""What the system knows of one modality: how its files are loaded, bounded, saved, and what they are called."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nextgpt_core.messages import Media


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds checked before and while a file is decoded."""

    max_bytes: int
    max_pixels: int | None = None  # of one picture or frame
    max_seconds: float | None = None  # what is used; longer files are cut, and the page says so
    max_file_seconds: float | None = None  # longer files are refused


class ModalitySpec(Protocol):
    """One modality. Everything that is special about pictures, sounds or films lives behind this."""

    name: str  # "image", "video", "audio"
    noun: str  # what a person calls it: "picture", "film", "sound"
    suffixes: tuple[str, ...]  # lower-case file suffixes that may be this
    mime_types: tuple[str, ...]
    save_suffix: str
    limits: Limits

    def load(self, path: Path, *, limits: Limits | None = None) -> Any:
        """File -> content. Image: uint8 [H, W, 3]. Audio: AudioClip. Video: VideoClip. Raises MediaError."""
        ...

    def describe(self, path: Path) -> dict[str, Any]:
        """Cheap facts for the page (width, height, seconds, what will be used). Raises MediaError."""
        ...

    def save(self, content: Any, path: Path, *, provenance: dict[str, Any]) -> Media:
        """Write a made medium with its provenance in the file's metadata."""
        ...

    def read_provenance(self, path: Path) -> dict[str, Any] | None:
        """The provenance that `save` wrote, or None."""
        ...
