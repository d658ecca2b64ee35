"""The contract of a modality encoder."""

from typing import Any, Protocol, runtime_checkable

import torch


@runtime_checkable
class Encoder(Protocol):
    """Turns loaded media into a few vectors of one shared space (ImageBind: one vector of 1024)."""

    width: int  # D, the size of each vector
    modalities: tuple[str, ...]

    def tokens(self, modality: str) -> int:
        """How many vectors one file of `modality` becomes (N)."""
        ...

    def encode(self, modality: str, content: Any) -> torch.Tensor:
        """`content` as its ModalitySpec loads it -> float32 [N, D]."""
        ...
