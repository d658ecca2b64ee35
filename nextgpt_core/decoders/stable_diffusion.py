"""Pictures: Stable Diffusion's latent diffusion (Rombach et al. 2022), in the sizes of any preset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from nextgpt_core.decoders.base import DecoderSettings
from nextgpt_core.decoders.folders import DecoderFolder
from nextgpt_core.decoders.latent import LatentDecoder, cells
from nextgpt_core.decoders.preview import as_picture
from nextgpt_core.errors import GenerationError

SafetyCheck = Callable[[np.ndarray], bool]  # uint8 [H, W, 3] -> may it be shown?


class StableDiffusionDecoder(LatentDecoder):
    """A condition [L, D] -> uint8 [pixels, pixels, 3]."""

    modality = "image"
    noun = "picture"

    def __init__(self, *, pixels: int, safety: SafetyCheck | None = None, **parts: Any) -> None:
        """`parts` as in LatentDecoder; `safety` sees every finished picture."""
        super().__init__(**parts)
        self.side = cells(pixels, self.shrink, self.noun)
        self.safety = safety

    @classmethod
    def from_folder(
        cls, path: Path, *, dtype: torch.dtype = torch.float32, safety: bool = True, tiling: bool = False
    ) -> "StableDiffusionDecoder":
        """Load a folder of diffusers strictly (see DecoderFolder). A safety checker in it is used unless `safety` is False."""
        folder = DecoderFolder(path, defaults={"pixels": 512, "steps": 25, "guidance": 7.5}, dtype=dtype)
        return cls(
            unet=folder.network("unet", UNet2DConditionModel),
            tiling=tiling,
            pixels=folder.settings["pixels"],
            safety=folder.safety_check() if safety else None,
            defaults=DecoderSettings(steps=folder.settings["steps"], guidance=folder.settings["guidance"]),
            **folder.common(),
        )

    def parts(self) -> dict[str, nn.Module]:
        checker = getattr(self.safety, "model", None)
        return {**super().parts(), **({"safety_checker": checker} if isinstance(checker, nn.Module) else {})}

    def latent_shape(self, settings: DecoderSettings) -> tuple[int, ...]:
        return (1, self.unet.config.in_channels, self.side, self.side)

    def finish(self, latents: Tensor, settings: DecoderSettings) -> np.ndarray:
        picture = as_picture(self.valid(self.decode_latents(latents))[0])
        if self.safety is not None and not self.safety(picture):
            raise GenerationError("The safety checker held this picture back; try other words or another seed.")
        return picture

    def preview(self, latents: Tensor) -> np.ndarray:
        return as_picture(self._linear(latents))
