"""Cheap pictures of latents: a linear map from latent channels to colours, fitted to what the VAE itself makes of smooth noise."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_CELLS = 16  # latent cells along a side of the fitted samples
_SAMPLES = 4


class LinearPreview:
    """Latents [1, C, h, w] -> [K, h, w] floats (K: the VAE's picture channels), without running the VAE.

    The map is fitted on first use: `decode` ([B, C, h, w] -> [B, K, H, W]) is run once on four 16 x 16 samples.
    """

    def __init__(self, decode: Callable[[Tensor], Tensor], channels: int) -> None:
        self._decode = decode
        self._channels = channels
        self._weights: Tensor | None = None  # [C + 1, K]; the last row is the bias

    def __call__(self, latents: Tensor) -> Tensor:
        if self._weights is None:
            self._weights = self._fit()
        cells = latents[0].detach().float().cpu()  # [C, h, w]
        return torch.einsum("chw,ck->khw", cells, self._weights[:-1]) + self._weights[-1][:, None, None]

    @torch.no_grad()
    def _fit(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(_SAMPLES, self._channels, _CELLS // 4, _CELLS // 4, generator=generator)
        # Natural latents change slowly from cell to cell, so coarse noise (of unit variance again) is the better teacher.
        smooth = F.interpolate(noise, size=(_CELLS, _CELLS), mode="bilinear")
        smooth = smooth / smooth.std()
        made = F.adaptive_avg_pool2d(self._decode(smooth).float().cpu(), (_CELLS, _CELLS))
        cells = smooth.permute(0, 2, 3, 1).flatten(0, 2)  # [n, C]
        colours = made.permute(0, 2, 3, 1).flatten(0, 2)  # [n, K]
        return torch.linalg.lstsq(torch.cat([cells, torch.ones(len(cells), 1)], dim=1), colours).solution


def as_picture(values: Tensor) -> np.ndarray:
    """Float [3, H, W] in -1..1 -> uint8 [H, W, 3]."""
    return ((values.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def as_heat(values: Tensor) -> np.ndarray:
    """A spectrogram [time, bins] -> uint8 [bins, time, 3]: dark blue to yellow, low tones at the bottom."""
    low, high = float(values.min()), float(values.max())
    level = ((values.float() - low) / max(high - low, 1e-6)).T.flip(0).cpu()  # [bins, time] in 0..1
    colours = torch.tensor([[13.0, 8.0, 60.0], [150.0, 30.0, 120.0], [250.0, 220.0, 80.0]])  # at level 0, 1/2 and 1
    place = level * (len(colours) - 1)
    below = place.floor().long().clamp(max=len(colours) - 2)
    share = (place - below)[..., None]
    return (colours[below] * (1 - share) + colours[below + 1] * share).round().byte().numpy()
