"""Making log-mel spectrograms audible without a trained network."""

from typing import Any

import torch
from torch import Tensor, nn

from nextgpt_core.mel import LogMel


class GriffinLim(nn.Module):
    """A Vocoder: guesses the phases that fit a spectrogram (Griffin & Lim 1984, with the momentum of Perraudin et al. 2013).

    `mean` and `std` undo the normalisation that the spectrogram's autoencoder works in; the other arguments are LogMel's.
    """

    lines: Tensor

    def __init__(self, *, mean: float = 0.0, std: float = 1.0, iterations: int = 32, momentum: float = 0.95, **mel: Any) -> None:
        super().__init__()
        self.mel = LogMel(**mel)
        self.rate, self.hop, self.bins = self.mel.rate, self.mel.hop, self.mel.bins
        self.mean, self.std = mean, std
        self.iterations, self.momentum = iterations, momentum
        # From mel bands back to spectral lines: a line takes its bands' levels, weighted as it fed them and shared by all lines of a band.
        filters = self.mel.filters  # [fft / 2 + 1, bins]
        self.register_buffer("lines", (filters / filters.sum(0, keepdim=True)).T.contiguous(), persistent=False)

    @torch.no_grad()
    def forward(self, mel: Tensor) -> Tensor:
        """[frames, bins] -> float32 [frames * hop] in -1..1. The same spectrogram always gives the same sound."""
        wanted = (mel.float().to(self.lines.device) * self.std + self.mean).exp()
        wanted = (wanted - self.mel.floor).clamp_min(0)  # what was cut at the floor is silence, not hiss
        return self._phases(self._magnitudes(wanted)).clamp(-1, 1)

    def _magnitudes(self, mel: Tensor) -> Tensor:
        """[T, bins] -> [T, fft / 2 + 1] >= 0 whose mel bands are those given: multiplicative updates for non-negative least squares."""
        filters = self.mel.filters
        lines = mel @ self.lines + 1e-8
        gram = filters @ filters.T
        target = mel @ filters.T
        for _ in range(30):
            lines = lines * (target / (lines @ gram + 1e-8))
        return lines

    def _phases(self, magnitudes: Tensor) -> Tensor:
        """[T, fft / 2 + 1] -> [T * hop]."""
        fft, window = self.mel.fft, self.mel.window
        samples = len(magnitudes) * self.hop
        target = torch.cat([magnitudes, magnitudes[-1:]]).T  # [lines, T + 1]: the centred transform ends one frame later
        generator = torch.Generator().manual_seed(0)
        angles = torch.rand(target.shape, generator=generator).to(target.device) * (2 * torch.pi)
        spectrum = torch.polar(target, angles)
        previous = torch.zeros_like(spectrum)
        for _ in range(self.iterations):
            rebuilt = torch.stft(
                torch.istft(spectrum, fft, self.hop, window=window, length=samples), fft, self.hop, window=window, return_complex=True
            )
            ahead = rebuilt + self.momentum * (rebuilt - previous)
            previous = rebuilt
            spectrum = target * ahead / ahead.abs().clamp_min(1e-8)
        return torch.istft(spectrum, fft, self.hop, window=window, length=samples)
