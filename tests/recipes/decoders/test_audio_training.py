"""The pieces of the sound recipe that can be tested without training: augmentation, answers, shapes of the networks."""

import numpy as np
import pytest
import torch

from recipes.nano.decoders import audio as audio_denoiser
from recipes.nano.decoders import audio_autoencoder
from recipes.nano.encoders.audio import ANSWERS, _answer, augment
from recipes.nano.evaluation.judges.audio import AudioJudge
from recipes.nano.world.sounds.catalogue import SOUNDS, SoundScene, sample_sound


def test_augmented_sounds_are_finite_and_of_one_length() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    clips = 0.1 * torch.randn(2, 40_960)
    clips[0] = 0
    lengths = set()
    for _ in range(40):
        out, same_level = augment(clips, rng)
        assert out.shape[0] == 2 and same_level.shape == (2,)
        assert out.isfinite().all()
        lengths.add(out.shape[1])
    assert min(lengths) < 40_960 < max(lengths)


def test_every_attribute_of_every_scene_has_an_answer() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        scene = sample_sound(rng)
        assert all(_answer(scene, axis) < len(words) for axis, words in ANSWERS.items())
    assert _answer(SoundScene("rain", force="heavy"), "force") == ANSWERS["force"].index("strong")
    assert _answer(SoundScene("rain"), "mood") < 0  # rain has none


def test_the_autoencoder_folds_and_unfolds_spectrograms() -> None:
    mels = audio_autoencoder.spectrograms(np.random.default_rng(0).normal(0, 0.1, (2, 40_960)).astype(np.float32))
    assert mels.shape == (2, 160, 64) and mels.dtype == torch.float16
    folded = audio_autoencoder.to_network(mels)
    assert torch.equal(audio_autoencoder.to_mels(folded), mels.float())
    latents = audio_autoencoder.make_autoencoder().encode(folded).latent_dist.mean
    assert latents.shape == (2, 8, 20, 8)


def test_the_unet_takes_its_condition_as_class_embedding() -> None:
    torch.manual_seed(0)
    unet = audio_denoiser.make_unet().eval()
    noisy, times = torch.randn(2, 8, 20, 8), torch.tensor([10, 900])
    with torch.inference_mode():
        one = audio_denoiser.predict(unet, noisy, times, torch.zeros(2, 384))
        other = audio_denoiser.predict(unet, noisy, times, torch.ones(2, 384))
    assert one.shape == noisy.shape
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("samples", [600, 16_000, 40_960])
def test_the_judge_names_sounds_of_any_length(samples: int) -> None:
    torch.manual_seed(0)
    names = AudioJudge().eval().name(np.random.default_rng(0).normal(0, 0.1, (3, samples)))
    assert len(names) == 3 and set(names) <= {kind.name for kind in SOUNDS}


def test_the_most_typical_sound_of_a_caption_is_kept() -> None:
    latents = torch.tensor([[0.0], [10.0], [4.0], [1.0]])
    assert audio_denoiser.typical(latents, ["rain", "rain", "rain", "wind"]) == [2, 3]
