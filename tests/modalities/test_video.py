"""Films and animations that work, and what is made of them."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from nextgpt_core.modalities import MODALITIES, Limits, sniff
from nextgpt_core.modalities.video import even_clip, thin_out
from tests.modalities.files import film, gradient

VIDEO = MODALITIES["video"]


def square_at(frame: np.ndarray) -> float:
    """Where the white square is, 0 (left) to 1 (right)."""
    columns = frame.mean(axis=(0, 2))
    return float((columns * np.arange(len(columns))).sum() / columns.sum() / len(columns))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("sound.mp4", {"with_sound": True}),
        ("a.mkv", {}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("a.avi", {"codec": "mpeg4"}),
        ("odd.mp4", {"size": (49, 33)}),
    ],
)
def test_formats_keep_the_motion(tmp_path: Path, name: str, options: dict) -> None:
    path = film(tmp_path / name, **options)
    assert sniff(path) == "video"
    clip = VIDEO.load(path)
    width, height = options.get("size", (48, 32))
    assert clip.frames.shape == (12, height, width, 3) and clip.frames.dtype == np.uint8 and abs(clip.fps - 12) < 0.1
    places = [square_at(frame) for frame in clip.frames]
    assert places == sorted(places) and places[-1] - places[0] > 0.5
    facts = VIDEO.describe(path)
    assert facts["width"] == width and abs(facts["seconds"] - 1.0) < 0.2 and facts["note"] is None
    assert facts["sound"] is bool(options.get("with_sound"))


def test_a_long_film_is_cut_thinned_and_said_so(tmp_path: Path) -> None:
    path = film(tmp_path / "long.mp4", frames=30 * 12)
    assert VIDEO.describe(path)["note"] == "The first 20 s of this video are used."
    clip = VIDEO.load(path)
    assert clip.frames.shape[0] == 32 and abs(clip.seconds - 20) < 1.5
    places = np.array([square_at(frame) for frame in clip.frames])
    assert (np.diff(places) > -0.01).all() and 0.45 < places[-1] - places[0] < 0.65


def test_variable_rate_becomes_even(tmp_path: Path) -> None:
    clip = VIDEO.load(film(tmp_path / "vfr.mkv", frames=12, rate=100, gaps=[1] * 6 + [20] * 6))
    moved = np.array([square_at(frame) for frame in clip.frames])
    assert len(moved) == 12 and moved[1] - moved[0] > 0.2  # the quick half passes within the first even step


def test_rotation_in_the_metadata_is_applied(tmp_path: Path) -> None:
    plain, turned = film(tmp_path / "plain.mp4"), tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", "90", "-i", str(plain), "-c", "copy", str(turned)]
    subprocess.run(command, check=True)
    upright, clip = VIDEO.load(plain), VIDEO.load(turned)
    assert clip.frames.shape == (12, 48, 32, 3)
    assert np.abs(clip.frames.astype(int) - np.rot90(upright.frames, 1, axes=(1, 2))).mean() < 3
    assert VIDEO.describe(turned)["width"] == 32


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_animations_are_films(tmp_path: Path, name: str) -> None:
    frames = [Image.fromarray(np.roll(gradient(), 4 * i, axis=1)) for i in range(6)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
    assert sniff(tmp_path / name) == "video"
    clip = VIDEO.load(tmp_path / name)
    assert clip.frames.shape == (6, 32, 48, 3) and abs(clip.fps - 10) < 0.1
    assert abs(VIDEO.describe(tmp_path / name)["seconds"] - 0.6) < 0.01
    assert MODALITIES["image"].load(tmp_path / name).shape == (32, 48, 3)  # as a picture: its first frame


def test_a_still_gif_is_a_picture(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.gif")
    assert sniff(tmp_path / "a.gif") == "image"


def test_big_frames_are_read_small(tmp_path: Path) -> None:
    clip = VIDEO.load(film(tmp_path / "big.mp4", size=(1280, 720), frames=3))
    assert clip.frames.shape == (3, 288, 512, 3)


def test_names_do_not_matter(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4").rename(tmp_path / "a.jpg")
    assert sniff(path) == "video" and VIDEO.load(path).frames.shape[0] == 12


def test_thinning_is_bounded_and_even() -> None:
    kept = thin_out(((i / 30, np.full((1, 1, 3), i % 251, np.uint8)) for i in range(10_000)), 64)
    steps = np.diff([seconds for seconds, _ in kept])
    assert 32 <= len(kept) <= 65 and steps.max() < 2.5 * steps.min()
    assert len(even_clip(kept, 32).frames) == 32


@pytest.mark.parametrize("size", [(64, 64), (97, 81)])
def test_saved_films_carry_their_provenance(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = np.stack([np.roll(gradient(*size), i, axis=1) for i in range(8)])
    media = VIDEO.save(frames, tmp_path / "made.mp4", provenance={"seed": 7, "fps": 6})
    assert VIDEO.read_provenance(media.path) == {"ai_generated": True, "seed": 7, "fps": 6}
    clip = VIDEO.load(media.path)
    assert len(clip.frames) == 8 and abs(clip.fps - 6) < 0.1
    assert np.abs(clip.frames[:, : size[1], : size[0]].astype(int) - frames).mean() < 12
    assert media.info["frames"] == 8 and media.info["seconds"] == pytest.approx(8 / 6)
    VIDEO.save(frames, tmp_path / "again.mp4", provenance={"seed": 7, "fps": 6})
    assert media.path.read_bytes() == (tmp_path / "again.mp4").read_bytes()


def test_limits_can_be_given(tmp_path: Path) -> None:
    clip = VIDEO.load(film(tmp_path / "a.mp4", frames=36), limits=Limits(max_bytes=10**6, max_seconds=1.0, max_frames=5))
    assert len(clip.frames) == 5 and clip.seconds < 1.4


def test_foreign_files_have_no_provenance(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    assert VIDEO.read_provenance(tmp_path / "junk") is None
    assert VIDEO.read_provenance(film(tmp_path / "a.mp4")) is None
