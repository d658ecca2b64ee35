"""Parts in their places at run time: what the plan keeps off the GPU comes and goes.

A decoder or encoder that runs out of memory is tried once more with everything else moved away.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor

from nextgpt_core.decoders.base import Decoder, DecoderSettings, StepCallback, generation_errors
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.errors import OutOfMemory, is_out_of_memory
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.model import NextGPT
from nextgpt_core.placement.plan import CPU, GPU, OFFLOADED, Plan

log = logging.getLogger(__name__)


def place(model: NextGPT, plan: Plan, device: torch.device | str = "cuda") -> NextGPT:
    """Move the parts of a model that was built on the CPU to where `plan` wants them, and keep them there. Raises OutOfMemory."""
    if plan.refusal is not None:
        raise OutOfMemory(plan.refusal)
    room = _Room(model, plan, torch.device(device))
    model.input_projection.to(device)
    model.output_projections.to(device)
    # Offloaded or not, the language model starts on the GPU: the plan moves it away only while something else is at work.
    if plan.precision != "8bit":  # which was loaded there, and cannot be moved
        model.llm.to(device)
        model.before_reading = room.bring_home
    if model.encoder is not None and plan.where("encoder") != CPU:
        for network in model.encoder.parts().values():
            network.to(model.encoder.gpu_dtype)
        # To the engine a placed part is the part itself: what it does not say is asked of that.
        placed = cast(Encoder, PlacedEncoder(model.encoder, room, stays=plan.where("encoder") == GPU))
        del model.encoder  # torch lets nothing but another module follow a part that is a module itself
        model.encoder = placed
    for modality, decoder in model.decoders.items():
        if plan.where(modality) == CPU:  # which is slow in the 16 bits that it was loaded in
            for network in decoder.parts().values():
                network.float()
        else:
            model.decoders[modality] = cast(Decoder, PlacedDecoder(decoder, room, stays=plan.where(modality) == GPU))
    return model


def free_bytes(device: torch.device | str = "cuda") -> int:
    """Free memory of a GPU, as its driver counts it."""
    return torch.cuda.mem_get_info(device)[0]


class _Placed:
    """A part that is on the GPU while it works, and afterwards where it belongs."""

    def __init__(self, part: Any, room: "_Room", *, stays: bool) -> None:
        self.part = part
        self._room = room
        self._stays = stays
        if stays:
            part.to(room.device)
            room.residents.append(part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

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
        with self._room.made(everything=everything, keep=self.part):
            try:
                self.part.to(self._room.device)
                return work(everything)
            finally:
                if not self._stays:
                    self.part.to("cpu")
                empty_cache()


class PlacedDecoder(_Placed):
    """A Decoder that visits the GPU, or stays there."""

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


class PlacedEncoder(_Placed):
    """An Encoder that visits the GPU, or stays there."""

    def encode(self, modality: str, content: Any) -> Tensor:
        """As the encoder's own; raises OutOfMemory where the second try fails too."""
        try:
            return self._at_work(lambda again: self.part.encode(modality, content))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            noun = MODALITIES[modality].noun
            raise OutOfMemory(f"There was not enough memory to look at the {noun}; send a smaller one, or close other programs.") from error


class _Room:
    """The GPU, and the parts on it that can make room for another one."""

    def __init__(self, model: NextGPT, plan: Plan, device: torch.device) -> None:
        self._model = model
        self._plan = plan
        self.device = device
        self.residents: list[Any] = []  # encoder and decoders that stay on it

    @contextmanager
    def made(self, *, everything: bool, keep: object) -> Iterator[None]:
        """Room for the length of a context: without the language model where the plan offloads it, or without all parts but `keep`."""
        with ExitStack() as back:
            if self._plan.where("llm") == OFFLOADED or (everything and self._plan.precision != "8bit"):
                self._aside(self._model.llm, back)
            for part in self.residents if everything else ():
                if part is not keep:
                    self._aside(part, back)
            empty_cache()
            yield

    def _aside(self, part: Any, back: ExitStack) -> None:
        back.callback(self._return, part)  # before the move: one that breaks off has moved some of it
        part.to("cpu")

    def _return(self, part: Any) -> None:
        """Back to the GPU. Where it is full, the part stays until its next use, which tries again: what was made meanwhile is not lost."""
        try:
            part.to(self.device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("%s; a part that made room comes back when it is used next", error)

    def bring_home(self) -> None:
        """The language model where it works, also after a move that failed. Raises OutOfMemory."""
        try:
            self._model.llm.to(self.device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory("There is not enough GPU memory to bring the language model back; close other programs.") from error


def empty_cache() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
