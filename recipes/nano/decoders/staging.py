"""Trains a decoder that draws and stages (decoders/staged.py). Both halves learn at once, neither waits for the other: the drawing network
from every thing by itself, the staging network from where things are, how they are dyed and on which ground, and from finished pictures or
videos of which it is given the thing. (From those alone it learns to make what is in a wrong place invisible, not to move it, and slowly
which colour is whose.)"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import read_tensors
from nextgpt_core.decoders.staged import PATCH, StagedMean
from nextgpt_core.errors import CheckpointMismatch
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.bfloat16 import half_context
from recipes.nano.decoders.autoencoder import GRID, linear_encoder
from recipes.nano.decoders.regression import see_decorrelated
from recipes.nano.decoders.unet import LatentSet
from recipes.nano.world.pictures import BACKGROUNDS, COLOURS, PictureScene, tinted
from recipes.nano.world.sprites import MAIN_STYLE, hexcodes, sprite
from recipes.nano.world.things import Thing, things

log = logging.getLogger(__name__)

_BATCH = 256
_COARSE = ((0.35, 4), (0.65, 2), (2.0, 1))  # until which share of the budget the stage has so many times fewer pixels a side
_NOISE = {"drawing": 0.3, "staging": 0.1}  # on conditions of unit variance: which thing it is survives more of it than its attributes
_SWATCH = 8  # how many times fewer pixels a side a dyed drawing has when only its colours are compared
_DYED = ("", *COLOURS)
_WEIGHTS = {"drawing": 1.0, "staging": 1.0, "placing": 1.0, "dyeing": 4.0, "grounding": 4.0}  # the last two count in colours from 0 to 1


@dataclass(frozen=True)
class Staging:
    """What the recipe knows of each of a set's rows."""

    thing: Tensor  # [n], index in things()
    poses: Tensor  # [n, T, K, 6], where it is, as in StagedMean but with opacity from 0 to 1
    dye: Tensor  # [n], index in _DYED
    ground: Tensor  # [n, 3], the background's colour from 0 to 1

    @classmethod
    def of(cls, scenes: Sequence[PictureScene], poses: np.ndarray) -> "Staging":
        places = {thing: place for place, thing in enumerate(things())}
        return cls(
            thing=torch.tensor([places[scene.thing] for scene in scenes]),
            poses=torch.from_numpy(poses).float(),
            dye=torch.tensor([_DYED.index(scene.colour) for scene in scenes]),
            ground=torch.tensor([BACKGROUNDS[scene.background] for scene in scenes]) / 255,
        )


def train_staged(
    data: LatentSet,
    vae: Any,
    known: Staging,
    *,
    run: Path,
    cpu_minutes: float,
    width: int = 640,
    sprite_channels: int = 256,
    layers: int = 1,
    staged: int = 32,
    peak: float = 1e-3,
    seed: int = 0,
    start: Path | None = None,
) -> StagedMean:
    """`staged` rows of a batch are rendered. Begins with the drawing network in the file `start`, if given; resumes from `run`."""
    torch.manual_seed(seed)
    shape = tuple(data.latents.shape[1:])
    mean = StagedMean(condition=data.conditions.shape[1], shape=shape, width=width, sprite=sprite_channels, layers=layers)
    codes = fit_painter(mean, drawings())
    swatches = dyed_swatches()
    with torch.no_grad():
        reader, offset = linear_encoder(vae)
        mean.reader.copy_(reader)
        mean.offset.copy_(offset)
    begin(mean, data.conditions.float())
    if start is not None:
        draw_as(mean, start)
    optimizer = torch.optim.AdamW(mean.parameters(), lr=peak, weight_decay=1e-3)
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"mean": mean, "optimizer": optimizer})
    generator = torch.Generator().manual_seed(seed + session.step)
    sums = dict.fromkeys(_WEIGHTS, 0.0)
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.9)
        rows = torch.multinomial(data.weights, _BATCH, replacement=True, generator=generator)
        with half_context():
            drawn = mean.draw(data.seen(rows, generator, noise=_NOISE["drawing"])).float()
        wanted = codes[known.thing[rows]]
        told = mean.staged(data.seen(rows, generator, noise=_NOISE["staging"]))
        coarse = next(pixels for until, pixels in _COARSE if session.progress < until)
        some = slice(0, staged * coarse)
        itself = torch.rand(len(drawn[some]), 1, 1, 1, generator=generator) < 0.5  # else as the other network has it so far
        given = torch.where(itself, wanted[some], drawn[some].detach())
        made = mean.read(mean.render(given, *(part[some] for part in told), coarse=coarse), coarse=coarse)
        dyed = mean.painted(mean.sprites(wanted, coarse=_SWATCH), told[1])[:, :3]
        losses = {
            "drawing": (drawn - wanted).square().mean(),
            "staging": (made - data.latents[rows[some]].float()).square().mean(),
            "placing": _distance(told[0], known.poses[rows]),
            "dyeing": (dyed - swatches[known.dye[rows], known.thing[rows]]).square().mean(),
            "grounding": (told[2].sigmoid() - known.ground[rows]).square().mean(),
        }
        optimizer.zero_grad()
        torch.stack([_WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(mean.staging.parameters(), 0.5)
        optimizer.step()
        sums = {name: sums[name] + loss.item() for name, loss in losses.items()}
        if step % 100 == 99:
            session.log(**{name: value / 100 for name, value in sums.items()})
            log.info("%d %s %.0f s", step + 1, {name: round(value / 100, 4) for name, value in sums.items()}, session.seconds)
            sums = dict.fromkeys(sums, 0.0)
    return mean.eval().requires_grad_(False)


def _distance(told: Tensor, wanted: Tensor) -> Tensor:
    """Between poses [..., 6]: a scalar. Places count in tenths of the frame."""
    place = (told[..., :2] - wanted[..., :2]).square().sum(-1) * 100
    size = (told[..., 2] - wanted[..., 2]).square() * 10
    turn = (told[..., 3:5] - wanted[..., 3:5]).square().sum(-1)
    seen = F.binary_cross_entropy_with_logits(told[..., 5], wanted[..., 5])
    return ((place + size + turn) * (wanted[..., 5] > 0)).mean() + seen


@torch.no_grad()
def begin(mean: StagedMean, conditions: Tensor) -> None:
    """The first weights: all layers lie in the middle, large and upright, in the thing's own colours on a light ground."""
    see_decorrelated(mean.drawing, conditions)
    see_decorrelated(mean.staging, conditions)  # which of two colours is whose lies in directions of small variance
    nn.init.normal_(mean.staging.outer.weight, std=1e-3)
    poses, paint, ground = mean.staging.outer.bias.split([mean.frames * mean.layers * 6, 16, 3])
    poses.view(-1, 6).copy_(torch.tensor([0.0, 0.0, -0.4, 1.0, 0.0, 0.0]))
    paint.copy_(torch.cat([torch.eye(3, 5).flatten(), torch.zeros(1)]))
    ground.fill_(2.0)


@torch.no_grad()
def fit_painter(mean: StagedMean, pictures: Tensor) -> Tensor:
    """RGBA drawings [n, 4, H, W] -> their codes [n, S, h, w] of unit variance on the whole; the principal components of their cells become
    the mean's painter."""
    count = mean.painter.shape[0]
    mean.blank.copy_(pictures.mean(0))
    left = pictures - mean.blank
    cells = F.pixel_unshuffle(left, PATCH)  # [n, 4 * PATCH^2, h, w]
    flat = cells.permute(0, 2, 3, 1).reshape(-1, cells.shape[1])
    variances, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    deviations, vectors = variances[-count:].flip(0).clamp(min=1e-6 * variances.max()).sqrt(), vectors[:, -count:].flip(1)
    scale = deviations.sqrt()  # details stay smaller than outlines, as in pictures
    scale = scale * (deviations / scale).square().mean().sqrt()
    mean.painter.copy_((vectors * scale).T.unflatten(1, (4, PATCH, PATCH)))
    codes = torch.einsum("nchw,cs->nshw", cells, vectors / scale)
    error = (F.conv_transpose2d(codes, mean.painter, stride=PATCH) - left).square().mean()
    log.info("drawings in %d numbers a cell: %.1f dB", count, float(-10 * error.log10()))
    return codes


@torch.no_grad()
def draw_as(mean: StagedMean, path: Path) -> None:
    """Begin with what another mean's file knows of drawing things; the codes' meaning must be the same."""
    found = read_tensors(path)
    if not torch.allclose(found["painter"].float(), mean.painter, atol=2e-3):
        raise CheckpointMismatch(f"{path}: its drawing network speaks of other strokes than the painter fitted here; train from the start.")
    mean.drawing.load_state_dict({name.removeprefix("drawing."): value for name, value in found.items() if name.startswith("drawing.")})


@cache
def drawings() -> Tensor:
    """Every thing of the world by itself, RGBA [n, 4, H, W] from 0 to 1, colours multiplied by alpha."""
    return torch.from_numpy(np.stack([_premultiplied(_picture(thing), GRID * PATCH) for thing in things()]))


@cache
def dyed_swatches() -> Tensor:
    """Every thing in its own and in every other colour, small: [colours of _DYED, n, 3, H / 8, W / 8]."""
    side = GRID * PATCH // _SWATCH
    return torch.from_numpy(np.stack([[_premultiplied(tinted(_picture(thing), dye), side)[:3] for thing in things()] for dye in _DYED]))


def _picture(thing: Thing) -> Image.Image:
    return sprite(hexcodes(thing, MAIN_STYLE)[0], MAIN_STYLE)


def _premultiplied(picture: Image.Image, side: int) -> np.ndarray:
    rgba = np.asarray(picture).astype(np.float32) / 255
    rgba = np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)
    return np.stack([np.asarray(Image.fromarray(rgba[..., k]).resize((side, side), Image.Resampling.BOX)) for k in range(4)])
