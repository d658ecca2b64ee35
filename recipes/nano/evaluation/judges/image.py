"""An independent judge of made pictures: pixels -> thing, a small network trained on reference renders alone."""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import load_strict, save_tensors
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.paths import PRESET, RUNS
from recipes.nano.world.pictures import render, sample_picture
from recipes.nano.world.sprites import FLAT_STYLES, MAIN_STYLE
from recipes.nano.world.things import things

log = logging.getLogger(__name__)

RUN = RUNS / "image_judge"
WEIGHTS = PRESET / "judges" / "image.safetensors"
PIXELS = 64
_MAIN_SHARE = 0.85
_PLAIN_SHARE = 0.8  # made pictures are judged by plain wishes ("a dog")


class ImageJudge(nn.Module):
    """float [b, 3, 64, 64] in -1..1 -> logits [b, things]."""

    def __init__(self, count: int = 0) -> None:
        """`count` classes; by default all things."""
        super().__init__()
        self.layers = nn.Sequential(
            _layer(3, 32, 5, stride=2),
            _layer(32, 64, stride=2),
            _layer(64, 96),
            _layer(96, 128, stride=2),
            _layer(128, 192),
            _layer(192, 256, stride=2),
        )
        self.head = nn.Linear(2 * 256, count or len(things()))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """What the head sees, [b, 512]."""
        found = self.layers(pixels.contiguous(memory_format=torch.channels_last)).flatten(2)
        return torch.cat([found.mean(2), found.amax(2)], 1)

    @classmethod
    def from_file(cls, path: Path = WEIGHTS) -> "ImageJudge":
        """The trained judge. Raises CheckpointError where the file is missing or does not fit."""
        judge = cls()
        load_strict(judge, path)
        return judge.eval().requires_grad_(False)

    @torch.inference_mode()
    def name(self, pictures: np.ndarray) -> list[str]:
        """uint8 [n, h, w, 3] of any size -> names of the things."""
        return [things()[index].name for index in self(_shrunk(pictures)).argmax(1).tolist()]


def train_image_judge(*, cpu_minutes: float = 10, batch: int = 64, peak: float = 3e-3, run: Path = RUN) -> ImageJudge:
    """Train on fresh random scenes, export WEIGHTS, log the accuracy on held-out ones."""
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    judge = ImageJudge().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=peak, weight_decay=0.02)
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"judge": judge, "optimizer": optimizer})
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.6)
        pixels, labels = _scenes(rng, batch)
        worn = torch.from_numpy(pixels) + float(rng.uniform(0, 0.15)) * torch.randn(batch, 3, PIXELS, PIXELS)
        loss = F.cross_entropy(judge(worn), torch.from_numpy(labels), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            session.log(loss=loss.item())
    judge.eval().requires_grad_(False)
    refit_head(judge)
    save_tensors(judge.state_dict(), WEIGHTS, dtype=torch.float16)
    log.info("held-out accuracy %.4f", judge_accuracy(judge))
    return judge


@torch.inference_mode()
def refit_head(judge: ImageJudge, *, rounds: int = 10, seed: int = 77) -> None:
    """Set the head by linear discriminants on plain scenes: means of the things' features under their common covariance."""
    rng = np.random.default_rng(seed)
    means, spread = [], torch.zeros(judge.head.in_features, judge.head.in_features)
    for thing in things():
        scenes = [sample_picture(rng, thing=thing, styles=(MAIN_STYLE,), canonical=1.0) for _ in range(rounds)]
        found = judge.features(_shrunk(np.stack([render(scene, 2 * PIXELS) for scene in scenes])))
        means.append(found.mean(0))
        spread += (found - means[-1]).T @ (found - means[-1]) / (rounds * len(things()))
    centres = torch.stack(means)
    floor = 0.05 * spread.diagonal().mean() * torch.eye(len(spread))
    weight = torch.linalg.solve(spread + floor, centres.T).T
    judge.head.weight.copy_(weight)
    judge.head.bias.copy_(-0.5 * (weight * centres).sum(1))


def judge_accuracy(judge: ImageJudge, *, rounds: int = 2) -> float:
    """The share of unseen plain scenes in the main style (each thing `rounds` times, shifted, zoomed, turned) that the judge names."""
    rng = np.random.default_rng(1007)
    hits = []
    for thing in things():
        scenes = [sample_picture(rng, thing=thing, styles=(MAIN_STYLE,), canonical=1.0) for _ in range(rounds)]
        hits += [name == thing.name for name in judge.name(np.stack([render(scene, 2 * PIXELS) for scene in scenes]))]
    return float(np.mean(hits))


def _shrunk(pictures: np.ndarray) -> Tensor:
    """uint8 [n, h, w, 3] -> float [n, 3, PIXELS, PIXELS] in -1..1."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return F.interpolate(pixels, (PIXELS, PIXELS), mode="bilinear", antialias=True)


def _scenes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random scenes, mostly of the main style: float32 [count, 3, PIXELS, PIXELS] in -1..1, and class indices [count]."""
    pixels = np.empty((count, 3, PIXELS, PIXELS), np.float32)
    labels = rng.integers(len(things()), size=count)
    for row, label in enumerate(labels):
        styles = (MAIN_STYLE,) if rng.random() < _MAIN_SHARE else FLAT_STYLES
        scene = sample_picture(rng, thing=things()[label], styles=styles, canonical=_PLAIN_SHARE)
        pixels[row] = render(scene, PIXELS).transpose(2, 0, 1) / 127.5 - 1
    return pixels, labels


def _layer(inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
