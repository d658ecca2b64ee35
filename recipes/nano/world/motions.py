"""How a drawn thing moves: ten motions (and standing still) as paths of a flat sprite over a still background."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FRAMES = 8
_TIMES = np.linspace(0.0, 1.0, FRAMES)
_LARGE, _MIDDLE, _SMALL = 0.72, 0.62, 0.5  # the sprite's width in frame widths: what travels needs room


def _hold(value: float) -> np.ndarray:
    return np.full(FRAMES, value)


@dataclass(frozen=True, kw_only=True)
class Path:
    """Where the sprite is in each frame, [FRAMES] each: `x` and `y` in frame widths from the middle (right and down are positive), `angle`
    in degrees clockwise, `side` its width in frame widths, `opacity` 0..1."""

    x: np.ndarray = field(default_factory=lambda: _hold(0.0))
    y: np.ndarray = field(default_factory=lambda: _hold(0.0))
    angle: np.ndarray = field(default_factory=lambda: _hold(0.0))
    side: np.ndarray = field(default_factory=lambda: _hold(_LARGE))
    opacity: np.ndarray = field(default_factory=lambda: _hold(1.0))


def _across(strength: float) -> np.ndarray:
    return np.linspace(-0.25, 0.25, FRAMES) * strength


def _grown(strength: float) -> np.ndarray:
    return np.linspace(0.55 - 0.3 * strength, 0.85, FRAMES)


_TREMBLE = np.where(np.arange(FRAMES) % 2 == 0, -1.0, 1.0)

# Each motion is a function of its strength, about 1.
MOTIONS: dict[str, Callable[[float], Path]] = {
    "moving to the left": lambda strength: Path(x=-_across(strength), side=_hold(_SMALL)),
    "moving to the right": lambda strength: Path(x=_across(strength), side=_hold(_SMALL)),
    "moving up": lambda strength: Path(y=-_across(strength), side=_hold(_SMALL)),
    "moving down": lambda strength: Path(y=_across(strength), side=_hold(_SMALL)),
    "spinning": lambda strength: Path(angle=_TIMES * 315 * strength),
    "bouncing": lambda strength: Path(y=0.2 - 0.36 * strength * np.abs(np.sin(2 * np.pi * _TIMES)), side=_hold(_SMALL)),
    "growing": lambda strength: Path(side=_grown(strength)),
    "shrinking": lambda strength: Path(side=_grown(strength)[::-1].copy()),
    "shaking": lambda strength: Path(x=_TREMBLE * 0.07 * strength, angle=_TREMBLE * 6 * strength, side=_hold(_MIDDLE)),
    "fading away": lambda strength: Path(opacity=np.clip(1.0 - _TIMES * (0.75 + 0.25 * strength), 0.0, 1.0)),
    "standing still": lambda strength: Path(),
}


def animate(sprite: np.ndarray, background: tuple[int, int, int], path: Path, *, pixels: int, zoom: float = 1.0) -> np.ndarray:
    """A sprite (uint8 RGBA [s, s, 4]) moved along a path over a plain background -> uint8 [FRAMES, pixels, pixels, 3]."""
    side = path.side * zoom
    layers = F.grid_sample(
        _premultiplied(sprite, pixels * float(side.mean())).expand(FRAMES, -1, -1, -1),
        F.affine_grid(_inverse(path, side), [FRAMES, 4, pixels, pixels], align_corners=False),
        align_corners=False,
    )
    layers = layers * torch.from_numpy(path.opacity).float().view(-1, 1, 1, 1)
    frames = layers[:, :3] + torch.tensor(background).float().view(1, 3, 1, 1) * (1 - layers[:, 3:])
    return frames.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def _premultiplied(sprite: np.ndarray, wanted: float) -> Tensor:
    """RGBA -> float [1, 4, s, s]: colour times opacity, opacity 0..1; shrunk near the wanted width, since grid_sample does not smooth."""
    rgba = torch.from_numpy(sprite.copy()).float().permute(2, 0, 1)[None]
    alpha = rgba[:, 3:] / 255
    layers = torch.cat([rgba[:, :3] * alpha, alpha], dim=1)
    shrink = int(sprite.shape[0] / max(wanted, 1.0) + 0.4)
    return F.avg_pool2d(layers, shrink) if shrink > 1 else layers


def _inverse(path: Path, side: np.ndarray) -> Tensor:
    """The maps from frame to sprite coordinates (both -1..1), float [FRAMES, 2, 3]."""
    radians = np.deg2rad(path.angle)
    cos, sin = np.cos(radians) / side, np.sin(radians) / side
    x, y = 2 * path.x, 2 * path.y
    rows = np.stack([np.stack([cos, sin, -cos * x - sin * y], -1), np.stack([-sin, cos, sin * x - cos * y], -1)], 1)
    return torch.from_numpy(rows).float()
