"""The rules of tests/golden: reference numbers of the original code, with weights and inputs that are drawn again instead of stored."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


def golden_weight(name: str, shape: list[int], scale: float) -> Tensor:
    """The weight of this name; `scale` applies to matrices, not to norm gains and biases."""
    noise = standard_normal(zlib.crc32(name.encode()) & 0xFFFFFFFF, tuple(shape))
    if len(shape) == 1 and name.endswith(".weight"):
        noise = 1.0 + 0.02 * noise
    elif name.endswith("bias"):
        noise = 0.02 * noise
    else:
        noise = scale * noise
    return torch.from_numpy(noise.astype(np.float32))


def golden_input(seed: int, shape: list[int]) -> Tensor:
    return torch.from_numpy(standard_normal(seed, tuple(shape)).astype(np.float32))


def standard_normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def golden_json(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))
