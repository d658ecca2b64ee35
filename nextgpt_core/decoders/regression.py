"""The regression half of a corrective diffusion decoder (CorrDiff, Mardani et al. 2023): what a condition means on the average.

A small decoder that has seen few samples spends them on finding out *what* to draw. Regression learns that in minutes; the denoising loop
then only makes the residual: latents = mean(condition) + scale * residual. Decoders without a `mean` (all published ones) are unchanged.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mean(nn.Module, ABC):
    """Conditions [B, L, D] -> mean latents [B, *shape]."""

    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        """`shape` is that of one file's latents, batch left out."""
        super().__init__()
        self.shape = tuple(shape)
        self.register_buffer("scale", torch.ones(()))  # deviation of the residual, so that the U-Net sees unit variance

    @abstractmethod
    def forward(self, conditions: Tensor) -> Tensor: ...

    def complete(self, residual: Tensor, conditions: Tensor) -> Tensor:
        """Denoised residual [B, …] -> latents of the same shape, whatever length it was made in."""
        return self.sized(conditions, residual.shape[1:]) + self.scale * residual

    def sized(self, conditions: Tensor, shape: torch.Size) -> Tensor:
        """The mean in another `shape`: a longer sound or video repeats it, a shorter one cuts it."""
        mean: Tensor = self(conditions)
        for axis, size in enumerate(shape, start=1):
            if size != mean.shape[axis]:
                mean = mean.index_select(axis, torch.arange(size, device=mean.device) % mean.shape[axis])
        return mean


class ConditionalMean(Mean):
    """By a residual MLP of `width` with `depth` gated blocks."""

    def __init__(self, *, condition: int, shape: tuple[int, ...], width: int = 1024, depth: int = 2) -> None:
        """`condition` is L * D."""
        super().__init__(shape)
        self.inner = nn.Linear(condition, width)
        self.blocks = nn.ModuleList(_Gated(width) for _ in range(depth))
        self.outer_norm = nn.LayerNorm(width)
        self.outer = nn.Linear(width, int(torch.Size(shape).numel()))

    def forward(self, conditions: Tensor) -> Tensor:
        hidden = self.inner(conditions.flatten(1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.outer(F.silu(self.outer_norm(hidden))).unflatten(1, self.shape)


class _Gated(nn.Module):
    """A gated unit (Shazeer 2020): its products are how a thing and its colour, ground or motion come together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        gate, value = self.enter(self.norm(hidden)).chunk(2, dim=-1)
        return self.leave(F.silu(gate) * value)
