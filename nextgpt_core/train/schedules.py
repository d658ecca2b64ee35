"""Learning rates over a training's progress (0 to 1), as a share of their peak."""

import math

FLOOR = 0.05  # where the rates end


def cosine(progress: float, *, warmup: float = 0.05) -> float:
    """Linear warm-up, then a half cosine down to FLOOR."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def trapezoid(progress: float, *, warmup: float = 0.02, cooldown: float = 0.3) -> float:
    """Up within `warmup`, flat, then linearly down to FLOOR over the last `cooldown`."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return min(1.0, FLOOR + (1 - FLOOR) * (1 - progress) / cooldown)
