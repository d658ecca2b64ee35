"""Kaldi's filterbank features and windowed-sinc resampling, as torchaudio computes them (float32), without torchaudio."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 16_000
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
_FFT = 512
_PREEMPHASIS = 0.97
_SMALLEST = torch.finfo(torch.float32).eps


def filterbank(samples: Tensor, bins: int) -> Tensor:
    """float32 [n] at 16 kHz -> log mel energies [frames, bins]; frames that do not fit whole are left out.

    Kaldi's defaults with a Hann window, no dither and no energy column. Needs at least WINDOW samples.
    """
    frames = samples.unfold(0, WINDOW, HOP)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - _PREEMPHASIS * before) * torch.hann_window(WINDOW, periodic=False)
    power = torch.fft.rfft(F.pad(frames, (0, _FFT - WINDOW))).abs().square()  # [frames, 257]
    return (power @ _triangles(bins).T).clamp(min=_SMALLEST).log()


def resample(samples: Tensor, rate: int, wanted: int = RATE) -> Tensor:
    """float32 [channels, n] at `rate` -> at `wanted` Hz, by a Hann-windowed sinc of six zero crossings."""
    if rate == wanted:
        return samples
    divisor = math.gcd(rate, wanted)
    taken, made = rate // divisor, wanted // divisor  # every `taken` samples become `made`
    kernel, reach = _sinc(taken, made)
    padded = F.pad(samples, (reach, reach + taken))
    out = F.conv1d(padded[:, None], kernel, stride=taken)  # [channels, made, blocks]
    return out.transpose(1, 2).flatten(1)[:, : math.ceil(made * samples.shape[1] / taken)]


@cache
def _triangles(bins: int) -> Tensor:
    """[bins, 257] triangular filters, evenly spaced between 20 Hz and half the rate on the mel scale."""

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * (1.0 + hertz / 700.0).log()

    low, high = mel(torch.tensor([20.0, RATE / 2]))
    step = (high - low) / (bins + 1)
    left = low + torch.arange(bins)[:, None] * step
    at = mel(torch.arange(_FFT // 2) * (RATE / _FFT))[None]
    rising, falling = (at - left) / step, (left + 2 * step - at) / step
    return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 1))  # Kaldi leaves the highest frequency out


@cache
def _sinc(taken: int, made: int, crossings: int = 6, rolloff: float = 0.99) -> tuple[Tensor, int]:
    """Kernels [made, 1, taps] and how many samples they reach back."""
    cutoff = min(taken, made) * rolloff
    reach = math.ceil(crossings * taken / cutoff)
    # float32 throughout, as in torchaudio: near-silent bins take the logarithm of these roundings.
    at = torch.arange(-reach, reach + taken)[None, None] / taken
    at = (at - torch.arange(made)[:, None, None] / made) * cutoff
    at = at.clamp(-crossings, crossings)
    window = (at * math.pi / crossings / 2).cos().square()
    angle = at * math.pi
    sinc = torch.where(angle == 0, 1.0, angle.sin() / angle)
    return sinc * (window * (cutoff / taken)), reach
