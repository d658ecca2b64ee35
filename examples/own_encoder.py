"""An encoder of one's own: of a picture it sees the mean colour and nothing else.

.venv/bin/python -m examples.own_encoder photo.jpg

In the project such a class is one file in nextgpt_core/encoders/ and one line in its table ENCODERS. Its vectors mean nothing to the
language model until an input projection has learnt to put them into its words: examples/train_projection.py goes on from here.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch

from nextgpt_core.build import build_encoder
from nextgpt_core.config import PRESET_FILE, load_preset
from nextgpt_core.encoders import ENCODERS
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.modalities import MODALITIES

PICTURE = Path(__file__).resolve().parents[1] / "assets" / "examples" / "picture.png"


class MeanColour(Encoder):
    """A picture -> one vector [1, 3] in -1..1. It is code alone; one with weights reads them from its folder, strictly."""

    width = 3
    modalities = ("image",)

    @classmethod
    def from_folder(cls, path: Path, /) -> Self:
        return cls()

    @classmethod
    def needed_files(cls, folder: Path) -> Sequence[tuple[str, ...]]:
        return ()

    def tokens(self, modality: str) -> int:
        return 1

    def encode(self, modality: str, content: Any) -> torch.Tensor:
        return torch.from_numpy(content).float().mean(dim=(0, 1))[None] / 127.5 - 1  # uint8 [H, W, 3] -> [1, 3]


ENCODERS["mean colour"] = MeanColour


def write_preset(folder: Path) -> Path:
    """A preset of one's own is a folder with a preset.json: here nano's, with another encoder and a projection of its width."""
    nano = load_preset("nano").folder
    said = json.loads((nano / PRESET_FILE).read_text(encoding="utf-8"))
    said |= {
        "name": "colours",
        "title": "nano that sees colours",
        "encoder": {"kind": "mean colour", "path": "encoder", "width": 3, "tokens": {"image": 1}},
        "input_projection": {"kind": "mlp", "shared": False},
    }
    for part in (said["llm"], *said["outputs"].values()):
        part["path"] = str(nano / part["path"])  # these stay where they are
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PRESET_FILE).write_text(json.dumps(said, indent=2), encoding="utf-8")
    return folder


if __name__ == "__main__":
    encoder = build_encoder(load_preset(write_preset(Path("made") / "colours")))  # refused if it is not what the preset says
    for path in [Path(name) for name in sys.argv[1:]] or [PICTURE]:
        print(path.name, encoder.encode("image", MODALITIES["image"].load(path)).tolist())
