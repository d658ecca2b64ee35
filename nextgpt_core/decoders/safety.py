"""Stable Diffusion's safety checker: refuses a finished picture that CLIP finds too near to concepts nobody asked for."""

from pathlib import Path

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch import nn
from transformers import CLIPConfig

from nextgpt_core.checkpoints import assemble
from nextgpt_core.decoders.reading import hub_tensors, read_config, spelled_for
from nextgpt_core.encoders.imagebind_preprocess import clip_picture


class SafetyChecker(nn.Module):
    """uint8 [H, W, 3] -> may it be shown?"""

    def __init__(self, model: StableDiffusionSafetyChecker) -> None:
        super().__init__()
        self.model = model
        self._side: int = model.config.vision_config.image_size

    @classmethod
    def from_folder(cls, path: Path, *, dtype: torch.dtype = torch.float32) -> "SafetyChecker":
        """config.json and weights as published; all keys checked."""
        config = CLIPConfig(**read_config(path / "config.json"))
        tensors = spelled_for(
            lambda: StableDiffusionSafetyChecker(config), hub_tensors(path), "vision_model.vision_model.", "vision_model."
        )
        ignore = [f"vision_model.{inner}embeddings.position_ids" for inner in ("", "vision_model.")]
        return cls(assemble(lambda: StableDiffusionSafetyChecker(config), tensors, name=str(path), dtype=dtype, ignore=ignore))

    @torch.no_grad()
    def forward(self, picture: np.ndarray) -> bool:
        parameter = next(self.model.parameters())
        pixels = clip_picture(picture, side=self._side)[None].to(parameter.device, parameter.dtype)
        # The model's second argument is what it would black out; we only want its verdict.
        _, flagged = self.model(pixels, torch.zeros(1, 1))
        return not flagged[0]
