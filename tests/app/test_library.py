"""Persons and their conversations: what is theirs, what is kept, what they are told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.conversation import Answer, Conversation, Turn, to_json
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
