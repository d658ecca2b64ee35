"""The regression half of a corrective diffusion decoder (CorrDiff, Mardani et al. 2023): what a condition means on the average.

A small decoder that has seen few samples spends them on finding out *what* to draw. Regression learns that in minutes; the denoising loop
then only makes the residual: latents = mean(condition) + scale * residual. Decoders without a `mean` (all published ones) are unchanged.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConditionalMean(nn.Module):
    """Conditions [B, L, D] -> mean latents [B, *shape], by a residual MLP of `width` with `depth` gated blocks.

    With an arranger the MLP gives only the plain thing, and the arranger makes of it what the condition says of its number, place, size,
    colour and ground.
    """

    scale: Tensor

    def __init__(
        self, *, condition: int, shape: tuple[int, ...], width: int = 1024, depth: int = 2, arranger: tuple[int, int] | None = None
    ) -> None:
        """`condition` is L * D; `shape` is that of one medium's latents, batch left out; `arranger` is its width and depth."""
        super().__init__()
        self.shape = tuple(shape)
        self.inner = nn.Linear(condition, width)
        self.blocks = nn.ModuleList(_Gated(width) for _ in range(depth))
        self.outer_norm = nn.LayerNorm(width)
        self.outer = nn.Linear(width, int(torch.Size(shape).numel()))
        self.arranger = None if arranger is None else Arranger(condition, self.shape, width=arranger[0], depth=arranger[1])
        self.register_buffer("scale", torch.ones(()))  # deviation of the residual, so that the U-Net sees unit variance

    def forward(self, conditions: Tensor) -> Tensor:
        plain = self.plain(conditions)
        return plain if self.arranger is None else self.arranger(plain, conditions)

    def plain(self, conditions: Tensor) -> Tensor:
        """The MLP's part [B, *shape]."""
        hidden = self.inner(conditions.flatten(1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.outer(F.silu(self.outer_norm(hidden))).unflatten(1, self.shape)

    def complete(self, residual: Tensor, conditions: Tensor) -> Tensor:
        """Denoised residual [B, …] -> latents of the same shape; a longer sound or film repeats the mean, a shorter one cuts it."""
        mean = self(conditions)
        for axis, size in enumerate(residual.shape[1:], start=1):
            if size != mean.shape[axis]:
                mean = mean.index_select(axis, torch.arange(size, device=mean.device) % mean.shape[axis])
        return mean + self.scale * residual


class Arranger(nn.Module):
    """Latents of a plain thing [B, C, h, w] and conditions [B, L, D] -> latents of the scene, by a small transformer over the cells.

    What "two", "on the left" or "blue" do to a picture is the same for all things, so a network that is given the thing learns it from a
    few of them, where an MLP has to learn every thing in every place. The condition scales and shifts each block (Peebles and Xie 2023).
    """

    def __init__(self, condition: int, shape: tuple[int, ...], *, width: int, depth: int, heads: int = 8) -> None:
        super().__init__()
        channels, *sides = shape
        self.places = nn.Parameter(0.02 * torch.randn(int(torch.Size(sides).numel()), width))
        self.enter = nn.Linear(channels, width)
        self.told = nn.Sequential(nn.Linear(condition, width), _Gated(width), nn.SiLU())
        self.blocks = nn.ModuleList(_ArrangerBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, channels)

    def forward(self, plain: Tensor, conditions: Tensor) -> Tensor:
        told = self.told(conditions.flatten(1))
        cells = self.enter(plain.flatten(2).transpose(1, 2)) + self.places
        for block in self.blocks:
            cells = block(cells, told)
        return plain + self.leave(self.norm(cells)).transpose(1, 2).reshape(plain.shape)


class _ArrangerBlock(nn.Module):
    """Attention among the cells and an MLP for each, both scaled and shifted by what is told [B, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, cells: Tensor, told: Tensor) -> Tensor:
        scale, shift, gate, wide, lift, door = self.modulation(told)[:, None].chunk(6, dim=-1)
        query, key, value = self.qkv(self.norms[0](cells) * (1 + scale) + shift).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        cells = cells + gate * self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return cells + door * self.mlp(self.norms[1](cells) * (1 + wide) + lift)


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
