"""The pools of encoded training media: what the language stages use in place of files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.checkpoints import read_tensors
from nextgpt_core.messages import Media
from recipes.nano.paths import DATA
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.scenes import MODALITIES, Scene
from recipes.nano.world.sounds.catalogue import AXES, SoundScene
from recipes.nano.world.things import Thing, things
from recipes.nano.world.videos import VideoScene

POOLS = DATA
HELD_OUT_EVERY = 16  # every sixteenth row is for measuring only


class Pools:
    """Encoder features [n, N, D] and scenes of each modality; the `MediaSource` of training dialogues."""

    def __init__(self, *, held_out: bool = False, folder: Path = POOLS) -> None:
        self.features: dict[str, Tensor] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self._chosen: dict[str, np.ndarray] = {}
        for modality in MODALITIES:
            path = folder / f"pool_{modality}.jsonl"
            if not path.is_file():
                continue
            self.features[modality] = read_tensors(path.with_suffix(".safetensors"))["features"]
            self.rows[modality] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            indices = np.arange(len(self.rows[modality]))
            self._chosen[modality] = indices[(indices % HELD_OUT_EVERY == 0) == held_out]

    def draw(self, rng: np.random.Generator, modality: str) -> tuple[Scene, dict[str, Any]]:
        index = int(rng.choice(self._chosen[modality]))
        return self.scene(modality, index), {"pool": index}

    def scene(self, modality: str, index: int) -> Scene:
        """What the file of a row shows."""
        row = self.rows[modality][index]
        told = row.get("attributes") or {}
        if modality == "audio":
            return SoundScene(row["thing"], **{axis: told[axis] for axis in AXES if told.get(axis)})
        picture = _picture(row["thing"], told)
        return VideoScene(picture, row["motion"]) if modality == "video" else picture

    def features_of(self, media: Media) -> Tensor:
        """Encoder vectors [N, D] of a file that `draw` gave, in three of four with up to half of another file in the first vector:
        nearly what encoders make of a style that they have never seen."""
        index = media.info["pool"]
        rng = np.random.default_rng(index)
        known = self.features[media.modality]
        vectors = known[index].float().clone()
        if rng.random() < 0.75:
            share, other = 0.5 + 0.5 * rng.random(), known[rng.integers(len(known)), 0].float()
            vectors[0] = mixed(vectors[0], other, share)
        return vectors


def mixed(own: Tensor, other: Tensor, share: Tensor | float) -> Tensor:
    """Vectors [..., d] of length sqrt(d), between their own and another one, `share` of them their own."""
    return F.normalize(share * own + (1 - share) * other, dim=-1) * own.shape[-1] ** 0.5


_THINGS: dict[str, Thing] = {}


def _picture(name: str, told: dict[str, Any]) -> PictureScene:
    if not _THINGS:
        _THINGS.update({thing.name: thing for thing in things()})
    known = {key: told[key] for key in ("count", "colour", "background", "size", "position") if told.get(key)}
    return PictureScene(_THINGS[name], **known)
