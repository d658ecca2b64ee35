"""What a person does, without a browser: refusals are sentences, and an answer is followed to its end."""

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app.actions import Actions, Tab, Update, checked
from app.files import Checked, FileStore
from app.jobs import Desk
from app.library import Library
from app.loading import Loader
from app.render import Renderer
from app.settings import Choices, Settings
from nextgpt_core.messages import Event, TurnDone
from tests.app.fake_engine import FakeEngine

PICTURE = Path(__file__).resolve().parents[2] / "assets" / "examples" / "picture.png"


class Dawdling(FakeEngine):
    """Takes its time between the last event and the end."""

    def turn(self, *arguments: Any, **named: Any) -> Iterator[Event]:
        for event in super().turn(*arguments, **named):
            yield event
            if isinstance(event, TurnDone):
                time.sleep(0.3)


class Never(FakeEngine):
    """Does not come to an end until it is cancelled."""

    def turn(self, *arguments: Any, cancel: threading.Event, **named: Any) -> Iterator[Event]:
        cancel.wait(600)
        yield from super().turn(*arguments, cancel=cancel, **named)


@pytest.fixture()
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page would show for a moment."""
    sentences: list[str] = []
    monkeypatch.setattr(gr, "Warning", sentences.append)
    return sentences


def actions_of(tmp_path: Path, engine: FakeEngine, **limits: Any) -> Actions:
    settings, store = Settings(**limits), FileStore(tmp_path)
    loader = Loader(lambda: engine, name="fake").start()
    desk = Desk(loader.engine, store, max_waiting=settings.max_waiting)
    return Actions(settings, store, Library(store, max_conversations=settings.max_conversations), desk, loader, Renderer(store))


def send(actions: Actions, tab: Tab, text: str = "hello", files: tuple[Path, ...] = ()) -> Update:
    """Send a message; a tab that was not opened yet is opened."""
    if tab.person is None:
        actions.open(tab, None, "", None)
    return asyncio.run(actions.send(tab, {"text": text, "files": [str(file) for file in files]}, Choices()))


def followed(actions: Actions, tab: Tab) -> list[Update]:
    async def collect() -> list[Update]:
        return [update async for update in actions.follow(tab)]

    return asyncio.run(collect())


def test_the_next_message_can_be_sent_when_the_page_says_so(tmp_path: Path, said: list[str]) -> None:
    actions, tab = actions_of(tmp_path, Dawdling(word_seconds=0)), Tab()
    first = send(actions, tab)
    assert first["box"]["stop_btn"] and not first["box"]["submit_btn"] and first["box"]["value"] == {"text": "", "files": []}
    shown = followed(actions, tab)
    assert all(set(update) <= {"chat", "mark"} for update in shown[:-1]), "an update of a growing answer must not rebuild other components"
    assert "Here you are." in str(shown[-1]["chat"][-1]["content"])
    assert shown[-1]["box"]["submit_btn"] and not shown[-1]["box"]["stop_btn"] and shown[-1]["seed"] == 1
    assert "chat" in send(actions, tab) and said == []


def test_one_tab_follows_an_answer_once_and_two_tabs_both(tmp_path: Path) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0.05)), Tab()
    send(actions, tab)
    other = Tab(person=tab.person, conversation=tab.conversation)

    async def together() -> list[int]:
        async def count(one: Tab) -> int:
            return len([update async for update in actions.follow(one)])

        return list(await asyncio.gather(count(tab), count(tab), count(other)))

    first, again, beside = asyncio.run(together())
    assert first > 1 and again == 0 and beside > 1


def test_who_moves_on_in_mid_answer_is_shown_the_present_conversation_last(tmp_path: Path) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0.05)), Tab()
    send(actions, tab)

    async def moving_on() -> list[Update]:
        shown = []
        async for update in actions.follow(tab):
            if not shown:
                actions.new(tab)
            shown.append(update)
        return shown

    shown = asyncio.run(moving_on())
    assert len(shown[0]["chat"]) == 2 and shown[-1] == {"chat": []}


@pytest.mark.parametrize(
    ("limits", "text", "files", "sentence"),
    [
        ({}, "  ", (), "Write something or add a file first."),
        ({"max_text": 3}, "hello", (), "This message has 5 characters and 3 are read at most; shorten it or send it in parts."),
        ({"max_files": 1}, "hello", (PICTURE, PICTURE), "2 files are too many for one message; send at most 1."),
    ],
)
def test_what_cannot_be_sent_is_said_and_stays_in_the_box(
    tmp_path: Path, said: list[str], limits: dict, text: str, files: tuple[Path, ...], sentence: str
) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(), **limits), Tab()
    assert "box" not in send(actions, tab, text, files)
    assert said == [sentence]
    assert tab.conversation is not None and tab.conversation.turns == []


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"turns_per_minute": 1}, "That was more than 1 messages in a minute; wait a moment."),
        ({"max_turns": 1}, "This conversation has 1 turns, the most there can be; start a new one."),
    ],
)
def test_rate_and_length_are_limited(tmp_path: Path, said: list[str], limits: dict, sentence: str) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0), **limits), Tab()
    send(actions, tab)
    followed(actions, tab)
    send(actions, tab)
    assert said == [sentence]


def test_retry_edit_and_another_are_bounded_like_a_new_message(tmp_path: Path, said: list[str]) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0, step_seconds=0), turns_per_minute=2, max_turns=1, max_versions=2), Tab()
    send(actions, tab, "a picture please")
    followed(actions, tab)
    assert actions.another(tab, "0:0", Choices()) == {}
    actions.retry(tab, 0, Choices())
    followed(actions, tab)
    assert actions.retry(tab, 0, Choices()) == {}
    actions.edit(tab, 0, "other words", Choices())
    assert said == [
        "This conversation has 1 turns, the most there can be; start a new one.",
        "This message has 2 answers, the most there can be; edit it or send it again.",
        "That was more than 2 messages in a minute; wait a moment.",
    ]


def test_a_retry_that_is_refused_changes_nothing(tmp_path: Path, said: list[str]) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0)), Tab()
    for _ in range(2):
        send(actions, tab)
        followed(actions, tab)
    assert actions.retry(tab, 0, Choices(answer="video", forbid=("video",))) == {}
    assert said == ["A video is both asked for and forbidden; change one of the two settings."]
    assert tab.person and tab.conversation and len(tab.person.conversations) == 1
    assert [len(turn.versions) for turn in tab.conversation.turns] == [1, 1] and not tab.conversation.busy


@pytest.mark.parametrize("elsewhere", ["other", "same"])
def test_a_message_survives_a_new_conversation_that_is_begun_while_its_file_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0)), Tab()
    actions.open(tab, None, "", None)
    other = Tab(person=tab.person) if elsewhere == "other" else tab
    real = checked

    def looked_at(path: Path) -> Checked:
        actions.new(other)
        return real(path)

    monkeypatch.setattr("app.actions.checked", looked_at)
    shown = send(actions, tab, "what is this?", (PICTURE,))
    assert tab.person and [one.title for one in tab.person.listed()] == ["what is this?"]
    assert len(shown["chat"]) == 2 and shown["place"] == tab.person.listed()[0].id
    actions.new(other)
    assert [one.title for one in tab.person.listed()] == ["what is this?"]


def test_a_file_that_is_gone_or_cannot_be_stored_leaves_the_message_in_the_box(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    actions, tab, file = actions_of(tmp_path / "kept", FakeEngine(word_seconds=0)), Tab(), tmp_path / "picture.png"
    file.write_bytes(PICTURE.read_bytes())
    actions.chose(tab, {"files": [str(file)]}, "")  # it was seen before
    file.unlink()
    shown = send(actions, tab, "what is this?", (file, PICTURE))
    assert set(shown) == {"chosen"} and said == ["Not used: picture.png is not there any more; please add it again."]

    copied = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        if said[1:] or any(tmp_path.rglob("*.png")):
            raise OSError(28, "No space left on device", str(target))
        copied(source, target)

    monkeypatch.setattr("app.files.shutil.copyfile", full)
    assert set(send(actions, tab, "what is this?", (PICTURE, PICTURE))) == {"chosen"}
    assert said[1:] == ["The files of this message could not be stored here; add them again, or try later."]
    assert tab.conversation is not None and tab.conversation.turns == [] and not any(tmp_path.rglob("*.png"))


def test_one_person_cannot_fill_the_line(tmp_path: Path, said: list[str]) -> None:
    actions = actions_of(tmp_path, Never(), max_waiting_per_person=2)
    tabs = [Tab()]
    for _ in range(2):
        assert "chat" in send(actions, tabs[-1])
        tabs.append(Tab(person=tabs[0].person))
    assert "box" not in send(actions, tabs[-1])
    assert said == ["2 of your answers are still to be made; wait for one of them, or stop it."]
    other = Tab()
    assert "box" in send(actions, other)
    actions.stop(tabs[1])
    assert "box" in send(actions, tabs[-1])
    for tab in [*tabs, other]:
        actions.stop(tab)


def test_a_full_queue_is_said_in_the_answer(tmp_path: Path) -> None:
    actions = actions_of(tmp_path, Never(), max_waiting=1)
    tabs = [Tab() for _ in range(3)]
    shown = [send(actions, tab) for tab in tabs]
    assert "Too many people are waiting; try again in a minute." in str(shown[-1]["chat"][-1]["content"])
    assert "Too many" not in str(shown[1]["chat"][-1]["content"])
    for tab in tabs:
        actions.stop(tab)


def test_it_is_said_when_a_conversation_made_room(tmp_path: Path, said: list[str]) -> None:
    actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0), max_conversations=1), Tab()
    send(actions, tab, "my first")
    followed(actions, tab)
    actions.new(tab)
    assert said == ["Deleted as the oldest: “my first”. At most 1 conversations are kept."]


def test_a_tab_that_was_not_opened_writes_nothing_over_what_the_browser_keeps(tmp_path: Path) -> None:
    actions = actions_of(tmp_path, FakeEngine())
    for act in (
        lambda: asyncio.run(actions.send(Tab(), {"text": "hello"}, Choices())),
        *(lambda name=name: getattr(actions, name)(Tab()) for name in ("new", "delete", "export")),  # type: ignore[misc]
        lambda: actions.switch(Tab(), "a" * 32),
    ):
        with pytest.raises(gr.Error, match="reload it, and everything is there again"):
            act()
    actions.stop(Tab())
    assert followed(actions, Tab()) == []


def test_a_tab_that_stays_open_does_not_split_the_person(tmp_path: Path) -> None:
    actions, tab, other = actions_of(tmp_path, FakeEngine(word_seconds=0)), Tab(), Tab()
    saved = send(actions, tab)["saved"]
    followed(actions, tab)
    assert tab.person is not None
    tab.person.seen = 0
    actions.new(tab)
    actions.library.forget_old(3600)
    assert actions.library.open(saved) is tab.person, "whoever does something is not forgotten"
    tab.person.seen = 0
    actions.library.forget_old(3600)
    actions.open(other, saved, "", None)
    actions.new(tab)
    assert tab.person is other.person, "whoever comes back late is who was there meanwhile"
