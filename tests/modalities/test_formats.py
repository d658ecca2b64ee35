"""Headers that lie, formats that few first bytes tell, codecs that nobody knows: what is there is read."""

import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nextgpt_core.errors import MediaError
from nextgpt_core.modalities import MODALITIES, look, sniff
from tests.modalities.files import compressed_sound, film, gradient, picture, sound, tone
from tests.modalities.hostile import animated_gif, animated_webp
from tests.modalities.seeds import seed
from tests.modalities.test_audio import pitch

AUDIO, VIDEO, IMAGE = MODALITIES["audio"], MODALITIES["video"], MODALITIES["image"]


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)], check=True)


# lengths that are not what a header says


def test_an_mp3_of_changing_rate_without_a_count_is_as_long_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.mp3"
    noise, tone_of_twenty = ("-f", "lavfi", "-i", "anoisesrc=r=44100:d=2"), ("-f", "lavfi", "-i", "sine=300:d=20:r=44100")
    ffmpeg(*noise, *tone_of_twenty, "-filter_complex", "[0][1]concat=v=0:a=1", "-c:a", "libmp3lame", "-q:a", "0", "-write_xing", "0", path)
    facts, clip = AUDIO.describe(path), AUDIO.load(path)
    assert abs(facts["seconds"] - 22.0) < 0.1 and abs(clip.seconds - 22.0) < 0.1 and facts["note"] is None
    late = clip.samples[-10 * 16_000 : -16_000]
    assert abs(np.abs(np.fft.rfft(late)).argmax() * 16_000 / len(late) - 300) < 2  # no second repeats


@pytest.mark.parametrize("count", [0, 1, 2**31])
def test_the_frame_count_of_an_mp3_is_not_believed(tmp_path: Path, count: int) -> None:
    data = bytearray(sound(tmp_path / "a.mp3", tone(3.0, 44_100), 44_100).read_bytes())
    place = max(data.find(b"Xing"), data.find(b"Info"))
    assert place > 0
    data[place + 8 : place + 12] = struct.pack(">I", count)
    (tmp_path / "a.mp3").write_bytes(data)
    assert abs(AUDIO.describe(tmp_path / "a.mp3")["seconds"] - 3.0) < 0.1
    assert abs(AUDIO.load(tmp_path / "a.mp3").seconds - 3.0) < 0.1


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_joined_sounds_are_heard_to_the_end(tmp_path: Path, suffix: str) -> None:
    first, second = (sound(tmp_path / f"{hertz}{suffix}", tone(2.0, 44_100, hertz), 44_100).read_bytes() for hertz in (440, 880))
    (tmp_path / f"a{suffix}").write_bytes(first + second)
    clip = AUDIO.load(tmp_path / f"a{suffix}")
    assert abs(clip.seconds - 4.0) < 0.15
    assert abs(pitch(type(clip)(clip.samples[:24_000])) - 440) < 2 and abs(pitch(type(clip)(clip.samples[-24_000:])) - 880) < 2


def test_joined_sounds_of_two_forms_too(tmp_path: Path) -> None:
    first = sound(tmp_path / "1.mp3", tone(2.0, 44_100), 44_100).read_bytes()
    second = sound(tmp_path / "2.mp3", np.stack([tone(2.0, 24_000, 880)] * 2, axis=1), 24_000).read_bytes()
    (tmp_path / "a.mp3").write_bytes(first + second)
    assert abs(AUDIO.load(tmp_path / "a.mp3").seconds - 4.0) < 0.2


@pytest.mark.parametrize("count", [0, 2**35])
def test_nor_is_the_count_of_a_flac(tmp_path: Path, count: int) -> None:
    data = bytearray(sound(tmp_path / "a.flac", tone(3.0, 44_100), 44_100).read_bytes())
    whole = int.from_bytes(data[18:26], "big") >> 36 << 36
    data[18:26] = (whole | count).to_bytes(8, "big")
    (tmp_path / "a.flac").write_bytes(data)
    assert abs(AUDIO.describe(tmp_path / "a.flac")["seconds"] - 3.0) < 0.1


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 10**9])
def test_nor_the_size_of_a_wav(tmp_path: Path, size: int) -> None:
    path = sound(tmp_path / "a.wav", tone(2.0))
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    assert abs(AUDIO.describe(path)["seconds"] - 2.0) < 0.01


def test_a_long_raw_stream_is_measured_by_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.aac"  # its own guess, by the rate of its first frames, is far off
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=5", "-f", "lavfi", "-i", "sine=300:d=95", "-filter_complex", "[0][1]concat=v=0:a=1", path)
    assert abs(AUDIO.describe(path)["seconds"] - 100.0) < 0.5


def test_a_recording_that_starts_at_one_hour_is_as_long_as_it_is(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=36)
    ffmpeg("-i", tmp_path / "a.mp4", "-c", "copy", "-output_ts_offset", "3600", tmp_path / "a.mkv")
    assert abs(VIDEO.describe(tmp_path / "a.mkv")["seconds"] - 3.0) < 0.1 and len(VIDEO.load(tmp_path / "a.mkv").frames) == 32
    sound(tmp_path / "b.wav", tone(40.0))
    ffmpeg("-i", tmp_path / "b.wav", "-c:a", "libopus", "-output_ts_offset", "3600", tmp_path / "b.mka")
    assert abs(AUDIO.describe(tmp_path / "b.mka")["seconds"] - 40.0) < 0.1


@pytest.mark.parametrize("make", [animated_gif, animated_webp])
def test_an_animation_is_as_long_as_its_frames_stand(tmp_path: Path, make) -> None:
    path = make(tmp_path / "a", size=(32, 24), durations=[40, 500, 40, 1000, 250])
    assert abs(VIDEO.describe(path)["seconds"] - 1.83) < 0.001


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_and_so_is_one_of_another_hand(tmp_path: Path, name: str) -> None:
    frames = [Image.fromarray(np.roll(gradient(), 4 * i, axis=1)) for i in range(5)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=[30, 300, 50, 70, 250])
    assert abs(VIDEO.describe(tmp_path / name)["seconds"] - 0.7) < 0.001


# sounds whose channels cancel each other out


def test_channels_out_of_phase_are_heard(tmp_path: Path) -> None:
    left = tone(1.0)
    path = sound(tmp_path / "a.wav", np.stack([left, -left], axis=1))
    assert AUDIO.describe(path)["note"] is None
    clip = AUDIO.load(path)
    assert abs(pitch(clip) - 440) < 2 and np.abs(clip.samples - left).max() < 1e-3
    packed = sound(tmp_path / "a.flac", np.stack([left, -0.99 * left, np.zeros_like(left)], axis=1))
    assert np.abs(AUDIO.load(packed).samples).max() > 0.4


def test_ordinary_channels_are_averaged_and_silent_ones_are_silent(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    channels = generator.uniform(-0.5, 0.5, (16_000, 2)).astype(np.float32)
    clip = AUDIO.load(sound(tmp_path / "a.wav", channels, subtype="FLOAT"))
    assert np.abs(clip.samples - channels.mean(axis=1)).max() < 1e-6
    one = np.zeros((16_000, 8), np.float32)
    one[:, 3] = tone(1.0)
    assert np.abs(AUDIO.load(sound(tmp_path / "b.wav", one)).samples - tone(1.0) / 8).max() < 1e-3
    assert AUDIO.describe(sound(tmp_path / "c.wav", np.zeros((8000, 2), np.float32)))["note"] == "This sound is silent."


# formats that few first bytes tell


def low_rate_mp3(path: Path) -> None:
    sound(path, tone(2.0, 8_000), 8_000)
    data = path.read_bytes()
    path.write_bytes(data[data.index(b"\xff\xe3") :] if b"\xff\xe3" in data else data)


def padded_mp3(path: Path) -> None:
    path.write_bytes(bytes(4096) + sound(path, tone(3.0, 44_100), 44_100).read_bytes())


def mp4_behind_a_free_atom(path: Path) -> None:
    data = film(path).read_bytes()
    size = int.from_bytes(data[:4], "big")  # of ftyp, in whose place a free atom stands now: no offset changes
    path.write_bytes(data[:4] + b"free" + data[8:size] + data[size:])


def avchd(path: Path) -> None:
    ffmpeg(
        "-i", film(path.with_suffix(".mp4"), with_sound=True), "-c:v", "copy", "-c:a", "ac3", "-f", "mpegts", "-mpegts_m2ts_mode", "1", path
    )


FEW_BYTES = {
    "low.mp3": ("audio", low_rate_mp3),
    "padded.mp3": ("audio", padded_mp3),
    "free.mp4": ("video", mp4_behind_a_free_atom),
    "a.mts": ("video", avchd),
    "bits.pbm": ("image", lambda path: Image.fromarray(gradient()).convert("1").save(path)),
}


@pytest.mark.parametrize("name", FEW_BYTES)
def test_what_the_readers_know_is_recognised(tmp_path: Path, name: str) -> None:
    modality, make = FEW_BYTES[name]
    make(tmp_path / name)
    assert sniff(tmp_path / name) == modality
    MODALITIES[modality].describe(tmp_path / name)
    MODALITIES[modality].load(tmp_path / name)


# what nobody knows


@pytest.mark.parametrize("tag", [b"zzzz", b"\0\0\0\0", b"drmi"])
def test_a_codec_that_is_not_known_is_said(tmp_path: Path, tag: bytes) -> None:
    path = film(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", tag).replace(b"mp4" + b"1avc1", b"mp41zzzz"))
    for task in (look, VIDEO.describe, VIDEO.load):
        with pytest.raises(MediaError, match=r"^a\.mp4 .+; please"):
            task(path)


def test_a_damaged_avif_is_damaged(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.avif", size=(300, 200))
    data = bytearray(path.read_bytes())
    data[-200:] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.avif is damaged"):
        look(path)


def test_provenance_that_is_made_to_hurt_is_none(tmp_path: Path) -> None:
    brackets, deep = "[" * 100_000, '{"ai_generated": true, "a": ' + "[" * 500 + "]" * 500 + "}"
    for number, text in enumerate((brackets, deep, '{"ai_generated": true, "a": "' + "x" * 10**6 + '"}')):
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("nextgpt", text)
        path = tmp_path / f"{number}.png"
        Image.fromarray(gradient()).save(path, pnginfo=chunks)
        assert IMAGE.read_provenance(path) is None and look(path).provenance is None
        media = AUDIO.save(tone(), tmp_path / f"{number}.wav", provenance={"seed": 7})
        data = media.path.read_bytes()
        place = data.index(b"LIST")
        comment = text.encode() + b"\0"
        media.path.write_bytes(
            data[:place] + b"LIST" + struct.pack("<I", len(comment) + 12) + b"INFOICMT" + struct.pack("<I", len(comment)) + comment
        )
        assert AUDIO.read_provenance(media.path) is None and look(media.path).found.modality == "audio"


def test_every_format_says_whether_browsers_show_it(tmp_path: Path) -> None:
    plays = ("a.png", "a.jpg", "a.gif", "a.avif", "moving.webp", "a.wav", "a.mp3", "a.m4a", "a.mp4", "a.webm", "vp8.webm", "av1.mkv")
    not_everywhere = ("a.tif", "a.jp2", "a.ppm", "a.aiff", "a.caf", "a.mp2", "a.ac3", "a.wma", "a.mov", "a.avi", "a.mpg", "a.ts", "a.flv")
    for name in (*plays, *not_everywhere):
        assert look(seed(tmp_path, name)).found.playable is (name in plays), name
    assert not look(film(tmp_path / "full.mp4", size=(49, 33))).found.playable  # 4:4:4
    assert not look(compressed_sound(tmp_path / "lossless.m4a", "alac")).found.playable
