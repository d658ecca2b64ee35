"""Sounds: latent diffusion of mel spectrograms (AudioLDM, Liu et al. 2023) and a vocoder, in the sizes of any preset."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from diffusers import UNet2DConditionModel
from torch import Tensor

from nextgpt_core.decoders.base import DecoderSettings, Size, Vocoder
from nextgpt_core.decoders.folders import DecoderFolder
from nextgpt_core.decoders.latent import LatentDecoder, cells
from nextgpt_core.decoders.preview import as_heat
from nextgpt_core.modalities.audio import AudioClip


class AudioLDMDecoder(LatentDecoder):
    """A condition [1, D] -> AudioClip of `settings.seconds`. The condition goes in as a class embedding, not by cross-attention."""

    modality = "audio"
    network = UNet2DConditionModel
    settings: ClassVar = {"seconds": 9.0, "steps": 25, "guidance": 7.5}
    published: ClassVar = {"audioldm-l-full": {"unet": 739_139_080, "vae": 55_376_873, "vocoder": 55_264_897}}

    def __init__(self, *, vocoder: Vocoder, **parts: Any) -> None:
        """`parts` as in LatentDecoder; the VAE makes [frames, vocoder.bins] spectrograms."""
        super().__init__(**parts)
        self.vocoder = vocoder
        self.columns = cells(vocoder.bins, self.shrink, self.noun)

    @staticmethod
    def takes(config: Any) -> Any:
        return config.projection_class_embeddings_input_dim

    @staticmethod
    def extras(folder: DecoderFolder) -> dict[str, Any]:
        return {"vocoder": folder.vocoder()}

    @classmethod
    def needed_files(cls, folder: Path) -> Sequence[tuple[str, ...]]:
        return [*super().needed_files(folder), ("vocoder/config.json", "decoder.json")]

    @classmethod
    def activations(cls, size: Size) -> float:
        """Its VAE's, which takes more than its U-Net (`benchmarks.activations`)."""
        return (size.seconds or 0) * 9.5 * 2**20

    def latent_shape(self, settings: DecoderSettings) -> tuple[int, ...]:
        # Whole latent cells; what they hold beyond the wished length is cut off in `finish`.
        rows = math.ceil(int(self._seconds(settings) * self.vocoder.rate / self.vocoder.hop) / self.shrink)
        return (1, self.unet.config.in_channels, max(rows, 1), self.columns)

    def predict(self, latents: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        dtype = self.unet.dtype
        labels = condition[:, 0].to(dtype)  # [B, 1, D] -> [B, D]
        return self.unet(latents.to(dtype), timestep, encoder_hidden_states=None, class_labels=labels).sample.float()

    def finish(self, latents: Tensor, settings: DecoderSettings) -> AudioClip:
        mel = self.valid(self.decode_latents(latents))[0, 0]
        samples = self.valid(self.vocoder(mel))  # [frames, bins] -> [n]
        wanted = int(self._seconds(settings) * self.vocoder.rate)
        return AudioClip(samples=samples[:wanted].float().cpu().numpy(), rate=self.vocoder.rate)

    def preview(self, latents: Tensor) -> np.ndarray:
        """The spectrogram, low tones at the bottom."""
        return as_heat(self._linear(latents)[0])

    def _seconds(self, settings: DecoderSettings) -> float:
        return settings.seconds or self.defaults.seconds or 1.0
