"""An independent judge of made sounds: waveform -> kind, trained on reference renders alone. Shares no code path with encoder or decoder
but the mel transform, at settings of its own."""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import load_strict, save_tensors
from nextgpt_core.mel import LogMel
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.muon import Muon
from recipes.nano.paths import PRESET, RUNS
from recipes.nano.world.sounds.catalogue import SOUNDS
from recipes.nano.world.sounds.dataset import sound_set

log = logging.getLogger(__name__)

RUN = RUNS / "audio_judge"
WEIGHTS = PRESET / "judges" / "audio.safetensors"


class AudioJudge(nn.Module):
    """Samples [B, n] at 16 kHz -> logits [B, kinds]."""

    def __init__(self, kinds: int = len(SOUNDS)) -> None:
        super().__init__()
        self.mel = LogMel(rate=16_000, fft=512, hop=200, bins=48, low=20, high=7600, floor=1e-5)
        self.layers = nn.Sequential(
            _filter(1, 32, size=5),
            _filter(32, 64),
            _filter(64, 96),
            _filter(96, 160),
            _filter(160, 192, stride=1),
        )
        self.head = nn.Linear(2 * 3 * 192, kinds)  # mean and maximum over time of the 3 rows of frequency that are left

    def forward(self, samples: Tensor) -> Tensor:
        mel = self.mel(samples)
        top = mel.amax((1, 2), keepdim=True).clamp_min(-8)  # silence stays low
        heard = (mel - top).clamp_min(-6) / 2 + 1.5
        found = self.layers(heard[:, None].contiguous(memory_format=torch.channels_last)).permute(0, 1, 3, 2).flatten(1, 2)
        return self.head(torch.cat([found.mean(2), found.amax(2)], dim=1))

    @classmethod
    def from_file(cls, path: Path = WEIGHTS) -> "AudioJudge":
        judge = cls()
        load_strict(judge, path)
        return judge.eval().requires_grad_(False)

    @torch.inference_mode()
    def name(self, samples: np.ndarray) -> list[str]:
        """float [n] or [b, n] at 16 kHz -> the names of the kinds."""
        found = self(torch.from_numpy(np.atleast_2d(samples).astype(np.float32)))
        return [SOUNDS[i].name for i in found.argmax(1).tolist()]


def train_audio_judge(*, cpu_minutes: float = 4, batch: int = 48, peak: float = 3e-3, run: Path = RUN) -> AudioJudge:
    """Train and export WEIGHTS; logs the accuracy on held-out reference sounds."""
    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    samples, scenes = sound_set("train")
    order = [kind.name for kind in SOUNDS]
    kinds = torch.tensor([order.index(scene.kind) for scene in scenes])
    judge = AudioJudge().to(memory_format=torch.channels_last)
    optimizer = Muon(judge, lr=peak, weight_decay=0.02, adam=("head", "layers.0"))
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"judge": judge, "optimizer": optimizer})
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.7)
        rows = np.sort(rng.integers(len(samples), size=batch))
        clips = torch.from_numpy(samples[rows].astype(np.float32) / 32767)
        clips = torch.roll(clips, int(rng.integers(0, 4000)), 1) * float(10 ** rng.uniform(-1, 0.1))
        level = clips.square().mean(1, keepdim=True).sqrt() * 10 ** (-torch.rand(batch, 1) * 1.5 - 0.5)
        loss = F.cross_entropy(judge(clips + level * torch.randn_like(clips)), kinds[rows], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            session.log(loss=loss.item())
    judge.eval().requires_grad_(False)
    save_tensors(judge.state_dict(), WEIGHTS, dtype=torch.float16)
    log.info("held-out accuracy %.4f", judge_accuracy(judge))
    return judge


def judge_accuracy(judge: AudioJudge) -> float:
    """The share of held-out reference sounds (unseen keys, velocities; noise) that the judge names."""
    samples, scenes = sound_set("heldout")
    named = [name for i in range(0, len(samples), 32) for name in judge.name(samples[i : i + 32] / 32767)]
    return float(np.mean([name == scene.kind for name, scene in zip(named, scenes, strict=True)]))


def _filter(inputs: int, outputs: int, *, size: int = 3, stride: int = 2) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
