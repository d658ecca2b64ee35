"""The contract of a decoder: a projected condition in, raw media content out."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch

from nextgpt_core.errors import GenerationError, NextGPTError, OutOfMemory, is_out_of_memory
from nextgpt_core.frozen import UNKNOWN_ACTIVATIONS, FrozenPart
from nextgpt_core.modalities import MODALITIES

log = logging.getLogger(__name__)
# Called after every denoising step with (step, steps, latents); raise `Cancelled` from it to stop.
StepCallback = Callable[[int, int, torch.Tensor], None]


@dataclass(frozen=True, kw_only=True)
class DecoderSettings:
    """Sampling settings of one decoder run."""

    steps: int
    guidance: float
    seconds: float | None = None  # sounds
    frames: int | None = None  # videos


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a file is; what it does not have is None."""

    pixels: tuple[int, int] | None = None  # height, width
    frames: int | None = None
    seconds: float | None = None


@runtime_checkable
class Decoder(FrozenPart, Protocol):
    """Makes one file of `modality` from a condition of `condition_shape` [L, D]."""

    modality: ClassVar[str]
    condition_shape: tuple[int, int]
    defaults: DecoderSettings

    @classmethod
    @abstractmethod
    def from_folder(cls, path: Path, /, *, dtype: torch.dtype, tiling: bool) -> Self:
        """Load it onto the CPU, strictly. Raises CheckpointError that says what is missing or does not fit.

        `tiling`: make large files in pieces, where it can (OutputConfig.tiling)."""

    @classmethod
    def size(cls, folder: Path) -> Size:
        """How large the files are that it makes by its defaults."""
        return Size()

    @classmethod
    def activations(cls, size: Size) -> float:
        """The most bytes that it takes at work beside its weights, for a file of `size`, in 16 bits."""
        return UNKNOWN_ACTIVATIONS

    @property
    def noun(self) -> str:
        """What a person calls what it makes."""
        return MODALITIES[self.modality].noun

    @abstractmethod
    def generate(
        self, condition: torch.Tensor, *, settings: DecoderSettings, generator: torch.Generator, on_step: StepCallback | None = None
    ) -> Any:
        """[L, D] -> content as the modality's spec saves it: image uint8 [H, W, 3]; video VideoClip; audio AudioClip."""

    def preview(self, latents: torch.Tensor) -> Any:
        """Latents of a running generation -> a cheap uint8 picture [H, W, 3] of them (no full decode for videos), or None."""
        return None

    def sparing_memory(self) -> AbstractContextManager[None]:
        """The smallest peak for the length of a context, at whatever cost: for a second try after running out of memory."""
        return nullcontext()

    def denoiser(self) -> "Denoiser | None":
        """What makes several of its files at once; None where they can only be made one by one."""
        return None


class Denoiser(Protocol):
    """A decoder's steps by themselves: noise of `latent_shape` [1, …], a loop around `predict`, `complete`, and `finish` for each file."""

    unconditional: torch.Tensor  # [L, D]
    noise_schedule: Mapping[str, Any]  # of diffusers
    scheduler: str  # a key of diffusion.SCHEDULERS

    def latent_shape(self, settings: DecoderSettings) -> tuple[int, ...]: ...
    def predict(self, latents: torch.Tensor, timestep: torch.Tensor, condition: torch.Tensor) -> torch.Tensor: ...
    def complete(self, denoised: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor: ...
    def finish(self, latents: torch.Tensor, settings: DecoderSettings) -> Any: ...


class Vocoder(Protocol):
    """Makes sound from a log-mel spectrogram."""

    rate: int  # samples per second
    hop: int  # samples per spectrogram frame
    bins: int  # mel bins

    def __call__(self, mel: torch.Tensor) -> torch.Tensor:
        """[frames, bins] -> float32 [samples] in -1..1."""
        ...


@contextmanager
def generation_errors(noun: str) -> Iterator[None]:
    """What the libraries raise while a file is made -> GenerationError or OutOfMemory; our own errors pass."""
    try:
        yield
    except NextGPTError:
        raise
    except (RuntimeError, OSError, MemoryError, ValueError, ArithmeticError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"There was not enough memory for the {noun}; make it smaller, or close other programs.") from error
        log.exception("decoder failed")
        raise GenerationError(f"The {noun} could not be made ({error}).") from error
