"""Pictures: Stable Diffusion's latent diffusion (Rombach et al. 2022), in the sizes of any preset."""

from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import numpy as np
from diffusers import UNet2DConditionModel
from torch import Tensor

from nextgpt_core.decoders.base import DecoderSettings, Size
from nextgpt_core.decoders.folders import DecoderFolder
from nextgpt_core.decoders.latent import LatentDecoder, cells
from nextgpt_core.decoders.preview import as_picture
from nextgpt_core.errors import GenerationError

SafetyCheck = Callable[[np.ndarray], bool]  # uint8 [H, W, 3] -> may it be shown?


class StableDiffusionDecoder(LatentDecoder):
    """A condition [L, D] -> uint8 [pixels, pixels, 3]."""

    modality = "image"
    network = UNet2DConditionModel
    settings: ClassVar = {"pixels": 512, "steps": 25, "guidance": 7.5}
    published: ClassVar = {"stable-diffusion-v1-5": {"unet": 859_520_964, "vae": 83_653_863, "safety_checker": 303_981_588}}

    def __init__(self, *, pixels: int, safety: SafetyCheck | None = None, **parts: Any) -> None:
        """`parts` as in LatentDecoder; `safety` sees every finished picture."""
        super().__init__(**parts)
        self.side = cells(pixels, self.shrink, self.noun)
        self.safety = safety

    @staticmethod
    def extras(folder: DecoderFolder) -> dict[str, Any]:
        return {"pixels": folder.settings["pixels"], "safety": folder.safety_check()}

    @classmethod
    def activations(cls, size: Size) -> float:
        """Its VAE's peak: the U-Net takes a third of that (`benchmarks.activations`)."""
        return prod(size.pixels or ()) * 384 * 2**20 / 512**2

    def latent_shape(self, settings: DecoderSettings) -> tuple[int, ...]:
        return (1, self.unet.config.in_channels, self.side, self.side)

    def finish(self, latents: Tensor, settings: DecoderSettings) -> np.ndarray:
        picture = as_picture(self.valid(self.decode_latents(latents))[0])
        if self.safety is not None and not self.safety(picture):
            raise GenerationError("The safety checker held this picture back; try other words or another seed.")
        return picture

    def preview(self, latents: Tensor) -> np.ndarray:
        return as_picture(self._linear(latents))
