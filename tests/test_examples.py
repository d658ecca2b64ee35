"""The programs of examples/ and README's lines of Python run, from another folder, and do what they say."""

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nextgpt_core.decoders import DECODERS
from nextgpt_core.decoders.base import Decoder
from nextgpt_core.encoders import ENCODERS
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.engine import Engine
from nextgpt_core.errors import Cancelled
from nextgpt_core.modalities import MODALITIES

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def nano() -> Engine:
    """One engine for all that use the bundled preset as it is."""
    return Engine.load("nano")


@pytest.fixture
def shared(nano: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Engine.load
    monkeypatch.setattr(Engine, "load", lambda preset="nano", **options: nano if preset == "nano" else load(preset, **options))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another folder to work in; what the examples add to the tables of parts goes with them."""
    monkeypatch.chdir(tmp_path)
    tables: list[dict[str, type]] = [ENCODERS, DECODERS]
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    for name in [name for name in sys.modules if name.startswith("examples.")]:
        del sys.modules[name]


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python -m examples.NAME ARGUMENT…`, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_module(f"examples.{name}", run_name="__main__")


def made(said: str, modality: str) -> list[Path]:
    """The files of a modality that a program said it made."""
    paths = [Path(name) for name in re.findall(rf"[\w/\\.-]*{modality}-[0-9a-f]+\.\w+", said)]
    for path in paths:
        MODALITIES[modality].load(path)
    return paths


def test_every_example_is_in_the_list_and_in_these_tests() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+)\.py\)", listed)) == names
    assert set(re.findall(r'run\(\s*"(\w+)"', Path(__file__).read_text(encoding="utf-8"))) == names


@pytest.mark.bundled
@pytest.mark.usefixtures("shared")
def test_the_lines_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## In Python")[1]
    lines = re.search(r"```python\n(.+?)```", section, re.DOTALL)
    assert lines and len([line for line in lines[1].splitlines() if line]) == 8
    exec(compile(lines[1], "README.md", "exec"), {"__name__": "readme"})
    said = capsys.readouterr().out
    assert "apple" in said and len(made(said, "image")) == 1


@pytest.mark.bundled
@pytest.mark.usefixtures("shared")
def test_a_turn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run("turn", "let me hear a violin", monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert "violin" in said and "seed 1," in said and "ended by stop" in said
    assert len(made(said, "audio")) == 1


@pytest.mark.bundled
@pytest.mark.usefixtures("shared")
def test_files_are_described_and_a_broken_one_takes_nothing_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assets = ROOT / "assets" / "examples"
    run("describe", "broken.png", str(assets / "picture.png"), str(assets / "sound.wav"), monkeypatch=monkeypatch)
    broken, picture, sound = capsys.readouterr().out.splitlines()
    assert broken.startswith("broken.png: broken.png ") and "please" in broken
    assert picture.startswith("picture.png: ") and "dog" in picture
    assert sound.startswith("sound.wav: ") and "bark" in sound


@pytest.mark.bundled
@pytest.mark.usefixtures("shared")
def test_a_conversation_about_a_picture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run("conversation", monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert said.count("> ") == 3 and len(re.findall(r"\bdog\b", said)) >= 3
    assert len(made(said, "image")) == 1 and len(made(said, "audio")) == 1


@pytest.mark.bundled
@pytest.mark.usefixtures("shared")
def test_all_four_from_one_message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run("all_four", monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert all(len(made(said, modality)) == 1 and f"{modality} asked for at token" in said for modality in MODALITIES)
    assert said.endswith("['audio', 'image', 'video'] were demanded\n")


def test_the_decoder_of_ones_own_keeps_the_contract() -> None:
    from examples.own_decoder import Flag

    decoder: Decoder = Flag.from_folder(Path("nowhere"), dtype=torch.float32, tiling=False)
    condition = torch.randn(1, 384, generator=torch.Generator().manual_seed(0))
    steps: list[int] = []

    def flag(seed: int, stop: int = 99) -> np.ndarray:
        def on_step(step: int, count: int, latents: torch.Tensor) -> None:
            steps.append(step)
            assert decoder.preview(latents).shape == (128, 128, 3)
            if step == stop:
                raise Cancelled

        picture: np.ndarray = decoder.generate(
            condition, settings=decoder.defaults, generator=torch.Generator().manual_seed(seed), on_step=on_step
        )
        return picture

    picture = flag(1)
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    assert steps == list(range(1, 9)) and np.array_equal(picture, flag(1))
    assert len({tuple(picture[row, 0]) for row in range(0, 128, 16)}) == 8 and (picture == picture[:, :1]).all()
    with pytest.raises(Cancelled):
        flag(1, stop=3)


@pytest.mark.bundled
def test_a_decoder_of_ones_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run("own_decoder", "draw a red apple", monkeypatch=monkeypatch)
    (path,) = made(capsys.readouterr().out, "image")
    flag = np.asarray(Image.open(path))
    assert flag.shape == (128, 128, 3) and (flag == flag[:, :1]).all()
    assert MODALITIES["image"].read_provenance(path)["seed"] == 1  # type: ignore[index]


def test_an_encoder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "red.png")
    run("own_encoder", "red.png", monkeypatch=monkeypatch)
    assert capsys.readouterr().out == "red.png [[1.0, -1.0, -1.0]]\n"
    encoder: Encoder = ENCODERS["mean colour"].from_folder(tmp_path)
    assert encoder.encode("image", np.zeros((4, 4, 3), np.uint8)).shape == (encoder.tokens("image"), encoder.width)


@pytest.mark.bundled
@pytest.mark.slow
def test_a_projection_is_trained_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run("train_projection", monkeypatch=monkeypatch)
    for line in capsys.readouterr().out.splitlines():
        shade, answer = line.split(": ")
        assert shade.removeprefix("another ") in answer
    assert len((tmp_path / "made" / "training" / "log.csv").read_text().splitlines()) == 16
