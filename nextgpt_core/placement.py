"""Parts in their places at run time: what the plan keeps off the GPU comes and goes.

A decoder or encoder that runs out of memory is tried once more with everything else moved away.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nextgpt_core.decoders.base import DecoderSettings, StepCallback
from nextgpt_core.decoders.latent import LatentDecoder, generation_errors
from nextgpt_core.encoders.imagebind import ImageBindEncoder
from nextgpt_core.errors import OutOfMemory
from nextgpt_core.memory import CPU, GPU, OFFLOADED, Plan
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.model import NextGPT

log = logging.getLogger(__name__)


def place(model: NextGPT, plan: Plan, device: torch.device | str = "cuda") -> NextGPT:
    """Move the parts of a model that was built on the CPU to where `plan` wants them, and keep them there. Raises OutOfMemory."""
    if plan.refusal is not None:
        raise OutOfMemory(plan.refusal)
    device = torch.device(device)
    movable = _Movable(model, plan, device)
    model.input_projection.to(device)
    model.output_projections.to(device)
    # Offloaded or not, the language model starts on the GPU: the plan moves it away only while something else is at work.
    if plan.precision != "8bit":  # which was loaded there, and cannot be moved
        model.llm.to(device)
    encoder = model.encoder
    if isinstance(encoder, ImageBindEncoder) and plan.where("encoder") != CPU:
        encoder.model.half()
        stays = plan.where("encoder") == GPU
        if stays:
            encoder.model.to(device)
        model.encoder = PlacedEncoder(encoder, device=device, stays=stays, room=movable.away)
    for modality, decoder in model.decoders.items():
        if not isinstance(decoder, LatentDecoder):
            continue
        if plan.where(modality) == CPU:  # which is slow in the 16 bits that it was loaded in
            for part in decoder.parts().values():
                part.float()
        else:
            stays = plan.where(modality) == GPU
            if stays:
                decoder.to(device)
            model.decoders[modality] = PlacedDecoder(decoder, device=device, stays=stays, room=movable.away)
    return model


def free_bytes(device: torch.device | str = "cuda") -> int:
    """Free memory of a GPU, as its driver counts it."""
    return torch.cuda.mem_get_info(device)[0]


class PlacedDecoder:
    """A Decoder that is on the GPU while it works, and afterwards where it belongs."""

    def __init__(self, decoder: LatentDecoder, *, device: torch.device, stays: bool, room: Callable[..., Any]) -> None:
        """`room(everything=…)` is a context in which other parts are off the GPU: those that the plan moves, or all of them."""
        self._decoder = decoder
        self._device = device
        self._stays = stays
        self._room = room
        self.modality = decoder.modality
        self.condition_shape = decoder.condition_shape
        self.defaults = decoder.defaults

    def generate(
        self, condition: Tensor, *, settings: DecoderSettings, generator: torch.Generator, on_step: StepCallback | None = None
    ) -> Any:
        """As the decoder's own. Out of memory, it is tried once more with everything else moved away, from the same noise."""
        state = generator.get_state()
        try:
            return self._run(condition, settings, generator, on_step, everything=False)
        except OutOfMemory as error:
            log.warning("%s; trying once more with everything else moved away", error)
        generator.set_state(state)
        return self._run(condition, settings, generator, on_step, everything=True)

    def preview(self, latents: Tensor) -> np.ndarray:
        return self._decoder.preview(latents)

    def _run(
        self, condition: Tensor, settings: DecoderSettings, generator: torch.Generator, on_step: StepCallback | None, *, everything: bool
    ) -> Any:
        decoder = self._decoder
        with self._room(everything=everything, keep=decoder):
            try:
                with generation_errors(decoder.noun):
                    decoder.to(self._device)
                if everything:
                    decoder.spare_memory()
                return decoder.generate(condition, settings=settings, generator=generator, on_step=on_step)
            finally:
                if not self._stays:
                    decoder.to("cpu")
                empty_cache()


class PlacedEncoder:
    """An Encoder that is on the GPU while it works, and afterwards where it belongs."""

    def __init__(self, encoder: ImageBindEncoder, *, device: torch.device, stays: bool, room: Callable[..., Any]) -> None:
        """`room` as for PlacedDecoder."""
        self._encoder = encoder
        self._device = device
        self._stays = stays
        self._room = room
        self.width: int = encoder.width
        self.modalities: tuple[str, ...] = encoder.modalities

    def tokens(self, modality: str) -> int:
        return self._encoder.tokens(modality)

    def encode(self, modality: str, content: Any) -> Tensor:
        """As the encoder's own. Out of memory, it is tried once more with everything else moved away; raises OutOfMemory after that."""
        try:
            return self._run(modality, content, everything=False)
        except (torch.OutOfMemoryError, MemoryError) as error:
            log.warning("the encoder ran out of memory (%s); trying once more with everything else moved away", error)
        try:
            return self._run(modality, content, everything=True)
        except (torch.OutOfMemoryError, MemoryError) as error:
            noun = MODALITIES[modality].noun
            raise OutOfMemory(f"There was not enough memory to look at the {noun}; send a smaller one, or close other programs.") from error

    def _run(self, modality: str, content: Any, *, everything: bool) -> Tensor:
        with self._room(everything=everything, keep=self._encoder):
            try:
                self._encoder.model.to(self._device)
                return self._encoder.encode(modality, content)
            finally:
                if not self._stays:
                    self._encoder.model.to("cpu")
                empty_cache()


class _Movable:
    """The parts that can make room for another one."""

    def __init__(self, model: NextGPT, plan: Plan, device: torch.device) -> None:
        self._model = model
        self._plan = plan
        self._device = device

    @contextmanager
    def away(self, *, everything: bool, keep: object) -> Any:
        """Off the GPU for the length of a context: the language model where the plan offloads it, or all parts but `keep`."""
        plan = self._plan
        with ExitStack() as back:
            if plan.where("llm") == OFFLOADED or (everything and plan.precision != "8bit"):
                self._aside(self._model.llm, back)
            if everything:
                for modality, placed in self._model.decoders.items():
                    decoder = getattr(placed, "_decoder", placed)
                    if decoder is not keep and plan.where(modality) == GPU:
                        self._aside(decoder, back)
                encoder = getattr(self._model.encoder, "_encoder", None)
                if encoder is not None and encoder is not keep and plan.where("encoder") == GPU:
                    self._aside(encoder.model, back)
            empty_cache()
            yield

    def _aside(self, part: Any, back: ExitStack) -> None:
        part.to("cpu")
        back.callback(part.to, self._device)


def empty_cache() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
