"""Parts in their places at run time: what the plan keeps off the GPU comes and goes.

A decoder or encoder that runs out of memory is tried once more with everything else moved away.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nextgpt_core.decoders.base import DecoderSettings, StepCallback
from nextgpt_core.decoders.latent import LatentDecoder, generation_errors
from nextgpt_core.encoders.imagebind import ImageBindEncoder
from nextgpt_core.errors import OutOfMemory, is_out_of_memory
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.model import NextGPT
from nextgpt_core.placement.plan import CPU, GPU, OFFLOADED, Plan

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
        model.before_reading = movable.bring_home
    encoder = model.encoder
    if isinstance(encoder, ImageBindEncoder) and plan.where("encoder") != CPU:
        encoder.model.half()
        stays = plan.where("encoder") == GPU
        if stays:
            encoder.to(device)
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


class _Placed:
    """A part that is on the GPU while it works, and afterwards where it belongs."""

    def __init__(self, part: Any, *, device: torch.device, stays: bool, room: Callable[..., Any]) -> None:
        """`room(everything=…)` is a context in which other parts are off the GPU: those that the plan moves, or all of them."""
        self.part = part
        self._device = device
        self._stays = stays
        self._room = room

    def _at_work(self, work: Callable[[bool], Any]) -> Any:
        """`work(False)` with the part on the GPU. Out of memory, `work(True)` with everything else moved away."""
        try:
            return self._visit(work, everything=False)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("%s; trying once more with everything else moved away", error)
        return self._visit(work, everything=True)

    def _visit(self, work: Callable[[bool], Any], *, everything: bool) -> Any:
        with self._room(everything=everything, keep=self.part):
            try:
                self.part.to(self._device)
                return work(everything)
            finally:
                if not self._stays:
                    self.part.to("cpu")
                empty_cache()


class PlacedDecoder(_Placed):
    """A Decoder that visits the GPU, or stays there."""

    part: LatentDecoder

    def __init__(self, decoder: LatentDecoder, **placement: Any) -> None:
        super().__init__(decoder, **placement)
        self.modality = decoder.modality
        self.condition_shape = decoder.condition_shape
        self.defaults = decoder.defaults

    def generate(
        self, condition: Tensor, *, settings: DecoderSettings, generator: torch.Generator, on_step: StepCallback | None = None
    ) -> Any:
        """As the decoder's own; a second try begins with the same noise and works in the smallest pieces."""
        noise = generator.get_state()

        def work(again: bool) -> Any:
            if again:
                generator.set_state(noise)
            with self.part.sparing_memory() if again else nullcontext():
                return self.part.generate(condition, settings=settings, generator=generator, on_step=on_step)

        with generation_errors(self.part.noun):  # moving it can fail too
            return self._at_work(work)

    def preview(self, latents: Tensor) -> np.ndarray:
        return self.part.preview(latents)


class PlacedEncoder(_Placed):
    """An Encoder that visits the GPU, or stays there."""

    part: ImageBindEncoder

    def __init__(self, encoder: ImageBindEncoder, **placement: Any) -> None:
        super().__init__(encoder, **placement)
        self.width: int = encoder.width
        self.modalities: tuple[str, ...] = encoder.modalities

    def tokens(self, modality: str) -> int:
        return self.part.tokens(modality)

    def encode(self, modality: str, content: Any) -> Tensor:
        """As the encoder's own; raises OutOfMemory where the second try fails too."""
        try:
            return self._at_work(lambda again: self.part.encode(modality, content))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            noun = MODALITIES[modality].noun
            raise OutOfMemory(f"There was not enough memory to look at the {noun}; send a smaller one, or close other programs.") from error


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
                for name, placed in {**self._model.decoders, "encoder": self._model.encoder}.items():
                    if isinstance(placed, _Placed) and placed.part is not keep and plan.where(name) == GPU:
                        self._aside(placed.part, back)
            empty_cache()
            yield

    def _aside(self, part: Any, back: ExitStack) -> None:
        back.callback(self._return, part)  # before the move: one that breaks off has moved some of it
        part.to("cpu")

    def _return(self, part: Any) -> None:
        """Back to the GPU. Where it is full, the part stays until its next use, which tries again: what was made meanwhile is not lost."""
        try:
            part.to(self._device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("%s; a part that made room comes back when it is used next", error)

    def bring_home(self) -> None:
        """The language model where it works, also after a move that failed. Raises OutOfMemory."""
        try:
            self._model.llm.to(self._device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory("There is not enough GPU memory to bring the language model back; close other programs.") from error


def empty_cache() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
