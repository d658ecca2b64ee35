"""The Space's entry point works without a GPU and without `spaces`."""

import sys
import threading
from pathlib import Path

import pytest

from nextgpt_core.messages import Message, TextDelta, TurnDone, TurnSettings
from tests.app.fake_engine import FakeEngine


def test_it_imports_and_answers_without_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)
    sys.modules.pop("app_space", None)
    import app_space

    assert app_space.spaces is None
    engine = app_space.SlotEngine(FakeEngine(word_seconds=0, step_seconds=0))
    events = list(engine.turn([Message("user", ("hello",))], TurnSettings(), cancel=threading.Event(), out_dir=tmp_path))
    assert isinstance(events[0], TextDelta) and isinstance(events[-1], TurnDone)


def test_a_slot_is_as_long_as_the_request_needs() -> None:
    import app_space

    message = [Message("user", ("x",))]
    text = app_space.slot_seconds(message, TurnSettings(answer_with=frozenset({"text"})))
    film = app_space.slot_seconds(message, TurnSettings(answer_with=frozenset({"text", "video"})))
    assert 15 <= text < film <= 300
