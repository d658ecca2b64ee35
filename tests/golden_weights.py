"""The reference data's rule for weights: every tensor follows from its name (see tests/golden/README.md)."""

import zlib

import numpy as np
import torch
from torch import Tensor, nn


def golden_weight(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
    """Norm gains around 1, biases around 0, everything else normal with deviation `scale`."""
    numbers = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF).standard_normal(shape)
    if len(shape) == 1 and name.endswith(".weight"):
        numbers = 1.0 + 0.02 * numbers
    elif name.endswith("bias"):
        numbers = 0.02 * numbers
    else:
        numbers = scale * numbers
    return torch.from_numpy(numbers.astype(np.float32))


def fill(module: nn.Module, scale: float, *, kept: tuple[str, ...] = ()) -> None:
    """Give a module the weights of the rule; scalars and the names in `kept` keep their constructor's values."""
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.ndim and name not in kept:
                value.copy_(golden_weight(name, tuple(value.shape), scale))


def golden_input(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))
