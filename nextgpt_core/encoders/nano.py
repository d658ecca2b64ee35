"""nano's encoder: one small tower per modality, all bound to MiniLM's text space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextgpt_core.encoders.base import Encoder
from nextgpt_core.encoders.nano_audio import AudioTower
from nextgpt_core.encoders.nano_image import NanoImageTower
from nextgpt_core.encoders.nano_video import NanoVideoTower
from nextgpt_core.errors import CheckpointMissing
from nextgpt_core.frozen import absent

WIDTH = 384
TOWERS: dict[str, Any] = {"image": NanoImageTower, "video": NanoVideoTower, "audio": AudioTower}


class NanoEncoder(Encoder):
    """A file -> a few vectors of unit variance [N, 384]; the first says what it shows, the others how."""

    width = WIDTH

    def __init__(self, towers: dict[str, Any]) -> None:
        """`towers` by modality, each with `tokens` and `encode(content)`."""
        self._towers = towers
        self.modalities: tuple[str, ...] = tuple(towers)

    @classmethod
    def from_folder(cls, path: Path, /) -> "NanoEncoder":
        """All towers, each strictly from {image,video,audio}.safetensors. Raises CheckpointError that names the files that are missing."""
        if missing := absent(cls.needed_files(path), path):
            raise CheckpointMissing(f"The encoder in {path} lacks {', '.join(missing)}; fetch or copy it again.")
        return cls({modality: tower.from_file(path / f"{modality}.safetensors") for modality, tower in TOWERS.items()})

    @classmethod
    def needed_files(cls, folder: Path) -> Sequence[tuple[str, ...]]:
        return [(f"{modality}.safetensors",) for modality in TOWERS]

    @classmethod
    def activations(cls) -> float:
        """A video's cut-outs (`benchmarks.activations`)."""
        return 6 * 2**20

    def parts(self) -> dict[str, nn.Module]:
        return self._towers

    def tokens(self, modality: str) -> int:
        """How many vectors one file becomes."""
        tokens: int = self._towers[modality].tokens
        return tokens

    def encode(self, modality: str, content: Any) -> torch.Tensor:
        """`content` as its ModalitySpec loads it -> float32 [N, 384]."""
        vectors: torch.Tensor = self._towers[modality].encode(content)
        return vectors.float().cpu()
