"""nano's ears: a small convolutional network over log-mels whose first token lies in MiniLM's text space."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import load_strict
from nextgpt_core.mel import LogMel
from nextgpt_core.modalities.audio import AudioClip

WIDTH = 384
MAX_SECONDS = 10.0
RATE = 16_000

_FLOOR = 1e-6
_RANGE = 7.0  # nats below the loudest spot of a clip that are heard, 61 dB


class AudioTower(nn.Module):
    """A sound -> 2 tokens of unit variance: what it is (near its name in MiniLM's space), and how it is (pitch, tempo, mood, loudness).

    The network hears levels relative to the loudest spot, so it does not depend on gain; the level itself goes in as one number.
    """

    tokens = 2

    def __init__(self) -> None:
        super().__init__()
        self.mel = LogMel(rate=RATE, fft=1024, hop=320, bins=64, low=40, high=7800, floor=_FLOOR)
        self.trunk = nn.Sequential(
            _block(1, 32, stride=2),
            _block(32, 64, stride=2),
            _block(64, 64),
            _block(64, 128, stride=2),
            _block(128, 128),
            _block(128, 256, stride=2),
            _block(256, 256),
        )
        self.squeeze = nn.Conv1d(256 * 4, WIDTH, 1)  # the 4 rows of frequency that are left, side by side
        self.what = nn.Linear(2 * WIDTH + 1, WIDTH)
        self.how = nn.Sequential(nn.Linear(2 * WIDTH + 1, WIDTH), nn.LayerNorm(WIDTH, elementwise_affine=False))

    @classmethod
    def from_file(cls, path: Path) -> "AudioTower":
        """The trained tower. Raises CheckpointError where the file is missing or does not fit."""
        return load_strict(cls(), path).eval().requires_grad_(False)

    @torch.inference_mode()
    def encode(self, clip: AudioClip) -> Tensor:
        """The first 10 s of a clip (any rate, any level, silence too) -> float32 [2, 384]."""
        samples = torch.from_numpy(clip.resampled(RATE).samples[: int(MAX_SECONDS * RATE)]).float()
        return self(samples.nan_to_num().to(self.what.weight)[None])[0]

    def forward(self, samples: Tensor) -> Tensor:
        """[B, n] at 16 kHz -> [B, 2, 384]."""
        mel = self.mel(samples)  # [B, T, 64]
        top = mel.amax((1, 2), keepdim=True)
        heard = (mel - top).clamp_min(-_RANGE) / 2 + _RANGE / 4  # about -1.75..1.75
        if (missing := 16 - heard.shape[1]) > 0:
            heard = F.pad(heard, (0, 0, 0, missing), value=-_RANGE / 4)
        found = self.trunk(heard[:, None].contiguous(memory_format=torch.channels_last))  # [B, 256, T/16, 4]
        times = F.silu(self.squeeze(found.permute(0, 1, 3, 2).flatten(1, 2)))  # [B, 384, T/16]
        level = (top[:, :, 0] + 5) / 4  # [B, 1], about -2 (silence) to 1
        pooled = torch.cat([times.mean(2), times.amax(2), level], dim=1)
        what = F.normalize(self.what(pooled), dim=1) * WIDTH**0.5
        return torch.stack([what, self.how(pooled)], dim=1)


def _block(inputs: int, outputs: int, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(inplace=True)
    )
