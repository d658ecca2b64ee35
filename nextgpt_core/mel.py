"""Log-mel spectrograms in torch: what sound encoders hear and sound decoders paint."""

import math

import torch
from torch import Tensor, nn


class LogMel(nn.Module):
    """Samples -> log magnitudes in mel bands (triangles of unit peak, HTK's mel scale, Hann window, centred frames).

    A sine of amplitude 1 gives about log(0.5). Values below `floor` are cut there, so silence is finite.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        *,
        rate: int = 16_000,
        fft: int = 1024,
        hop: int = 256,
        bins: int = 64,
        low: float = 0.0,
        high: float = 8000.0,
        floor: float = 2e-4,
    ) -> None:
        super().__init__()
        self.rate, self.fft, self.hop, self.bins, self.floor = rate, fft, hop, bins, floor
        window = torch.hann_window(fft)
        self.register_buffer("window", window / window.sum(), persistent=False)
        self.register_buffer("filters", mel_filters(rate=rate, fft=fft, bins=bins, low=low, high=high), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """[B, n] at `rate` -> [B, n // hop, bins]; any n >= 1 (short clips are padded to one frame)."""
        if (missing := self.fft // 2 + 1 - samples.shape[-1]) > 0:  # reflection needs half a window
            samples = nn.functional.pad(samples, (0, missing))
        spectrum = torch.stft(samples, self.fft, self.hop, window=self.window, center=True, return_complex=True).abs()  # [B, fft/2+1, T+1]
        frames = max(1, samples.shape[-1] // self.hop)
        mel = spectrum[..., :frames].transpose(1, 2) @ self.filters  # [B, T, bins]
        return mel.clamp_min(self.floor).log()


def mel_filters(*, rate: int, fft: int, bins: int, low: float, high: float) -> Tensor:
    """[fft / 2 + 1, bins] triangles, evenly spaced in mel between two frequencies. Bands narrower than one line still hold one."""
    edges = torch.linspace(_mel(low), _mel(high), bins + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)  # [bins + 2]
    lines = torch.linspace(0, rate / 2, fft // 2 + 1)[:, None]
    rising = (lines - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - lines) / (hertz[2:] - hertz[1:-1])
    filters = torch.minimum(rising, falling).clamp_min(0)
    nearest = (hertz[1:-1] / (rate / 2) * (fft // 2)).round().long()
    empty = filters.sum(0) == 0
    filters[nearest[empty], empty.nonzero()[:, 0]] = 1.0
    return filters


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
