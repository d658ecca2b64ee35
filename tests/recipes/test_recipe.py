"""The recipe's steps: their order, their share of time, and what is refused."""

from types import SimpleNamespace

import pytest
from torch import nn

from nextgpt_core.model import TRAINED_FILES
from recipes.nano import recipe
from recipes.nano.language import training
from recipes.nano.language.stages import STAGES


def test_the_language_steps_are_the_stages_in_their_order():
    named = [step.args[0] for step in recipe.STEPS.values() if getattr(step, "func", None) is training.run]
    assert named == list(training.CPU_MINUTES)


def test_unknown_step_is_refused(capsys):
    with pytest.raises(SystemExit):
        recipe.main(["nano", "cooking"])
    assert "image-decoder" in capsys.readouterr().err


def test_a_scale_gives_every_stage_its_share_of_time():
    for name in recipe.STEPS:
        told = recipe.scaled(recipe.STEPS[name], 0.25).keywords
        full = recipe.scaled(recipe.STEPS[name], 1.0).keywords
        assert told.keys() == full.keys() and all(told[key] == 0.25 * full[key] for key in full)
        assert full or name in ("llm", "video-judge")  # these do not learn for a set time


def test_a_trial_has_fewer_dialogues_as_well():
    assert recipe.scaled(recipe.STEPS["media"], 0.02).keywords == {"minutes": 0.02, "dialogues": 300}
    assert (
        recipe.scaled(recipe.STEPS["image-decoder"], 0.02).keywords.keys()
        == recipe.scaled(recipe.STEPS["image-decoder"], 1.0).keywords.keys()
    )


@pytest.fixture
def done(monkeypatch, tmp_path) -> list[str]:
    """What the media stage does, in order; nothing is learnt."""
    done: list[str] = []
    model = SimpleNamespace(input_projection=nn.Linear(1, 1))
    monkeypatch.setattr(training, "LANGUAGE_RUNS", tmp_path)
    monkeypatch.setattr(training, "Pools", lambda: None)
    monkeypatch.setattr(training, "Recipe", lambda *_, **__: SimpleNamespace(model=model, losses=lambda stage: None))
    monkeypatch.setattr(training, "warm_start", lambda *_, **__: done.append("fit"))
    monkeypatch.setattr(training, "train", lambda *_, **__: done.append("train"))
    monkeypatch.setattr(training, "_export", lambda model, preset, parts: done.append(" ".join(parts)))
    return done


def test_the_media_stage_begins_with_fitted_input_projections_and_keeps_them(done):
    training.run("media", processes=1)
    assert done == ["fit", "input_projection", "train", "lora output_projections tokens"]


def test_an_interrupted_media_stage_goes_on_with_the_projections_it_began_with(done, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / training.STATE_FILE).touch()
    training.run("media", processes=1)
    assert done == ["train", "lora output_projections tokens"]


def test_media_may_go_on_with_the_projections_in_the_folder(done):
    training.run("media", go_on=True, processes=1)
    assert done == ["train", "lora output_projections tokens"]


def test_stages_name_real_parts():
    assert all(set(stage.rates) <= set(TRAINED_FILES) for stage in STAGES.values())
