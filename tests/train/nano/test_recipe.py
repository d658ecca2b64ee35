"""Every step of the recipe names a function that exists, and an unknown one is refused with the list."""

import importlib
from types import SimpleNamespace

import pytest
from torch import nn

from nextgpt_core.train.nano import language, recipe


@pytest.mark.parametrize("step", recipe.STEPS)
def test_steps_exist(step):
    module, function, values = recipe.STEPS[step]
    assert callable(getattr(importlib.import_module(f"nextgpt_core.train.nano.{module}"), function))
    if module == "language":
        assert values[0] in language.CPU_MINUTES


def test_unknown_step_is_refused(capsys):
    with pytest.raises(SystemExit):
        recipe.main(["nano", "cooking"])
    assert "image-decoder" in capsys.readouterr().err


def test_a_scale_gives_every_stage_its_share_of_time():
    for name in recipe.STEPS:
        told = recipe._step(name, 0.25).keywords
        full = recipe._step(name, 1.0).keywords
        assert told.keys() == full.keys() and all(told[key] == 0.25 * full[key] for key in full)
        assert full or name in ("llm", "video-judge")  # these do not learn for a set time


def test_a_trial_has_fewer_dialogues_as_well():
    assert recipe._step("media", 0.02).keywords == {"minutes": 0.02, "dialogues": 300}
    assert recipe._step("image-decoder", 0.02).keywords.keys() == recipe._step("image-decoder", 1.0).keywords.keys()


@pytest.fixture
def done(monkeypatch, tmp_path) -> list[str]:
    """What the media stage does, in order; nothing is learnt."""
    done: list[str] = []
    model = SimpleNamespace(input_projection=nn.Linear(1, 1))
    monkeypatch.setattr(language, "RUNS", tmp_path)
    monkeypatch.setattr(language, "Pools", lambda: None)
    monkeypatch.setattr(language, "Recipe", lambda *_, **__: SimpleNamespace(model=model, losses=lambda stage: None))
    monkeypatch.setattr(language, "warm_start", lambda *_, **__: done.append("fit"))
    monkeypatch.setattr(language, "train", lambda *_, **__: done.append("train"))
    monkeypatch.setattr(language, "_export", lambda model, preset, parts: done.append(" ".join(parts)))
    return done


def test_the_media_stage_begins_with_fitted_input_projections_and_keeps_them(done):
    language.run("media", processes=1)
    assert done == ["fit", "input_projection", "train", "lora output_projections tokens"]


def test_an_interrupted_media_stage_goes_on_with_the_projections_it_began_with(done, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / language.STATE_FILE).touch()
    language.run("media", processes=1)
    assert done == ["train", "lora output_projections tokens"]


def test_media_may_go_on_with_the_projections_in_the_folder(done):
    language.run("media", go_on=True, processes=1)
    assert done == ["train", "lora output_projections tokens"]
