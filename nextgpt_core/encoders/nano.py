"""nano's encoder: one small tower per modality, all bound to MiniLM's text space."""

from pathlib import Path
from typing import Any

import torch

from nextgpt_core.encoders.nano_audio import AudioTower
from nextgpt_core.encoders.nano_image import NanoImageTower
from nextgpt_core.encoders.nano_video import NanoVideoTower

WIDTH = 384
TOWERS: dict[str, Any] = {"image": NanoImageTower, "video": NanoVideoTower, "audio": AudioTower}


class NanoEncoder:
    """A medium -> a few vectors of unit variance [N, 384]; the first says what it shows, the others how."""

    width = WIDTH
    modalities: tuple[str, ...] = tuple(TOWERS)

    def __init__(self, towers: dict[str, Any]) -> None:
        """`towers` by modality, each with `tokens` and `encode(content)`."""
        self._towers = towers

    @classmethod
    def from_folder(cls, folder: Path) -> "NanoEncoder":
        """All towers, strictly, from {image,video,audio}.safetensors. Raises CheckpointError."""
        return cls({modality: tower.from_file(folder / f"{modality}.safetensors") for modality, tower in TOWERS.items()})

    def tokens(self, modality: str) -> int:
        """How many vectors one medium becomes."""
        tokens: int = TOWERS[modality].tokens
        return tokens

    def encode(self, modality: str, content: Any) -> torch.Tensor:
        """`content` as its ModalitySpec loads it -> float32 [N, 384]."""
        vectors: torch.Tensor = self._towers[modality].encode(content)
        return vectors
