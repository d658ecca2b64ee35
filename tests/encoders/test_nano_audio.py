"""nano's ears: shapes, robustness, strict loading; and on the bundled weights, that they know sounds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.encoders.nano_audio import WIDTH, AudioTower
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing
from nextgpt_core.modalities.audio import AudioClip

WEIGHTS = Path(__file__).parents[2] / "checkpoints" / "nano" / "encoder" / "audio.safetensors"


@pytest.fixture(scope="module")
def tower() -> AudioTower:
    torch.manual_seed(0)
    return AudioTower().eval()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "rate"), [(1, 16_000), (700, 16_000), (40_960, 16_000), (400_000, 16_000), (8_000, 8_000), (96_000, 48_000)]
)
def test_any_clip_gives_two_tokens_of_unit_variance(tower: AudioTower, samples: int, rate: int) -> None:
    tokens = tower.encode(AudioClip(noise(samples), rate))
    assert tokens.shape == (tower.tokens, WIDTH) and tokens.dtype == torch.float32
    assert tokens.isfinite().all()
    assert tokens.square().mean(1).tolist() == pytest.approx([1.0, 1.0], abs=0.05)


@pytest.mark.parametrize("samples", [np.zeros(16_000, np.float32), np.full(16_000, np.nan, np.float32), np.full(16_000, 1.0, np.float32)])
def test_silence_and_broken_samples_do_not_crash(tower: AudioTower, samples: np.ndarray) -> None:
    assert tower.encode(AudioClip(samples, 16_000)).isfinite().all()


def test_only_the_first_ten_seconds_count(tower: AudioTower) -> None:
    long = noise(200_000)
    assert torch.equal(tower.encode(AudioClip(long, 16_000)), tower.encode(AudioClip(long[:160_000], 16_000)))


def test_gain_reaches_the_network_as_one_number_only(tower: AudioTower) -> None:
    heard = []
    handle = tower.trunk.register_forward_hook(lambda _module, args, _out: heard.append(args[0]))
    for gain in (1.0, 0.05):
        tower.encode(AudioClip(gain * noise(30_000), 16_000))
    handle.remove()
    torch.testing.assert_close(heard[0], heard[1], atol=1e-3, rtol=0)


def test_weights_load_strictly(tower: AudioTower, tmp_path: Path) -> None:
    path = tmp_path / "audio.safetensors"
    with pytest.raises(CheckpointMissing):
        AudioTower.from_file(path)
    save_tensors(tower.state_dict(), path)
    clip = AudioClip(noise(20_000), 16_000)
    assert torch.equal(AudioTower.from_file(path).encode(clip), tower.encode(clip))
    short = tower.state_dict()
    del short["what.bias"]
    save_tensors(short, path)
    with pytest.raises(CheckpointMismatch, match=r"missing what\.bias"):
        AudioTower.from_file(path)


@pytest.mark.bundled
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the bundled weights are not there")
def test_bundled_ears_tell_a_siren_from_rain_at_any_level() -> None:
    from recipes.nano.world.sounds.catalogue import SoundScene, render

    tower = AudioTower.from_file(WEIGHTS)
    tokens = {
        (kind, seed): tower.encode(AudioClip(render(SoundScene(kind, seed=seed)) * gain))[0]
        for kind in ("a siren", "rain", "a church bell")
        for seed, gain in ((1, 1.0), (2, 0.1))
    }
    for kind in ("a siren", "rain", "a church bell"):
        others = [other for other, _ in tokens if other != kind]
        same = float(torch.cosine_similarity(tokens[kind, 1], tokens[kind, 2], dim=0))
        assert all(same > float(torch.cosine_similarity(tokens[kind, 1], tokens[other, 1], dim=0)) + 0.1 for other in others)
