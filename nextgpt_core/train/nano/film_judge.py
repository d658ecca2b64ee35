"""The independent judge of films: which reference film is nearest, all things in all motions, in a space made from reference films alone.

It shares nothing with the encoder or the decoder; frames are compared at 24 x 24 pixels, with the background taken away.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.checkpoints import read_tensors, save_tensors
from nextgpt_core.train.nano.films import MOTIONS, FilmScene, render, sample_film
from nextgpt_core.train.nano.pictures import PictureScene
from nextgpt_core.train.nano.sources import CACHE
from nextgpt_core.train.nano.sprites import MAIN_STYLE, hexcodes
from nextgpt_core.train.nano.world import things

log = logging.getLogger(__name__)

WEIGHTS = CACHE / "nano" / "film_judge.safetensors"  # 13 MB of reference films, drawn again in under a minute: not bundled
_PIXELS = 24
_DRAWN = 48  # references are drawn at twice the size and then shrunk, as any film that is judged
_WIDTH = 256  # of the space
_MIRRORED = {"moving to the left": "moving to the right", "moving to the right": "moving to the left"}


class FilmJudge:
    """Names the thing and the motion of a film."""

    def __init__(self, *, basis: Tensor, mean: Tensor, references: Tensor, labels: Tensor) -> None:
        """basis [8 * 3 * 24 * 24, d], mean [8 * 3 * 24 * 24], references [n, d], labels [n, 2] (indices of things() and MOTIONS)."""
        self.basis, self.mean, self.references, self.labels = basis.float(), mean.float(), references.float(), labels
        self.names, self.motions = [thing.name for thing in things()], list(MOTIONS)

    @classmethod
    def from_file(cls, path: Path = WEIGHTS) -> "FilmJudge":
        """The judge, made on first use."""
        if not path.is_file():
            train_film_judge(path)
        return cls(**read_tensors(path))

    def name(self, films: np.ndarray) -> list[tuple[str, str]]:
        """uint8 [n, 8, p, p, 3] -> (thing, motion) of each."""
        placed = (np.stack([seen(film) for film in films]) - self.mean.numpy()) @ self.basis.numpy()
        nearest = torch.cdist(torch.from_numpy(placed).float(), self.references).argmin(1)
        return [(self.names[thing], self.motions[motion]) for thing, motion in self.labels[nearest].tolist()]


def train_film_judge(path: Path = WEIGHTS, *, tests: int = 400) -> float:
    """Draw the references, make the space, write the judge; returns its accuracy (thing and motion) on freshly drawn films."""
    films, labels = references()
    mean = films.mean(0)
    torch.manual_seed(0)
    _, _, basis = torch.pca_lowrank(films - mean, q=_WIDTH, center=False, niter=3)
    save_tensors({"basis": basis, "mean": mean, "references": (films - mean) @ basis}, path, dtype=torch.float16)
    tensors = read_tensors(path)
    save_tensors({**tensors, "labels": labels}, path)
    accuracy = judge_accuracy(FilmJudge.from_file(path), tests=tests)
    log.info("judge of films: %d references, accuracy %.3f", len(films), accuracy)
    return accuracy


def judge_accuracy(judge: FilmJudge, *, tests: int = 400, seed: int = 99) -> float:
    """On freshly drawn films: things and motions at random, with the jitter of training films, plain and coloured backgrounds."""
    rng = np.random.default_rng(seed)
    scenes = [sample_film(rng, held_out=bool(rng.random() < 0.1), plain=1.0) for _ in range(tests)]
    named = judge.name(np.stack([render(scene, 128) for scene in scenes]))
    return float(np.mean([said == (scene.picture.thing.name, scene.motion) for said, scene in zip(named, scenes)]))


def references() -> tuple[Tensor, Tensor]:
    """Every drawing of every thing in every motion, and mirrored: (films [n, 8 * 3 * 24 * 24], labels [n, 2])."""
    motions = list(MOTIONS)
    films, labels = [], []
    for index, thing in enumerate(things()):
        for code in hexcodes(thing, MAIN_STYLE):
            for motion in motions:
                film = render(FilmScene(PictureScene(thing, hexcode=code), motion), _DRAWN)
                films += [seen(film), seen(film[:, :, ::-1])]
                mirrored = _MIRRORED.get(motion, motion)
                labels += [(index, motions.index(motion)), (index, motions.index(mirrored))]
    return torch.from_numpy(np.stack(films)), torch.tensor(labels)


def seen(film: np.ndarray) -> np.ndarray:
    """uint8 [8, p, p, 3] -> float32 [8 * 3 * 24 * 24]: small, on white, so that the ground's colour does not count."""
    pixels = torch.from_numpy(film.copy()).permute(0, 3, 1, 2).float()
    border = torch.cat([pixels[..., 0, :], pixels[..., -1, :], pixels[..., 0], pixels[..., -1]], -1)  # [8, 3, 4p]
    ground = border.permute(1, 0, 2).flatten(1).median(1).values.view(1, 3, 1, 1)
    small = F.interpolate(pixels, (_PIXELS, _PIXELS), mode="area")
    kept = ((small - ground).abs().amax(1, keepdim=True) / 48).clamp(0, 1)
    out: np.ndarray = ((small * kept + 255 * (1 - kept)) / 127.5 - 1).flatten().numpy()
    return out
