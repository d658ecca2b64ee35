"""Sounds that work, and what is made of them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from nextgpt_core.modalities import MODALITIES, AudioClip, Limits, sniff
from tests.modalities.files import compressed_sound, sound, tone

AUDIO = MODALITIES["audio"]


def pitch(clip: AudioClip) -> float:
    """The loudest frequency in Hz."""
    return float(np.abs(np.fft.rfft(clip.samples)).argmax() * clip.rate / len(clip.samples))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_any_rate_and_channel_count(tmp_path: Path, rate: int, channels: int) -> None:
    path = sound(tmp_path / "a.wav", np.tile(tone(1.0, rate)[:, None], (1, channels)), rate)
    assert sniff(path) == "audio"
    clip = AUDIO.load(path)
    assert clip.rate == 16_000 and clip.samples.dtype == np.float32 and clip.samples.ndim == 1
    assert abs(clip.seconds - 1.0) < 0.01 and abs(pitch(clip) - 440) < 2 and 0.4 < np.abs(clip.samples).max() < 0.6


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_formats_of_soundfile(tmp_path: Path, name: str) -> None:
    path = sound(tmp_path / name, tone(1.0, 44_100), 44_100)
    assert sniff(path) == "audio" and abs(pitch(AUDIO.load(path)) - 440) < 3


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.webm", "libopus"), ("a.mka", "pcm_s16le")])
def test_formats_of_containers(tmp_path: Path, name: str, codec: str) -> None:
    path = compressed_sound(tmp_path / name, codec)
    assert sniff(path) == "audio"
    clip = AUDIO.load(path)
    assert abs(pitch(clip) - 440) < 3 and abs(clip.seconds - 1.0) < 0.1
    assert AUDIO.describe(path)["note"] is None


def test_only_the_used_part_of_a_three_hour_sound_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", samplerate=8_000, channels=1) as file:
        for _ in range(3 * 60):
            file.write(np.tile(tone(1.0, 8_000), 60))
    facts = AUDIO.describe(path)
    assert facts["summary"] == "3:00:00 h" and facts["note"] == "The first 30 s of this sound are used."
    assert abs(AUDIO.load(path).seconds - 30) < 0.01


def test_limits_can_be_given(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", tone(4.0))
    assert abs(AUDIO.load(path, limits=Limits(max_bytes=10**6, max_seconds=2.56)).seconds - 2.56) < 0.01


def test_silence_is_told(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", np.zeros(16_000, np.float32))
    assert AUDIO.describe(path)["note"] == "This sound is silent."
    assert AUDIO.load(path).samples.shape == (16_000,)


def test_broken_samples_are_muted_and_loud_ones_kept_in_range(tmp_path: Path) -> None:
    samples = 4 * tone()
    samples[100:200] = np.nan
    samples[300] = np.inf
    clip = AUDIO.load(sound(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert np.isfinite(clip.samples).all() and 0.9 < np.abs(clip.samples).max() <= 1.0


def test_a_single_sample_works(tmp_path: Path) -> None:
    assert AUDIO.load(sound(tmp_path / "a.wav", np.ones(1, np.float32), 48_000)).samples.size >= 1


def test_saved_sounds_carry_their_provenance(tmp_path: Path) -> None:
    media = AUDIO.save(tone(), tmp_path / "made.wav", provenance={"seed": 7, "prompt": "x" * 3000})
    assert AUDIO.read_provenance(media.path) == {"ai_generated": True, "seed": 7, "prompt": "x" * 3000}
    assert np.abs(AUDIO.load(media.path).samples - tone()).max() < 1e-3
    assert media.info["seconds"] == 1.0
    AUDIO.save(tone(), tmp_path / "again.wav", provenance={"seed": 7, "prompt": "x" * 3000})
    assert media.path.read_bytes() == (tmp_path / "again.wav").read_bytes()


def test_foreign_files_have_no_provenance(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    assert AUDIO.read_provenance(tmp_path / "junk") is None
    assert AUDIO.read_provenance(sound(tmp_path / "a.wav", tone())) is None
