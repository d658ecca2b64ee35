"""Says what a picture of a known thing shows of colour, number and ground, by the nearest of the recipe's own drawings of that thing.

It learns nothing and shares nothing with the decoder. Which thing it is, the other judge (judges/image.py) says.
"""

from dataclasses import replace
from itertools import product

import numpy as np
from PIL import Image

from recipes.nano.world.pictures import BACKGROUNDS, COLOURS, COUNTS, PictureScene, render
from recipes.nano.world.things import Thing, things

_SIDE = 32
_REFERENCES = 300


class AttributeJudge:
    """Colour ("" for the thing's own), number and ground of a thing in a picture."""

    @classmethod
    def from_file(cls) -> "AttributeJudge":
        """As other judges are made; there is nothing to read."""
        return cls()

    def name(self, picture: np.ndarray, thing: Thing) -> tuple[str, int, str]:
        """uint8 [s, s, 3] -> (colour, number, ground)."""
        seen = _small(picture)
        edge = np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
        ground = min(BACKGROUNDS, key=lambda name: float(np.abs(np.median(edge, 0) - BACKGROUNDS[name]).sum()))
        numbers = range(1, len(COUNTS) + 1) if thing.article else (1,)
        wishes = [(colour, number) for colour, number in product(("", *COLOURS), numbers) if colour != ground]
        drawn = [_small(render(PictureScene(thing, colour=colour, count=number, background=ground), 64)) for colour, number in wishes]
        colour, number = wishes[int(np.argmin([float(np.square(seen - one).sum()) for one in drawn]))]
        return colour, number, ground


def sample_order(rng: np.random.Generator, *, jitter: float = 0.0) -> PictureScene:
    """A scene with a colour and a ground, and often more than one of the thing; `jitter` as in sample_picture."""
    countable = [thing for thing in things() if thing.article]
    colour = str(rng.choice(list(COLOURS)))
    ground = str(rng.choice([name for name in BACKGROUNDS if name not in ("white", colour)]))
    scene = PictureScene(countable[rng.integers(len(countable))], colour=colour, background=ground, count=int(rng.integers(1, 4)))
    shift = (float(rng.normal(0, 0.02 * jitter)), float(rng.normal(0, 0.02 * jitter)))
    return replace(scene, shift=shift, zoom=float(np.exp(rng.normal(0, 0.05 * jitter))))


def judge_accuracy(judge: AttributeJudge) -> float:
    """On drawings that are moved and scaled a little."""
    rng = np.random.default_rng(11)
    scenes = [sample_order(rng, jitter=1.0) for _ in range(_REFERENCES)]
    wanted = [(scene.colour, scene.count, scene.background) for scene in scenes]
    return float(np.mean([judge.name(render(scene, 128), scene.thing) == right for scene, right in zip(scenes, wanted, strict=True)]))


def _small(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((_SIDE, _SIDE), Image.Resampling.BOX)).astype(np.float32)
