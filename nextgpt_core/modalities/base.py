"""What the system knows of one modality: how its files are loaded, bounded, saved, and what they are called."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nextgpt_core.errors import MediaError, UnsupportedMedia
from nextgpt_core.messages import Media
from nextgpt_core.modalities.limits import Limits, display_name
from nextgpt_core.modalities.reading import Answer, Stop, read


class ModalitySpec(Protocol):
    """One modality. Everything that is special about pictures, sounds or videos lives behind this."""

    name: str  # "image", "video", "audio"
    noun: str  # what a person calls it: "picture", "video", "sound"
    signal: str  # the stem of its signal tokens: "IMG" gives [IMG0], [IMG1], …
    suffixes: tuple[str, ...]  # lower-case file suffixes that may be this
    mime_types: tuple[str, ...]
    save_suffix: str
    limits: Limits

    def load(self, path: Path, *, limits: Limits | None = None, cancelled: Stop = None) -> Any:
        """File -> content. Image: uint8 [H, W, 3]. Audio: AudioClip. Video: VideoClip.

        Raises MediaError, or Cancelled soon after `cancelled()` is true."""
        ...

    def describe(self, path: Path, *, limits: Limits | None = None, cancelled: Stop = None) -> dict[str, Any]:
        """Cheap facts for the page. Always "summary" (a few words: size or length) and "note" (a sentence on what
        will be used of the file, or None); further keys by modality: width, height, seconds, used_seconds… Raises MediaError."""
        ...

    def save(self, content: Any, path: Path, *, provenance: dict[str, Any]) -> Media:
        """Write what was made, with its provenance in the file's metadata."""
        ...

    def read_provenance(self, path: Path) -> dict[str, Any] | None:
        """The provenance that `save` wrote, or None. Never raises on a file that is damaged or not ours."""
        ...


class ReadApart(ABC):
    """The reading half of a ModalitySpec: `load`, `describe` and `read_provenance` have a helper process (reading.py) call what ends with
    `_here` below; `pack` and `unpack` carry the content across."""

    name: str
    limits: Limits

    def load(self, path: Path, *, limits: Limits | None = None, cancelled: Stop = None) -> Any:
        answer = read("load", path, modality=self.name, limits=limits or self.limits, cancelled=cancelled)
        try:
            return self.unpack(answer)
        except (KeyError, TypeError, ValueError, IndexError) as error:  # a helper in the hands of a file can answer anything
            raise UnsupportedMedia(f"{display_name(path)} is damaged and cannot be read; please send it again.") from error

    def describe(self, path: Path, *, limits: Limits | None = None, cancelled: Stop = None) -> dict[str, Any]:
        return read("describe", path, modality=self.name, limits=limits or self.limits, cancelled=cancelled).facts

    def read_provenance(self, path: Path) -> dict[str, Any] | None:
        try:
            found = read("provenance", path, modality=self.name).facts.get("provenance")
        except MediaError:
            return None
        return found if isinstance(found, dict) else None

    @abstractmethod
    def load_here(self, path: Path, limits: Limits) -> Any:
        """`load`, in this process: for the helper, and for nobody who did not make the file."""

    @abstractmethod
    def describe_here(self, path: Path, limits: Limits) -> dict[str, Any]:
        """`describe`, in this process."""

    @abstractmethod
    def provenance_here(self, path: Path) -> dict[str, Any] | None:
        """`read_provenance`, in this process. Raises whatever a library raises."""

    @abstractmethod
    def pack(self, content: Any) -> tuple[dict[str, Any], np.ndarray]:
        """Content -> what JSON can hold of it, and one array of uint8 or float32."""

    @abstractmethod
    def unpack(self, answer: Answer) -> Any:
        """The inverse. Raises KeyError, TypeError or ValueError for what `pack` cannot have made."""
