"""Videos: text-to-video latent diffusion (ModelScope / Zeroscope v2, Wang et al. 2023), in the sizes of any preset."""

from math import prod
from typing import Any, ClassVar

import numpy as np
from diffusers import UNet3DConditionModel
from torch import Tensor

from nextgpt_core.decoders.base import DecoderSettings, Size
from nextgpt_core.decoders.folders import DecoderFolder, sides
from nextgpt_core.decoders.latent import LatentDecoder, cells
from nextgpt_core.decoders.preview import as_picture
from nextgpt_core.modalities.video import VideoClip

_FRAMES_AT_ONCE = 4  # the VAE decodes this many frames at a time: the peak memory of a video is that of four pictures


class ZeroscopeDecoder(LatentDecoder):
    """A condition [L, D] -> VideoClip of `settings.frames` frames."""

    modality = "video"
    network = UNet3DConditionModel
    settings: ClassVar = {"pixels": [320, 576], "frames": 24, "fps": 8, "steps": 25, "guidance": 7.5}
    published: ClassVar = {"zeroscope_v2_576w": {"unet": 1_411_233_860, "vae": 83_653_863}}

    def __init__(self, *, height: int, width: int, fps: float, **parts: Any) -> None:
        """`parts` as in LatentDecoder."""
        super().__init__(**parts)
        self.grid = (cells(height, self.shrink, self.noun), cells(width, self.shrink, self.noun))
        self.fps = fps

    @staticmethod
    def extras(folder: DecoderFolder) -> dict[str, Any]:
        height, width = sides(folder.settings["pixels"])
        return {"height": height, "width": width, "fps": folder.settings["fps"]}

    @classmethod
    def activations(cls, size: Size) -> float:
        """Its U-Net's, which sees all frames, or its VAE's, which decodes four at a time (`benchmarks.activations`)."""
        unet, vae = 2792 * 2**20 / (24 * 320 * 576), 1080 * 2**20 / (320 * 576)
        return prod(size.pixels or ()) * max((size.frames or 1) * unet, vae)

    def latent_shape(self, settings: DecoderSettings) -> tuple[int, ...]:
        frames = settings.frames or self.defaults.frames or 1
        return (1, self.unet.config.in_channels, frames, *self.grid)

    def finish(self, latents: Tensor, settings: DecoderSettings) -> VideoClip:
        frames = latents[0].transpose(0, 1)  # [T, C, h, w]
        made = [as_picture(frame) for some in frames.split(_FRAMES_AT_ONCE) for frame in self.valid(self.decode_latents(some))]
        return VideoClip(frames=np.stack(made), fps=self.fps)

    def preview(self, latents: Tensor) -> np.ndarray:
        """The middle frame."""
        return as_picture(self._linear(latents[:, :, latents.shape[2] // 2]))
