"""nano's encoder: one small tower per modality, all bound to MiniLM's text space."""

import logging
from pathlib import Path
from typing import Any

import torch

from nextgpt_core.encoders.nano_audio import AudioTower
from nextgpt_core.encoders.nano_image import NanoImageTower
from nextgpt_core.encoders.nano_video import NanoVideoTower
from nextgpt_core.errors import CheckpointMissing

log = logging.getLogger(__name__)
WIDTH = 384
TOWERS: dict[str, Any] = {"image": NanoImageTower, "video": NanoVideoTower, "audio": AudioTower}


class NanoEncoder:
    """A medium -> a few vectors of unit variance [N, 384]; the first says what it shows, the others how."""

    width = WIDTH

    def __init__(self, towers: dict[str, Any]) -> None:
        """`towers` by modality, each with `tokens` and `encode(content)`."""
        self._towers = towers
        self.modalities: tuple[str, ...] = tuple(towers)

    @classmethod
    def from_folder(cls, folder: Path) -> "NanoEncoder":
        """The towers whose files {image,video,audio}.safetensors are there, each strictly. Raises CheckpointError."""
        towers = {}
        for modality, tower in TOWERS.items():
            try:
                towers[modality] = tower.from_file(folder / f"{modality}.safetensors")
            except CheckpointMissing as error:
                log.warning("no %s will be understood: %s", modality, error)
        if not towers:
            raise CheckpointMissing(f"{folder} holds no encoder; run `python3 launch.py check` to see what is missing.")
        return cls(towers)

    def tokens(self, modality: str) -> int:
        """How many vectors one medium becomes."""
        tokens: int = self._towers[modality].tokens
        return tokens

    def encode(self, modality: str, content: Any) -> torch.Tensor:
        """`content` as its ModalitySpec loads it -> float32 [N, 384]."""
        vectors: torch.Tensor = self._towers[modality].encode(content)
        return vectors
