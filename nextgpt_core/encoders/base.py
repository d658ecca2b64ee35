"""The contract of a modality encoder."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch

from nextgpt_core.frozen import UNKNOWN_ACTIVATIONS, FrozenPart


@runtime_checkable
class Encoder(FrozenPart, Protocol):
    """Turns loaded media into a few vectors of one shared space (ImageBind: one vector of 1024)."""

    width: int  # D, the size of each vector
    modalities: tuple[str, ...]
    gpu_dtype: ClassVar[torch.dtype] = torch.float32  # what it computes in on a GPU; on a CPU it stays in 32 bits

    @classmethod
    @abstractmethod
    def from_folder(cls, path: Path, /) -> Self:
        """Load it onto the CPU, strictly. Raises CheckpointError that says what is missing or does not fit."""

    @classmethod
    def activations(cls) -> float:
        """The most bytes that it takes at work beside its weights, in 16 bits."""
        return UNKNOWN_ACTIVATIONS

    @abstractmethod
    def tokens(self, modality: str) -> int:
        """How many vectors one file of `modality` becomes (N)."""

    @abstractmethod
    def encode(self, modality: str, content: Any) -> torch.Tensor:
        """`content` as its ModalitySpec loads it -> float32 [N, D] on the CPU, wherever its networks are."""
