"""Every number that a person may set is bounded in one place, whatever way it comes in; each refusal is one sentence."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from app.actions import choices_from
from app.cli import main
from app.settings import PAGE_MOST, Choices
from nextgpt_core.config import SamplingConfig
from nextgpt_core.decoding import sampler
from nextgpt_core.engine import Engine
from nextgpt_core.errors import ConfigError, MessageError, SettingsError
from nextgpt_core.messages import Media, Message, TurnSettings
from nextgpt_core.prompt import ChatML
from nextgpt_core.settings import BOUNDS, bounded
from tests.tiny import tiny_model

NAN, INFINITY = float("nan"), float("inf")
WRONG = [
    ("temperature", NAN), ("temperature", -0.1), ("temperature", INFINITY), ("temperature", "0.5"), ("temperature", True),
    ("top_p", 1.1), ("top_p", -1), ("top_p", [0.5]), ("max_new_tokens", 0), ("max_new_tokens", 1.5), ("max_new_tokens", 10**400),
    ("seed", -1), ("seed", 2**53), ("seed", 0.5), ("seed", "7"), ("guidance", NAN), ("guidance", 1e9), ("guidance", 1j),
    ("steps", 0), ("steps", 1001), ("steps", NAN), ("seconds", -1), ("seconds", 0), ("seconds", 1e6), ("frames", -1), ("frames", 2.5),
    ("frames", 10**6),
]  # fmt: skip
FORGED = [
    {"steps": "many"}, {"steps": NAN}, {"guidance": [1]}, {"seconds": -1}, {"frames": "x"}, {"seed": "x", "lock": True},
    {"temperature": {}}, {"top_p": "1"}, {"max_new_tokens": INFINITY}, {"answer": ["picture"]}, {"answer": "hologram"},
    {"forbid": ["hologram"]}, {"forbid": [["picture"]]},
]  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Engine:
    model = tiny_model()
    return Engine(model, ChatML(model.llm.tokenizer, boundary=model.boundary, signals=model.signals), context=400)


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda one: repr(one)[:20])
def test_what_is_out_of_bounds_is_refused_in_one_sentence(name, value):
    sentence = rf"^The {BOUNDS[name].noun} must be a (whole )?number from .+ to .+, not .+; change that setting\.$"
    with pytest.raises(SettingsError, match=sentence) as refused:
        TurnSettings(**{name: value})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", [7, 7.0, np.int64(7), np.float32(7), Fraction(7)])
def test_numbers_of_all_kinds_are_numbers(value):
    found = TurnSettings(steps=value, guidance=value)
    assert (found.steps, found.guidance) == (7, 7.0) and type(found.steps) is int and type(found.guidance) is float


def test_a_preset_is_held_to_the_same_bounds():
    with pytest.raises((ConfigError, SettingsError)):
        SamplingConfig(temperature=NAN)


def test_the_page_goes_no_further_than_its_sliders():
    for name, most in PAGE_MOST.items():
        assert bounded(name, most, most=most) == most
        with pytest.raises(SettingsError):
            Choices(**{name: most + 1}).turn_settings(PAGE_MOST)
    assert Choices(steps=500).turn_settings().steps == 500


@pytest.mark.parametrize("forged", FORGED, ids=repr)
def test_a_forged_event_is_refused_in_words(forged):
    with pytest.raises(SettingsError):
        choices_from(forged).turn_settings(PAGE_MOST)


@pytest.mark.parametrize("forged", [{"quality": ["fast"]}, {"forbid": 3}, {"lock": False, "seed": "x"}], ids=repr)
def test_what_says_nothing_changes_nothing(forged):
    assert choices_from(forged).turn_settings(PAGE_MOST) == TurnSettings()


def test_the_terminal_says_it_in_one_line(capsys):
    for option in (["--temperature", "nan"], ["--steps", "1001"], ["--seconds=-1"], ["--guidance", "nan"], ["--frames=-1"], ["--seed=-1"]):
        assert main(["ask", "draw a cat", *option]) == 1
        said = capsys.readouterr().err.strip()
        assert said.startswith("launch.py: The ") and "must be" in said and "\n" not in said


def test_a_tiny_temperature_is_greedy_and_no_nan():
    scores = torch.tensor([1.0, 30.0, -2.0, 29.0])
    for temperature in (1e-40, 1e-300, 1e-6):
        choose = sampler(temperature=temperature, top_p=0.9, generator=torch.Generator().manual_seed(0))
        assert [choose(scores) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"answer_with": {"picture"}}, "there is no 'picture'"),
        ({"answer_with": "image"}, "takes a set of names"),
        ({"answer_with": {"image"}, "forbid": {"image"}}, "both asked for and forbidden"),
        ({"forbid": {"smell"}}, "there is no 'smell'"),
        ({"forbid": [3]}, "takes a set of names"),
    ],
)
def test_unknown_modalities_are_refused(engine: Engine, tmp_path: Path, settings, message):
    with pytest.raises(SettingsError, match=message):
        list(engine.turn([Message("user", ("hi",))], TurnSettings(**settings), out_dir=tmp_path))


def test_a_message_of_anything_else_is_refused_by_name(engine: Engine, tmp_path: Path):
    for parts, message in (((Media("text", "a.txt"),), "not 'text'"), ((b"hello",), "not of bytes"), ((None,), "not of NoneType")):
        with pytest.raises(MessageError, match=message):
            list(engine.turn([Message("user", parts)], out_dir=tmp_path))
    assert Media("image", "a.png").path == Path("a.png")
