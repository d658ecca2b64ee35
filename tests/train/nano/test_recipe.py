"""Every step of the recipe names a function that exists, and an unknown one is refused with the list."""

import importlib

import pytest

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
