"""The independent judge of videos: which reference video is nearest, all things in all motions, in a space made from those alone.

It shares nothing with the encoder or the decoder; frames are compared at 24 x 24 pixels, with the background taken away.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.checkpoints import read_tensors, save_tensors
from recipes.nano.paths import DATA
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.sprites import MAIN_STYLE, hexcodes
from recipes.nano.world.things import things
from recipes.nano.world.videos import MOTIONS, VideoScene, render, sample_video

log = logging.getLogger(__name__)

WEIGHTS = DATA / "video_judge.safetensors"  # 13 MB of reference videos, drawn again in under a minute: not bundled
_PIXELS = 24
_DRAWN = 48  # references are drawn at twice the size and then shrunk, as any video that is judged
_WIDTH = 256  # of the space
_MIRRORED = {"moving to the left": "moving to the right", "moving to the right": "moving to the left"}


class VideoJudge:
    """Names the thing and the motion of a video."""

    def __init__(self, *, basis: Tensor, mean: Tensor, references: Tensor, labels: Tensor) -> None:
        """basis [8 * 3 * 24 * 24, d], mean [8 * 3 * 24 * 24], references [n, d], labels [n, 2] (indices of things() and MOTIONS)."""
        self.basis, self.mean, self.references, self.labels = basis.float(), mean.float(), references.float(), labels
        self.names, self.motions = [thing.name for thing in things()], list(MOTIONS)

    @classmethod
    def from_file(cls, path: Path = WEIGHTS) -> "VideoJudge":
        """The judge, made on first use."""
        if not path.is_file():
            train_video_judge(path)
        return cls(**read_tensors(path))

    def name(self, videos: np.ndarray) -> list[tuple[str, str]]:
        """uint8 [n, 8, p, p, 3] -> (thing, motion) of each."""
        placed = (np.stack([seen(video) for video in videos]) - self.mean.numpy()) @ self.basis.numpy()
        nearest = torch.cdist(torch.from_numpy(placed).float(), self.references).argmin(1)
        return [(self.names[thing], self.motions[motion]) for thing, motion in self.labels[nearest].tolist()]


def train_video_judge(path: Path = WEIGHTS, *, tests: int = 400) -> float:
    """Draw the references, make the space, write the judge; returns its accuracy (thing and motion) on freshly drawn videos."""
    videos, labels = references()
    mean = videos.mean(0)
    torch.manual_seed(0)
    _, _, basis = torch.pca_lowrank(videos - mean, q=_WIDTH, center=False, niter=3)
    save_tensors({"basis": basis, "mean": mean, "references": (videos - mean) @ basis}, path, dtype=torch.float16)
    tensors = read_tensors(path)
    save_tensors({**tensors, "labels": labels}, path)
    accuracy = judge_accuracy(VideoJudge.from_file(path), tests=tests)
    log.info("judge of videos: %d references, accuracy %.3f", len(videos), accuracy)
    return accuracy


def judge_accuracy(judge: VideoJudge, *, tests: int = 400, seed: int = 99) -> float:
    """On freshly drawn videos: things and motions at random, with the jitter of training videos, plain and coloured backgrounds."""
    rng = np.random.default_rng(seed)
    scenes = [sample_video(rng, held_out=bool(rng.random() < 0.1), plain=1.0) for _ in range(tests)]
    named = judge.name(np.stack([render(scene, 128) for scene in scenes]))
    return float(np.mean([said == (scene.picture.thing.name, scene.motion) for said, scene in zip(named, scenes, strict=True)]))


def references() -> tuple[Tensor, Tensor]:
    """Every drawing of every thing in every motion, and mirrored: (videos [n, 8 * 3 * 24 * 24], labels [n, 2])."""
    motions = list(MOTIONS)
    videos, labels = [], []
    for index, thing in enumerate(things()):
        for code in hexcodes(thing, MAIN_STYLE):
            for motion in motions:
                video = render(VideoScene(PictureScene(thing, hexcode=code), motion), _DRAWN)
                videos += [seen(video), seen(video[:, :, ::-1])]
                mirrored = _MIRRORED.get(motion, motion)
                labels += [(index, motions.index(motion)), (index, motions.index(mirrored))]
    return torch.from_numpy(np.stack(videos)), torch.tensor(labels)


def seen(video: np.ndarray) -> np.ndarray:
    """uint8 [8, p, p, 3] -> float32 [8 * 3 * 24 * 24]: small, on white, so that the ground's colour does not count."""
    pixels = torch.from_numpy(video.copy()).permute(0, 3, 1, 2).float()
    border = torch.cat([pixels[..., 0, :], pixels[..., -1, :], pixels[..., 0], pixels[..., -1]], -1)  # [8, 3, 4p]
    ground = border.permute(1, 0, 2).flatten(1).median(1).values.view(1, 3, 1, 1)
    small = F.interpolate(pixels, (_PIXELS, _PIXELS), mode="area")
    kept = ((small - ground).abs().amax(1, keepdim=True) / 48).clamp(0, 1)
    out: np.ndarray = ((small * kept + 255 * (1 - kept)) / 127.5 - 1).flatten().numpy()
    return out
