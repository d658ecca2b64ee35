"""Files are read in processes that end within limits, whatever a library does there: none of them takes anything else along."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from nextgpt_core.errors import Cancelled, MediaError, MediaTooLarge, UnsupportedMedia
from nextgpt_core.modalities import MODALITIES, look, reading, sniff
from tests.modalities.files import film, picture, png_header_only, sound, tone
from tests.modalities.hostile import animated_gif, animated_webp, icon_of

IMAGE, VIDEO = MODALITIES["image"], MODALITIES["video"]


@pytest.fixture()
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[reading._Pool]:
    """Helpers of this test's own."""
    fresh = reading._Pool()
    monkeypatch.setattr(reading, "_pool", fresh)
    yield fresh
    fresh.close()


def processor_seconds() -> float:
    return sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children())


def test_a_helper_imports_no_model_and_no_page() -> None:
    code = "import sys, nextgpt_core.modalities.helper; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "gradio", "imageio", "transformers", "fastapi"} & set(modules)
    assert {"av", "PIL", "soundfile", "numpy"} <= set(modules)


def test_what_takes_too_long_is_ended_and_the_next_file_is_read(slow: Path, pool: reading._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = slow
    VIDEO.describe(path)  # a helper is there
    (helper,) = pool._idle
    monkeypatch.setitem(reading.SECONDS, "load", (40, 0.0))
    with pytest.raises(MediaTooLarge, match=r"^slow\.webp takes too long to read; please send a smaller or shorter copy\.$"):
        VIDEO.load(path)
    assert not helper.alive
    assert VIDEO.describe(path)["width"] == 3000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no processor time; the clock does")
def test_processor_time_ends_it_too(slow: Path, pool: reading._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = slow
    monkeypatch.setitem(reading.SECONDS, "load", (1, 300.0))
    with pytest.raises(MediaTooLarge, match="takes too long to read"):
        VIDEO.load(path)


def test_stop_is_looked_at_while_a_file_is_read(slow: Path, pool: reading._Pool) -> None:
    path = slow
    VIDEO.describe(path)
    (helper,) = pool._idle
    with pytest.raises(Cancelled):
        VIDEO.load(path, cancelled=lambda: True)
    assert not helper.alive
    assert sniff(path) == "video"


def test_memory_has_a_limit(tmp_path: Path, pool: reading._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (4000, 3900)).save(tmp_path / "large.png")
    monkeypatch.setattr(reading, "MEMORY", 40 * 2**20)
    with pytest.raises(MediaError, match="too much memory"):
        IMAGE.load(tmp_path / "large.png")
    assert IMAGE.load(picture(tmp_path / "small.png")).shape == (32, 48, 3)


def test_a_helper_that_falls_is_replaced(tmp_path: Path, pool: reading._Pool) -> None:
    path = picture(tmp_path / "a.png")
    IMAGE.load(path)
    (helper,) = pool._idle
    with pytest.raises(reading._Fell):
        helper._process.kill()
        helper.ask(b'{"task": "look"}\n', 10.0, lambda: False)
    assert IMAGE.load(path).shape == (32, 48, 3)


def test_where_no_helper_starts_it_is_said(tmp_path: Path, pool: reading._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "a.png")
    for program in (str(tmp_path / "none"), "/bin/false" if sys.platform != "win32" else "where"):
        with monkeypatch.context() as now:
            now.setattr(reading.sys, "executable", program)
            reading.warm()
            with pytest.raises(MediaError, match=r"^Files cannot be read here: "):
                sniff(path)
    pool.close()
    assert sniff(path) == "image"


def test_helpers_that_are_all_at_work_are_waited_for_and_then_said(
    tmp_path: Path, pool: reading._Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture(tmp_path / "a.png")
    monkeypatch.setattr(reading, "HELPERS", 0)
    monkeypatch.setattr(reading, "PATIENCE", 0.0)
    with pytest.raises(reading.ReadersBusy, match=r"a\.png was not read, .+; please try again in a minute\.$"):
        sniff(path)
    with pytest.raises(Cancelled):
        look(path, cancelled=lambda: True)


@pytest.mark.parametrize(
    "array", [("object", [1]), ("float64", [1]), ("uint8", [2**40]), ("uint8", [-1]), ("uint8", [1.5]), ("float32", [2] * 5)]
)
def test_an_answer_cannot_be_anything_but_plain_numbers_of_a_sane_size(array: tuple[str, list]) -> None:
    with pytest.raises((ValueError, TypeError)):
        reading._empty(*array)


@pytest.mark.parametrize(
    ("modality", "facts", "array"),
    [
        ("image", {}, np.zeros((4, 4), np.uint8)),
        ("image", {}, np.zeros((4, 4, 3), np.float32)),
        ("video", {"fps": float("nan")}, np.zeros((1, 4, 4, 3), np.uint8)),
        ("video", {}, np.zeros((1, 4, 4, 3), np.uint8)),
        ("audio", {"rate": 16_000}, np.full(4, np.nan, np.float32)),
        ("audio", {"rate": -1}, np.zeros(4, np.float32)),
    ],
)
def test_nor_anything_but_the_modalitys_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modality: str, facts: dict, array: np.ndarray
) -> None:
    monkeypatch.setattr("nextgpt_core.modalities.base.read", lambda *_, **__: reading.Answer(facts, array))
    with pytest.raises(UnsupportedMedia, match="damaged"):
        MODALITIES[modality].load(picture(tmp_path / "a.png"))


@pytest.mark.parametrize("make", [animated_webp, animated_gif])
def test_frames_times_pixels_are_bounded(tmp_path: Path, make) -> None:
    big = make(tmp_path / "big", size=(5900, 5900), durations=[100] * 60)
    with pytest.raises(MediaTooLarge, match="too many pixels"):
        VIDEO.describe(big)
    with pytest.raises(MediaTooLarge, match="too many pixels"):
        VIDEO.load(big)
    many = make(tmp_path / "many", size=(3900, 3900), durations=[100] * 400)
    before = processor_seconds()
    facts = VIDEO.describe(many)
    assert abs(facts["seconds"] - 40.0) < 0.01 and facts["used_seconds"] < 2.0
    assert facts["note"] == f"The first {facts['used_seconds']:.1f} s of this video are used."
    few = replace(VIDEO.limits, max_decoded_pixels=VIDEO.limits.max_decoded_pixels // 5)
    assert 1 <= len(VIDEO.load(many, limits=few).frames) <= 3
    assert processor_seconds() - before < 20  # all of it takes minutes


def test_frames_of_no_size_are_bounded_in_number(tmp_path: Path) -> None:
    path = animated_gif(tmp_path / "a.gif", size=(2, 2), durations=[20] * 150_000)
    before = processor_seconds()
    assert VIDEO.describe(path)["used_seconds"] == 20.0
    assert len(VIDEO.load(path).frames) == 32
    assert processor_seconds() - before < 10


def test_frames_of_a_container_are_bounded_too(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", frames=60, size=(640, 360), rate=30)
    few = replace(VIDEO.limits, max_decoded_pixels=20 * 640 * 360)
    assert len(VIDEO.load(path, limits=few).frames) <= 22
    facts = VIDEO.describe(path, limits=few)
    assert facts["note"] == "The first 0.7 s of this video are used." and abs(facts["seconds"] - 2.0) < 0.05


def test_a_picture_in_an_icon_is_bounded_like_any_other(tmp_path: Path) -> None:
    inner = png_header_only(tmp_path / "inner.png", 30_000, 30_000).read_bytes()
    with pytest.raises(MediaError):
        IMAGE.load(icon_of(tmp_path / "a.ico", inner))


def test_a_strip_is_refused_as_a_video_too(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match="too narrow a strip"):
        VIDEO.describe(film(tmp_path / "a.mkv", size=(4096, 16), codec="mpeg4"))


def test_a_sound_of_absurd_width_is_refused(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", np.zeros((10, 64), np.float32), 768_000)
    with pytest.raises(UnsupportedMedia, match="claims 768000 Hz and 64 channels"):
        MODALITIES["audio"].describe(path)
    assert MODALITIES["audio"].load(sound(tmp_path / "b.wav", np.tile(tone(0.1, 192_000)[:, None], (1, 8)), 192_000)).rate == 16_000
