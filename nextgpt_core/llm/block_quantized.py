"""Frozen matrices stored in few bits, in blocks of 32 along the input axis, exactly as llama.cpp's Q8_0 and Q4_1 hold them.

A block-quantized matrix `name` [rows, columns] is two or three tensors of a safetensors file:
    name.q8    int8  [rows, columns]      and  name.scale float16 [rows, columns / 32]                 value = scale * q
    name.q4    uint8 [rows, columns / 2]  and  name.scale, name.minimum float16 [rows, columns / 32]   value = scale * q + minimum
In a block of 32, byte j of the 16 holds element j in its low four bits and element j + 16 in its high four bits.
Everything else in the file is an ordinary tensor.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.checkpoints import read_tensors
from nextgpt_core.errors import CheckpointMismatch

BLOCK = 32
BLOCK_FILES = ("embedding.safetensors", "layers.safetensors")  # a language model's folder, where it is stored so


@dataclass(frozen=True)
class Blocks:
    """A matrix as it is stored: int8 numbers, or uint8 pairs of four bits with a minimum."""

    quants: Tensor  # int8 [rows, columns] or uint8 [rows, columns / 2]
    scale: Tensor  # float16 [rows, columns / 32]
    minimum: Tensor | None = None  # float16 [rows, columns / 32], of four bits

    @property
    def bits(self) -> int:
        return 8 if self.minimum is None else 4

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.scale.shape[0], self.scale.shape[1] * BLOCK

    def rows(self, ids: Tensor) -> "Blocks":
        """Some of the rows."""
        return Blocks(self.quants[ids], self.scale[ids], None if self.minimum is None else self.minimum[ids])

    def unpacked(self) -> Tensor:
        """The matrix in float32 [rows, columns]."""
        if self.minimum is None:
            return unpack_q8(self.quants, self.scale)
        return unpack_q4(self.quants, self.scale, self.minimum)


def is_block_quantized(folder: Path) -> bool:
    """Whether a language model's folder holds block-quantized files."""
    return (folder / BLOCK_FILES[0]).is_file()


def read_blocks(paths: Iterable[Path]) -> dict[str, Blocks | Tensor]:
    """All tensors of these files under their plain names, the block-quantized ones as they are stored, others in float32.

    Raises CheckpointMissing or CheckpointMismatch.
    """
    found: dict[str, Blocks | Tensor] = {}
    for path in paths:
        stored = read_tensors(path)
        for key, value in stored.items():
            name, _, kind = key.rpartition(".")
            try:
                if kind == "q8":
                    found[name] = Blocks(value, stored[f"{name}.scale"])
                elif kind == "q4":
                    found[name] = Blocks(value, stored[f"{name}.scale"], stored[f"{name}.minimum"])
                elif kind not in ("scale", "minimum"):
                    found[key] = value.float()
            except KeyError as error:
                raise CheckpointMismatch(f"{path} lacks {error.args[0]}; fetch or copy it again.") from error
    return found


def read_block_quantized(paths: Iterable[Path]) -> dict[str, Tensor]:
    """All tensors of these files, unpacked to float32, under their plain names. Raises CheckpointMissing or CheckpointMismatch."""
    return {name: value.unpacked() if isinstance(value, Blocks) else value for name, value in read_blocks(paths).items()}


def unpack_q8(quants: Tensor, scale: Tensor) -> Tensor:
    """int8 [r, c], float16 [r, c/32] -> float32 [r, c]."""
    rows, columns = quants.shape
    blocks = quants.view(rows, columns // BLOCK, BLOCK).float()  # [r, c/32, 32]
    return blocks.mul_(scale.float().unsqueeze(-1)).view(rows, columns)


def unpack_q4(quants: Tensor, scale: Tensor, minimum: Tensor) -> Tensor:
    """uint8 [r, c/2], float16 [r, c/32] twice -> float32 [r, c]."""
    rows, half = quants.shape
    pairs = quants.view(rows, -1, BLOCK // 2)  # [r, c/32, 16]
    blocks = torch.cat((pairs & 15, pairs >> 4), dim=-1).float()  # [r, c/32, 32]
    return blocks.mul_(scale.float().unsqueeze(-1)).add_(minimum.float().unsqueeze(-1)).view(rows, 2 * half)
