"""Conversations: events fold into answers, JSON round trips, what the engine gets."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.conversation import Answer, Conversation, Turn, from_json, to_json
from app.files import FileStore, StoredFile, check
from nextgpt_core.messages import Media, MediaFailed, MediaProgress, MediaStarted, Message, SignalSpan, TextDelta, TurnDone, TurnSettings
from tests.app.fake_engine import FakeEngine

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


@pytest.fixture()
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def answer_to(conversation: Conversation, store: FileStore) -> Answer:
    engine, answer = FakeEngine(word_seconds=0, step_seconds=0), conversation.turns[-1].answer
    folder = store.folder(conversation.id)
    for event in engine.turn(conversation.messages(store), TurnSettings(seed=3), cancel=threading.Event(), out_dir=folder):
        answer.add(event, store)
    return answer


def test_events_fold_into_pieces_in_the_order_of_the_text(store: FileStore) -> None:
    answer = Answer()
    for event in (
        TextDelta("Here "),
        TextDelta("is one: "),
        SignalSpan("image", 3, 4),
        TextDelta("and another."),
        SignalSpan("audio", 10, 4),
        MediaStarted(0, "image", 8),
        MediaProgress(0, "image", 1, 8, np.zeros((4, 4, 3), np.uint8)),
        MediaProgress(0, "image", 2, 8),
        MediaFailed(1, "audio", "no voice"),
    ):
        answer.add(event, store)
    assert [(piece.kind, piece.text or piece.modality) for piece in answer.pieces] == [
        ("text", "Here is one: "),
        ("media", "image"),
        ("text", "and another."),
        ("media", "audio"),
    ]
    picture, sound = answer.pieces[1], answer.pieces[3]
    assert (picture.step, picture.steps) == (2, 8) and picture.preview.startswith("data:image/jpeg;base64,")
    assert sound.error == "no voice" and answer.text == "Here is one: and another."
    answer.add(TurnDone(Message("assistant", ()), (), {"write": 1.0}, 9, "length"), store)
    assert answer.finished and answer.cut and answer.seed == 9


def test_json_brings_everything_back(store: FileStore) -> None:
    conversation = Conversation()
    file = store.adopt(check(EXAMPLES / "picture.png"), conversation.id)
    conversation.turns.append(Turn("a picture and a sound", [file]))
    answer_to(conversation, store)
    conversation.turns[0].again()
    answer_to(conversation, store)
    back = from_json(to_json(conversation))
    assert to_json(back) == to_json(conversation)
    assert back.turns[0].shown == 1 and len(back.files()) == 5
    assert all(store.has(file) for file in back.files())


def test_an_answer_that_was_running_comes_back_as_stopped() -> None:
    conversation = Conversation(turns=[Turn("hello")])
    conversation.turns[0].answer.status = "running"
    assert from_json(to_json(conversation)).turns[0].answer.status == "cancelled"


def test_the_last_preview_of_a_stopped_medium_is_kept_and_nothing_else_in_its_place(store: FileStore) -> None:
    conversation = Conversation(turns=[Turn("a picture")])
    answer = conversation.turns[0].answer
    answer.add(MediaStarted(0, "image", 8), store)
    answer.add(MediaProgress(0, "image", 2, 8, np.zeros((8, 8, 3), np.uint8)), store)
    answer.status = "cancelled"
    saved = to_json(conversation)
    assert from_json(saved).turns[0].answer.pieces[0].preview.startswith("data:image/jpeg;base64,")
    saved["turns"][0]["versions"][0]["pieces"][0]["preview"] = 'x" onerror="alert(1)'
    assert from_json(saved).turns[0].answer.pieces[0].preview == ""


@pytest.mark.parametrize(
    "damage",
    [
        {"id": "../../etc"},
        {"id": 3},
        {"turns": [{}]},
        {"turns": "no"},
        {"updated": None},
        {"turns": [{"text": "a", "files": [], "versions": [], "shown": 0}]},
        {"turns": [{"text": "a", "files": [{"modality": "image", "folder": "..", "name": "x.png", "label": "", "info": {}}]}]},
    ],
)
def test_what_a_browser_hands_back_is_checked(damage: dict) -> None:
    with pytest.raises(ValueError):
        from_json({**to_json(Conversation()), **damage})


def deep(depth: int = 100_000) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("conversation", {"updated": float("inf")}),
        ("conversation", {"updated": 10**400}),
        ("conversation", {"note": "half a character \ud800"}),
        ("turn", {"shown": float("inf")}),
        ("answer", {"seed": 10**400}),
        ("answer", {"prompt_tokens": -1}),
        ("answer", {"seconds": {"write": float("nan")}}),
        ("answer", {"spans": [{"modality": "smell", "start": 0, "length": 4}]}),
        ("answer", {"settings": {"deep": deep()}}),
        ("piece", {"modality": "smell"}),
        ("piece", {"modality": ["image"]}),
        ("piece", {"index": 10**400}),
    ],
)
def test_what_would_break_the_page_later_is_refused_at_once(store: FileStore, part: str, damage: dict) -> None:
    conversation = Conversation(turns=[Turn("a picture")])
    answer_to(conversation, store)
    saved = to_json(conversation)
    turn = saved["turns"][0]
    answer = turn["versions"][0]
    piece = next(piece for piece in answer["pieces"] if piece["kind"] == "media")
    from_json(saved)
    {"conversation": saved, "turn": turn, "answer": answer, "piece": piece}[part].update(damage)
    with pytest.raises(ValueError):
        from_json(saved)


def test_of_a_files_facts_only_what_can_be_shown_is_kept() -> None:
    file = {"modality": "image", "folder": "a" * 32, "name": "abcd.png", "label": "", "info": {"seed": 10**400, "steps": 20, "x": {}}}
    assert StoredFile.from_json(file).info == {"steps": 20}


def test_places_of_files_cannot_lead_out_of_the_store() -> None:
    good = {"modality": "image", "folder": "a" * 32, "name": "18ea6d64-0.png", "label": "x", "info": {}}
    assert StoredFile.from_json(good).name == "18ea6d64-0.png"
    names = [{"name": name} for name in ("../passwd", "a/b.png", "..", "a.png\n", "")]
    for wrong in [{"folder": "/etc"}, {"modality": "text"}, *names]:
        with pytest.raises(ValueError):
            StoredFile.from_json({**good, **wrong})


def test_the_engine_gets_every_turn_and_the_media_that_are_left(store: FileStore) -> None:
    conversation = Conversation()
    conversation.turns.append(Turn("a picture", [store.adopt(check(EXAMPLES / "picture.png"), conversation.id)]))
    answer_to(conversation, store)
    conversation.turns.append(Turn("and now?"))
    messages = conversation.messages(store)
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert [one.modality for one in messages[0].media] == ["image"] and len(messages[1].media) == 1
    assert messages[2].parts == ("and now?",)
    for file in conversation.files():
        store.delete(file)
    assert [message.media for message in conversation.messages(store)] == [(), (), ()]


def test_titles_are_short_and_never_empty(store: FileStore) -> None:
    file = StoredFile("image", "a" * 32, "abcd.png", "holiday.png")
    assert Conversation(turns=[Turn("  two\n words ")]).title == "two words"
    assert len(Conversation(turns=[Turn("x" * 500)]).title) == 48
    assert Conversation(turns=[Turn("", [file])]).title == "holiday.png"


def test_made_media_are_entered_under_their_generated_names(store: FileStore) -> None:
    folder = store.folder("b" * 32)
    media = Media("image", folder / "18ea6d64d2-0.png", {"seed": 3, "condition": np.zeros(3), "steps": 20})
    entered = store.enter(media)
    assert (entered.folder, entered.name, entered.info) == ("b" * 32, "18ea6d64d2-0.png", {"seed": 3, "steps": 20})
    assert StoredFile.from_json(vars(replace(entered, info={}))) == entered
