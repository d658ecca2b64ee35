"""Log-mel spectrograms."""

import math

import pytest
import torch

from nextgpt_core.mel import LogMel, mel_filters


def sine(hertz: float, *, seconds: float = 1.0, rate: int = 16_000) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(int(seconds * rate)) / rate)


def test_a_sine_lights_the_band_at_its_frequency_at_half_its_amplitude() -> None:
    mel = LogMel(bins=64)
    out = mel(sine(1000)[None])[0, 20]
    centres = (mel.filters * torch.linspace(0, 8000, 513)[:, None]).sum(0) / mel.filters.sum(0)
    assert abs(float(centres[out.argmax()]) - 1000) < 60
    assert float(out.max()) == pytest.approx(math.log(0.5), abs=0.5)


@pytest.mark.parametrize("samples", [1, 100, 1024, 40960])
def test_any_length_gives_whole_frames(samples: int) -> None:
    out = LogMel()(torch.randn(2, samples))
    assert out.shape == (2, max(1, max(samples, 513) // 256), 64)
    assert out.isfinite().all()


def test_silence_is_the_floor() -> None:
    out = LogMel(floor=1e-3)(torch.zeros(1, 4000))
    assert out.unique().tolist() == pytest.approx([math.log(1e-3)])


def test_no_band_is_empty_even_with_more_bands_than_lines_at_the_bottom() -> None:
    assert (mel_filters(rate=16_000, fft=256, bins=80, low=0, high=8000).sum(0) > 0).all()
