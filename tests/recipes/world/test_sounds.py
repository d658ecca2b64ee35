"""Sound kinds, captions and renders."""

import shutil

import numpy as np
import pytest

from recipes.nano.world.sounds.catalogue import KINDS, SOUNDS, SoundScene, caption, render_many, sample_sound
from recipes.nano.world.sounds.fluidsynth import SOUNDFONT, Note, Score, _midi_file

needs_fluidsynth = pytest.mark.skipif(shutil.which("fluidsynth") is None or not SOUNDFONT.is_file(), reason="fluidsynth is not installed")


def test_there_are_enough_kinds_with_distinct_names() -> None:
    assert len(SOUNDS) >= 120
    names = [name for kind in SOUNDS for name in (kind.name, *kind.synonyms)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        (SoundScene("a violin"), "a violin"),
        (SoundScene("a violin", form="note", pitch="low"), "a low note on a violin"),
        (SoundScene("a piano", form="melody", tempo="fast", mood="cheerful"), "a fast cheerful melody on a piano"),
        (SoundScene("a snare drum", form="rhythm", tempo="slow"), "a slow rhythm on a snare drum"),
        (SoundScene("rain", force="heavy"), "heavy rain"),
        (SoundScene("an ambulance", loudness="quiet"), "a quiet ambulance"),
        (SoundScene("a siren", pitch="high"), "a high siren"),
        (SoundScene("footsteps", tempo="fast"), "fast footsteps"),
    ],
)
def test_caption(scene: SoundScene, expected: str) -> None:
    assert caption(scene) == expected


def test_heldout_scenes_use_keys_and_velocities_that_training_never_has() -> None:
    rng = np.random.default_rng(0)
    train = [sample_sound(rng) for _ in range(400)]
    heldout = [sample_sound(rng, heldout=True) for _ in range(100)]
    assert not {s.key for s in train} & {s.key for s in heldout}
    assert not {s.velocity for s in train} & {s.velocity for s in heldout}
    assert all(s.noise is not None for s in heldout) and all(s.noise is None for s in train)


def test_attributes_are_only_those_that_a_kind_can_have() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        scene = sample_sound(rng, plain=0)
        assert set(scene.attributes) <= set(KINDS[scene.kind].axes)


def test_recipes_render_every_kind_alike_for_the_same_scene() -> None:
    made = [kind.name for kind in SOUNDS if kind.recipe is not None and "talking" not in kind.name and kind.name != "whispering"]
    scenes = [SoundScene(name, seed=7) for name in made[::5]]
    first, second = render_many(scenes), render_many(scenes)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (len(scenes), 40960) and first.dtype == np.float32
    assert np.isfinite(first).all() and np.abs(first).max() <= 1


def test_quiet_is_quieter_and_silence_is_silent() -> None:
    loud, quiet, silent = render_many([SoundScene("a siren"), SoundScene("a siren", loudness="quiet"), SoundScene("silence")])
    assert np.abs(quiet).max() < 0.2 * np.abs(loud).max()
    assert np.abs(silent).max() < 0.01


def test_midi_file_has_one_millisecond_ticks_and_silences_each_clip() -> None:
    data = _midi_file([Score(0, 40, (Note(0.0, 0.5, 69, 100),)), Score(8, 24, (Note(0.1, 0.5, 60, 90),))], slot=2.62, seconds=2.56)
    assert data[:4] == b"MThd" and data[12:14] == (500).to_bytes(2, "big")
    assert data.count(bytes([0xB0, 120, 0])) == 2


@needs_fluidsynth
def test_a_high_note_is_higher_than_a_low_one_and_clips_do_not_leak() -> None:
    low, high = render_many(
        [SoundScene("a flute", form="note", pitch="low", seed=1), SoundScene("a flute", form="note", pitch="high", seed=1)]
    )
    peaks = [np.abs(np.fft.rfft(x))[50:].argmax() + 50 for x in (low, high)]
    assert peaks[1] > 1.2 * peaks[0]
    alone = render_many([SoundScene("a flute", form="note", pitch="high", seed=1)])[0]
    spectra = [np.abs(np.fft.rfft(x)) for x in (alone, high)]
    assert np.corrcoef(*spectra)[0, 1] > 0.95
