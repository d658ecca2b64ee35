"""Persons and their conversations: what is theirs, what is kept, what they are told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.conversation import Answer, Conversation, Piece, Turn, from_json, to_json
from app.files import FileStore, check
from app.library import Library, Person
from tests.app.test_actions import PICTURE


@pytest.fixture()
def library(tmp_path: Path) -> Library:
    return Library(FileStore(tmp_path / "kept"), max_conversations=3)


def begun(library: Library, person: Person, text: str = "hello") -> Conversation:
    conversation = library.start(person)
    file = library.store.adopt(check(PICTURE), conversation.id)
    conversation.turns.append(Turn(text, [file], [Answer(status="done")]))
    return conversation


def test_who_sees_an_address_cannot_claim_the_conversation_or_its_file(library: Library) -> None:
    owner = library.open(None)
    conversation = begun(library, owner)
    file = conversation.turns[0].files[0]
    claim = {"key": "f" * 32, "conversations": [to_json(conversation)]}
    stranger = library.open(json.loads(json.dumps(claim)))
    [claimed] = stranger.conversations
    assert claimed.id != conversation.id and not library.store.has(claimed.turns[0].files[0])
    library.delete(stranger, claimed)
    assert library.store.has(file)


def test_after_a_restart_the_owner_has_everything(library: Library) -> None:
    owner = library.open(None)
    conversation = begun(library, owner)
    library.branch(owner, conversation, "before the edit")
    saved = json.loads(json.dumps(library.save(owner, current=conversation.id)))
    restarted = Library(library.store).open(saved)
    assert {one.id for one in restarted.conversations} == {one.id for one in owner.conversations}
    assert all(library.store.has(file) for one in restarted.conversations for file in one.files())


def test_a_conversation_that_is_saved_twice_gets_two_names(library: Library) -> None:
    owner = library.open(None)
    saved = library.save(owner, current="") | {"conversations": [to_json(begun(library, owner))] * 2}
    assert len({one.id for one in Library(library.store).open(json.loads(json.dumps(saved))).conversations}) == 2


def test_imports_and_branches_make_room_as_new_ones_do_and_it_is_told(library: Library) -> None:
    person = library.open(None)
    first, *_ = [begun(library, person, str(number)) for number in range(3)]
    library.branch(person, first, "before the edit")  # the oldest, but it is open
    assert [one.title for one in person.conversations] == ["0", "2", "0"] and person.gone == ["1"]
    library.add(person, replace(first, id=person.new_name(), turns=list(first.turns)))
    assert len(person.conversations) == 3


def big(library: Library, person: Person, text: str, *, characters: int, versions: int = 1) -> Conversation:
    """A conversation whose last answer has so many characters of text, and earlier ones beside it."""
    conversation = begun(library, person, text)
    answers = [Answer([Piece("text", "x" * characters)], status="done") for _ in range(versions)]
    answers[-1].pieces.append(Piece("media", modality="image", preview="data:image/jpeg;base64," + "A" * 50_000))
    conversation.turns[0].versions, conversation.turns[0].shown = answers, versions - 1
    return conversation


def test_a_browser_without_room_keeps_the_words_before_earlier_answers_and_previews(library: Library) -> None:
    person = library.open(None)
    big(library, person, "old", characters=300_000, versions=4)
    big(library, person, "new", characters=300_000, versions=3)
    saved = library.save(person, current="")
    assert len(json.dumps(saved)) < 1_500_000 and person.unkept == []
    new, old = [from_json(value).turns[0] for value in json.loads(json.dumps(saved))["conversations"]]
    assert len(new.versions) == 3 and new.answer.pieces[1].preview
    assert len(old.versions) == 1 and len(old.answer.text) == 300_000 and not old.answer.pieces[1].preview


def test_the_person_is_told_once_of_what_the_browser_cannot_keep(library: Library) -> None:
    person = library.open(None)
    for text in ("one", "two", "three"):
        big(library, person, text, characters=700_000)
    assert len(library.save(person, current="")["conversations"]) == 2 and person.unkept == ["one"]
    person.unkept.clear()
    library.save(person, current="")
    assert person.unkept == []


def test_saving_does_not_make_finished_conversations_again(library: Library) -> None:
    person = library.open(None)
    conversation = begun(library, person)
    first = library.save(person, current="")["conversations"][0]
    assert library.save(person, current="")["conversations"][0] is first
    conversation.turns[0].again()
    running = library.save(person, current="")["conversations"][0]
    assert len(running["turns"][0]["versions"]) == 2
    conversation.turns[0].answer.status, conversation.updated = "done", 5.0
    done = library.save(person, current="")["conversations"][0]
    assert done["turns"][0]["versions"][1]["status"] == "done"
    conversation.turns[0].shown = 0
    assert library.save(person, current="")["conversations"][0]["turns"][0]["shown"] == 0
