"""nano's encoder: one small tower per modality, all bound to MiniLM's text space."""

from pathlib import Path
from typing import Any

import torch

from nextgpt_core.encoders.nano_audio import AudioTower
from nextgpt_core.encoders.nano_image import NanoImageTower
from nextgpt_core.encoders.nano_video import NanoVideoTower
from nextgpt_core.errors import CheckpointMissing

WIDTH = 384
TOWERS: dict[str, Any] = {"image": NanoImageTower, "video": NanoVideoTower, "audio": AudioTower}


class NanoEncoder:
    """A file -> a few vectors of unit variance [N, 384]; the first says what it shows, the others how."""

    width = WIDTH

    def __init__(self, towers: dict[str, Any]) -> None:
        """`towers` by modality, each with `tokens` and `encode(content)`."""
        self._towers = towers
        self.modalities: tuple[str, ...] = tuple(towers)

    @classmethod
    def from_folder(cls, folder: Path) -> "NanoEncoder":
        """All towers, each strictly from {image,video,audio}.safetensors. Raises CheckpointError that names the files that are missing."""
        files = {modality: folder / f"{modality}.safetensors" for modality in TOWERS}
        if missing := [path.name for path in files.values() if not path.is_file()]:
            raise CheckpointMissing(f"The encoder in {folder} lacks {', '.join(missing)}; fetch or copy it again.")
        return cls({modality: tower.from_file(files[modality]) for modality, tower in TOWERS.items()})

    def tokens(self, modality: str) -> int:
        """How many vectors one file becomes."""
        tokens: int = self._towers[modality].tokens
        return tokens

    def encode(self, modality: str, content: Any) -> torch.Tensor:
        """`content` as its ModalitySpec loads it -> float32 [N, 384]."""
        vectors: torch.Tensor = self._towers[modality].encode(content)
        return vectors
