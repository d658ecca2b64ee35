"""Griffin-Lim: what it makes has the spectrogram it was given."""

import math

import pytest
import torch

from nextgpt_core.decoders.base import Vocoder
from nextgpt_core.decoders.vocoders import GriffinLim


def chord() -> torch.Tensor:
    time = torch.arange(40_960) / 16_000
    return sum((torch.sin(2 * math.pi * f * time) * torch.exp(-time) for f in (262.0, 330.0, 392.0)), torch.zeros(40_960)) / 5


def test_it_is_a_vocoder_and_keeps_length() -> None:
    vocoder: Vocoder = GriffinLim(iterations=2)
    assert (vocoder.rate, vocoder.hop, vocoder.bins) == (16_000, 256, 64)
    out = vocoder(torch.randn(37, 64))
    assert out.shape == (37 * 256,) and out.dtype == torch.float32
    assert out.isfinite().all() and out.abs().max() <= 1


def test_the_made_sound_has_the_wanted_spectrogram() -> None:
    vocoder = GriffinLim()
    wanted = vocoder.mel(chord()[None])[0]
    made = vocoder.mel(vocoder(wanted)[None])[0]
    loud = wanted > wanted.max() - 4  # the audible 35 dB
    assert float((made - wanted)[loud].abs().mean()) < 0.2


def test_more_iterations_fit_better() -> None:
    wanted = GriffinLim().mel(chord()[None])[0]

    def misfit(iterations: int) -> float:
        vocoder = GriffinLim(iterations=iterations)
        return float((vocoder.mel(vocoder(wanted)[None])[0].exp() - wanted.exp()).square().mean())

    assert misfit(24) < 0.7 * misfit(1)


def test_normalisation_is_undone() -> None:
    plain, scaled = GriffinLim(iterations=4), GriffinLim(iterations=4, mean=-6.0, std=2.0)
    wanted = plain.mel(chord()[None])[0]
    torch.testing.assert_close(scaled((wanted + 6) / 2), plain(wanted), atol=1e-3, rtol=1e-2)


def test_silence_stays_silent_and_the_same_input_gives_the_same_sound() -> None:
    vocoder = GriffinLim(iterations=3)
    silent = torch.full((40, 64), math.log(vocoder.mel.floor))
    assert vocoder(silent).abs().max() < 1e-3
    mel = torch.randn(40, 64, generator=torch.Generator().manual_seed(1)) - 4
    assert torch.equal(vocoder(mel), vocoder(mel))


@pytest.mark.parametrize("level", [-40.0, 30.0])
def test_absurd_levels_give_finite_sound(level: float) -> None:
    assert GriffinLim(iterations=3)(torch.full((20, 64), level)).isfinite().all()
