"""The contract of a decoder: a projected condition in, raw media content out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

# Called after every denoising step with (step, steps, latents); raise `Cancelled` from it to stop.
StepCallback = Callable[[int, int, torch.Tensor], None]


@dataclass(frozen=True, kw_only=True)
class DecoderSettings:
    """Sampling settings of one decoder run."""

    steps: int
    guidance: float
    seconds: float | None = None  # sounds
    frames: int | None = None  # videos


@runtime_checkable
class Decoder(Protocol):
    """Makes one file of `modality` from a condition of `condition_shape` [L, D]."""

    modality: str
    condition_shape: tuple[int, int]
    defaults: DecoderSettings

    def generate(
        self,
        condition: torch.Tensor,
        *,
        settings: DecoderSettings,
        generator: torch.Generator,
        on_step: StepCallback | None = None,
    ) -> Any:
        """[L, D] -> content as the modality's spec saves it: image uint8 [H, W, 3]; video uint8 [T, H, W, 3]; audio float32 [samples]."""
        ...

    def preview(self, latents: torch.Tensor) -> Any:
        """Latents of a running generation -> a cheap uint8 picture [H, W, 3] of them (no full decode for videos)."""
        ...


class Vocoder(Protocol):
    """Makes sound from a log-mel spectrogram."""

    rate: int  # samples per second
    hop: int  # samples per spectrogram frame
    bins: int  # mel bins

    def __call__(self, mel: torch.Tensor) -> torch.Tensor:
        """[frames, bins] -> float32 [samples] in -1..1."""
        ...
