"""Preprocessing of files against the reference data, and the places where the project's own way differs."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nextgpt_core.encoders import kaldi
from nextgpt_core.encoders.imagebind_preprocess import (
    SOUND_CLIPS,
    centre_square,
    clip_starts,
    original_sound,
    original_video,
    sound_clips,
    video_clips,
    video_frames,
)

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = json.loads((GOLDEN / "preprocess.json").read_text())
ARRAYS = np.load(GOLDEN / "preprocess.npz")
# The whole reference data, where the project's own folder lies beside its repository: the four media of upstream are only there.
SHARED = Path(__file__).parents[2].parent / "shared" / "golden"


def file(name: str) -> Path:
    for folder in (GOLDEN / "media", SHARED / "media"):
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"{name} is only in the full reference data")


@pytest.mark.parametrize("name", FACTS["image_sha256"])
def test_pictures_are_bit_equal(name):
    with Image.open(file(name)) as image:
        square = centre_square(np.asarray(image.convert("RGB")))
    planes = np.ascontiguousarray(square.transpose(2, 0, 1))
    assert hashlib.sha256(planes.tobytes()).hexdigest() == FACTS["image_sha256"][name]


@pytest.mark.parametrize("name", FACTS["audio_clip_samples"])
def test_sounds(name):
    path = file(name)
    found = original_sound(path)
    assert found.shape == (3, 1, 128, 204)
    whole = SHARED / "preprocess_audio.npz"
    wanted = (np.load(whole) if whole.exists() else ARRAYS)[f"{name}.mel"]  # of the stereo sound only the first clip is copied
    # Near-silent bins are logarithms of roundings, which differ between processors: golden/README.md states 7e-4 for float64.
    assert np.abs(found.numpy()[: len(wanted)] - wanted).max() < 7e-4


@pytest.mark.parametrize("name", FACTS["audio_clip_samples"])
def test_sound_clip_times(name):
    count, wanted = FACTS["audio_clip_samples"][name]
    starts = [int(start * kaldi.RATE) for start in clip_starts(count / kaldi.RATE, SOUND_CLIPS)]
    assert starts == [start for start, _ in wanted]


@pytest.mark.parametrize("name", FACTS["video_frames"])
def test_video_frames_chosen(name):
    facts = FACTS["video_frames"][name]
    assert video_frames(facts["n_frames"], facts["fps"]) == [tuple(pair) for pair in facts["pairs"]]


@pytest.mark.parametrize("name", FACTS["video_frames"])
def test_videos(name):
    path = file(name)
    found = original_video(path)
    assert found.shape == (15, 3, 2, 224, 224)
    source = ARRAYS if f"{name}.sub8" in ARRAYS else np.load(SHARED / "preprocess_video.npz")
    wanted = source[f"{name}.sub8"]
    np.testing.assert_allclose(found.numpy()[: len(wanted), :, :, ::8, ::8], wanted, atol=1e-5)


def test_default_centres_each_clip_by_itself_which_matters_only_where_clips_overlap():
    random = torch.Generator().manual_seed(0)
    drift = torch.linspace(-0.5, 0.5, 5 * kaldi.RATE)[None] + torch.randn(1, 5 * kaldi.RATE, generator=random) / 10
    assert (sound_clips(drift) - sound_clips(drift, shared=True)).abs().max() > 1e-2
    apart = torch.cat([drift, drift], dim=1)  # 10 s: the clips do not overlap
    assert torch.equal(sound_clips(apart), sound_clips(apart, shared=True))


def test_given_samples_are_not_changed():
    samples = torch.ones(1, 3 * kaldi.RATE)
    sound_clips(samples, shared=True)
    assert torch.equal(samples, torch.ones(1, 3 * kaldi.RATE))


def test_very_short_and_silent_sounds():
    for samples in (torch.zeros(1, 1), torch.zeros(1, 320), torch.zeros(1, 40000)):
        assert torch.isfinite(sound_clips(samples)).all()


def test_one_frame_video_and_square_video():
    frame = np.zeros((50, 50, 3), np.uint8)
    assert video_frames(1, 8.0) == [(0, 0)] * 5
    assert video_clips([(frame, frame)]).shape == (3, 3, 2, 224, 224)


def test_resampling_keeps_a_tone():
    seconds = torch.arange(44100) / 44100
    tone = (2 * torch.pi * 440 * seconds).sin()[None]
    out = kaldi.resample(tone, 44100)
    wanted = (2 * torch.pi * 440 * torch.arange(16000) / 16000).sin()[None]
    assert out.shape == (1, 16000)
    assert (out - wanted)[:, 100:-100].abs().max() < 1e-3
