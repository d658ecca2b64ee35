"""What a person types is checked as much as what a file brings: halves of characters, and words that happen to be keys."""

import json
from pathlib import Path

import pytest

from app.actions import NO_KEY, _title
from app.conversation import Conversation, Turn, from_json, to_json
from app.files import FileStore
from app.i18n import TEXTS
from app.library import Library
from app.render import Renderer
from nextgpt_core.messages import Message

HALVES = ["half \ud83d of an emoji", "\udc00", "a\ud800\ud800b", "\udfff\ud83d"]


@pytest.mark.parametrize("typed", HALVES, ids=ascii)
def test_half_a_character_locks_nobody_out(tmp_path: Path, typed: str) -> None:
    store = FileStore(tmp_path, keep_hours=1, max_bytes=10**6)
    library = Library(store, max_conversations=5)
    person = library.open(None)
    conversation = library.start(person)
    conversation.turns.append(Turn(typed))
    conversation.turns[0].answer.status = "done"
    shown = Renderer(store).render(conversation, "en")
    for told in (shown, library.save(person, current=conversation.id), _title(conversation, "en")):
        json.dumps(told, ensure_ascii=False).encode()  # as the server sends it
    assert from_json(json.loads(json.dumps(to_json(conversation)))).turns[0].text == conversation.turns[0].text
    assert "\ufffd" in Message("user", (typed,)).text


@pytest.mark.parametrize("typed", ["hello", "a 👍🏽 and 𝄞", "你好", "e\u0301", "\u200d", "\ufffd"])
def test_whole_characters_stay_as_they_are(typed: str) -> None:
    assert Turn(typed).text == typed and Message("user", (typed,)).text == typed


def test_two_halves_that_belong_together_become_their_character() -> None:
    assert Turn("\ud83d\ude00").text == "😀"


@pytest.mark.parametrize("typed", ["hello", "camera", "new", "common.submit", "title"])
def test_a_title_is_never_a_key_of_a_translation(typed: str) -> None:
    title = _title(Conversation(turns=[Turn(typed)]), "en")
    assert title not in TEXTS and title.removeprefix(NO_KEY) == typed
