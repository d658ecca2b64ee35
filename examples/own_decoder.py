"""A decoder of one's own: what the model wants a picture to show, drawn as a flag of eight stripes. The same wish, the same flag.

.venv/bin/python -m examples.own_decoder "draw a red apple"

In the project such a class is one file in nextgpt_core/decoders/ and one line in its table DECODERS.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch

from nextgpt_core import Engine, MediaReady, Message, TurnSettings
from nextgpt_core.config import load_preset
from nextgpt_core.decoders import DECODERS
from nextgpt_core.decoders.base import Decoder, DecoderSettings, StepCallback


class Flag(Decoder):
    """A condition [1, 384] -> uint8 [128, 128, 3]. It is code alone; one with weights reads them from its folder, strictly."""

    modality = "image"
    condition_shape = (1, 384)  # what nano's output projection makes; a preset that says otherwise is refused
    defaults = DecoderSettings(steps=8, guidance=1.0)

    @classmethod
    def from_folder(cls, path: Path, /, *, dtype: torch.dtype, tiling: bool) -> Self:
        return cls()

    @classmethod
    def needed_files(cls, folder: Path) -> Sequence[tuple[str, ...]]:
        return ()

    def generate(
        self, condition: torch.Tensor, *, settings: DecoderSettings, generator: torch.Generator, on_step: StepCallback | None = None
    ) -> Any:
        wanted = torch.sigmoid(3 * condition.reshape(8, 3, -1).mean(dim=2))  # [8, 3], a colour for each stripe
        noise = torch.rand(wanted.shape, generator=generator)  # all chance comes from here: one seed, one picture
        for step in range(1, settings.steps + 1):
            stripes = torch.lerp(noise, wanted, step / settings.steps)
            if on_step is not None:
                on_step(step, settings.steps, stripes)  # shows progress, and is where Stop takes effect
        return self.preview(stripes)

    def preview(self, latents: torch.Tensor) -> Any:
        return (255 * latents).byte().repeat_interleave(16, dim=0)[:, None].expand(-1, 128, -1).numpy()


if __name__ == "__main__":
    DECODERS["flag"] = Flag
    nano = load_preset("nano")
    preset = replace(nano, outputs={**nano.outputs, "image": replace(nano.outputs["image"], decoder="flag", path="flag")})
    engine = Engine.load(preset)
    wish = sys.argv[1] if len(sys.argv) > 1 else "draw a red apple"
    for event in engine.turn([Message("user", (wish,))], TurnSettings(seed=1), out_dir=Path("made")):
        if isinstance(event, MediaReady):
            print(f"{event.media.modality}: {event.media.path}")
