"""The published vocoder of AudioLDM: HiFi-GAN (Kong et al. 2020) as transformers' SpeechT5HifiGan."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from nextgpt_core.checkpoints import assemble
from nextgpt_core.decoders.reading import hub_tensors, read_config


class HifiGan(nn.Module):
    """A Vocoder: log-mel [frames, bins] -> float32 [frames * hop]."""

    def __init__(self, model: SpeechT5HifiGan) -> None:
        super().__init__()
        self.model = model
        self.rate: int = model.config.sampling_rate
        self.hop = math.prod(model.config.upsample_rates)
        self.bins: int = model.config.model_in_dim

    @classmethod
    def from_folder(cls, path: Path, *, dtype: torch.dtype = torch.float32) -> "HifiGan":
        """config.json and weights as transformers saves them; all keys checked."""
        config = SpeechT5HifiGanConfig(**read_config(path / "config.json"))
        tensors = hub_tensors(path)
        return cls(assemble(lambda: SpeechT5HifiGan(config), tensors, name=str(path), dtype=dtype))

    def forward(self, mel: Tensor) -> Tensor:
        parameter = next(self.model.parameters())
        return self.model(mel.to(parameter.device, parameter.dtype)[None])[0].float()
