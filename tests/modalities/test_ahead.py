"""What is read ahead of a turn is read once, given once, and bounded."""

from pathlib import Path

import numpy as np
import pytest

from nextgpt_core.errors import Cancelled, MediaError, MediaTooLarge
from nextgpt_core.messages import Media
from nextgpt_core.modalities import MODALITIES, ahead
from tests.modalities.files import film, picture, sound, tone


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    ahead._kept.clear()


@pytest.fixture()
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are really read."""
    read: list[Path] = []
    for spec in MODALITIES.values():
        monkeypatch.setattr(spec, "load", lambda path, *, real=spec.load, **given: read.append(path) or real(path, **given), raising=False)
    return read


def test_a_prepared_file_is_read_once(tmp_path: Path, loads: list[Path]) -> None:
    files = [
        Media("image", picture(tmp_path / "a.png")),
        Media("audio", sound(tmp_path / "a.wav", tone())),
        Media("video", film(tmp_path / "a.mp4")),
    ]
    ahead.prepare(files)
    assert loads == [one.path for one in files]
    image, audio, video = (ahead.load(one) for one in files)
    assert image.shape == (32, 48, 3) and len(audio.samples) == 16_000 and len(video.frames) == 12
    assert len(loads) == 3 and not ahead._kept
    assert (ahead.load(files[0]) == image).all() and len(loads) == 4  # it was given away


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path, loads: list[Path]) -> None:
    media = Media("image", picture(tmp_path / "a.png"))
    ahead.prepare([media])
    picture(tmp_path / "a.png", size=(20, 30))
    assert ahead.load(media).shape == (30, 20, 3) and len(loads) == 2


def test_what_is_wrong_is_said_when_it_is_asked_for(tmp_path: Path, loads: list[Path]) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    media = Media("image", tmp_path / "a.png")
    ahead.prepare([media])
    with pytest.raises(MediaError, match=r"a\.png"):
        ahead.load(media)
    assert len(loads) == 1


def test_the_files_of_a_message_have_so_much_time(tmp_path: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "SECONDS", -1.0)
    media = Media("image", picture(tmp_path / "a.png"))
    ahead.prepare([media])
    with pytest.raises(
        MediaTooLarge, match=r"^a\.png was not read: the files before it took too long; please send it in a message of its own\.$"
    ):
        ahead.load(media)
    assert not loads


def test_stop_ends_it(slow: Path) -> None:
    with pytest.raises(Cancelled):
        ahead.prepare([Media("video", slow)], cancelled=lambda: True)
    assert not ahead._kept


def test_what_waits_is_bounded(tmp_path: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "BYTES", 2 * 48 * 32 * 3)
    files = [Media("image", picture(tmp_path / f"{number}.png")) for number in range(4)]
    ahead.prepare(files)
    assert [key[1] for key in ahead._kept] == [str(one.path) for one in files[2:]]
    assert all(isinstance(ahead.load(one), np.ndarray) for one in files) and len(loads) == 6
    ahead.prepare(files)
    ahead.forget(files)
    assert not ahead._kept
