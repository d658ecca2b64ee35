"""`eval` and `train` started from another folder read and write the same places, and leave nothing where they were started."""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from torch import nn

import recipes.nano
from nextgpt_core.config import CHECKPOINTS
from recipes.nano import recipe
from recipes.nano.evaluation import scorecard
from recipes.nano.evaluation.judges.accuracy import JUDGES, load_judge
from recipes.nano.evaluation.measures import counted
from recipes.nano.evaluation.scorecard import Measure
from recipes.nano.language import training
from recipes.nano.paths import PRESET, ROOT, RUNS


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a test is in: empty, and not the clone."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(recipes.nano.__path__, "recipes.nano."):
        yield importlib.import_module(found.name)


def paths_in(value: Any) -> Iterator[Path]:
    """Every path in a constant, or in what a function takes where nothing is given."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, dict | tuple | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from paths_in(item)
    elif inspect.isfunction(value):
        for parameter in inspect.signature(value).parameters.values():
            yield from paths_in(parameter.default)


def test_every_path_of_the_recipe_is_absolute() -> None:
    found = [(module.__name__, name, path) for module in modules() for name, value in vars(module).items() for path in paths_in(value)]
    assert len({module for module, *_ in found}) > 15, "the recipe's constants are not found any more"
    assert [one for one in found if not one[2].is_absolute()] == []
    assert Path(__file__).resolve().parents[2] == ROOT and PRESET == CHECKPOINTS / "nano"


def test_the_scorecard_is_made_from_another_folder(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges are read where they lie; the figures go where they are asked for."""
    kept = [kind for kind in JUDGES if kind != "attributes" and any(PRESET.glob(f"judges/{kind}*"))]

    def judged(bench: Any, cases: int) -> Any:
        return counted([load_judge(kind) is not None for kind in kept], preset=str(bench.preset.folder))

    monkeypatch.setattr(scorecard, "MEASURES", (Measure("judges read", judged, 0.5, 9, 3),))
    monkeypatch.setattr(scorecard, "build", lambda preset: None)
    monkeypatch.setattr(scorecard, "build_template", lambda preset, model: None)
    scorecard.main(["nano", "--only", "judges", "--out", str(tmp_path / "card")])
    row = json.loads((tmp_path / "card" / "scorecard.json").read_text())["rows"][0]
    assert row["note"] == "" and row["cases"] == len(kept) and row["details"]["preset"] == str(PRESET)
    assert list(elsewhere.iterdir()) == []
    assert scorecard.OUT.is_relative_to(ROOT)


def test_training_from_another_folder_writes_into_the_clone(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a stage but the learning itself."""
    folders: list[Path] = []
    model = SimpleNamespace(input_projection=nn.Linear(1, 1), trained_state=lambda part: {})
    monkeypatch.setattr(training, "Recipe", lambda *_, **__: SimpleNamespace(model=model, losses=lambda stage: None))
    monkeypatch.setattr(training, "PROCESSES", 1)
    monkeypatch.setattr(training, "train", lambda *_, folder, **__: folders.append(folder))
    monkeypatch.setattr(training, "save_tensors", lambda tensors, path, **_: folders.append(path))
    recipe.main(["nano", "encoder"])
    assert folders[0].is_relative_to(RUNS) and {path.parent for path in folders[1:]} == {PRESET}
    assert list(elsewhere.iterdir()) == []
