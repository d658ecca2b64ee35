"""Who has which conversations: kept here under an unguessable key that the person's browser holds, and copied into the browser."""

import hashlib
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.conversation import Conversation, Turn, from_json, to_json
from app.files import FileStore, StoredFile

logger = logging.getLogger(__name__)

VERSION = 1
BROWSER_ROOM = 1_500_000  # characters; browsers keep about five million, and Gradio's encryption takes its share


@dataclass
class Person:
    """One browser's conversations, the newest first, and the one that is open in each of its tabs is told by id."""

    key: str = field(default_factory=lambda: secrets.token_hex(16))
    conversations: list[Conversation] = field(default_factory=list)
    seen: float = field(default_factory=time.time)
    sent: list[float] = field(default_factory=list)  # times of the last messages, for the rate limit
    # Titles of conversations that made room for others, and of those that do not fit into the browser: the person is told once.
    gone: list[str] = field(default_factory=list)
    unkept: list[str] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)  # names of those that they were told of

    def new_name(self) -> str:
        """A name for a conversation and its folder. Nobody can guess it, and only who holds the key can have made it: who sees it, in the
        address of a file, cannot claim it."""
        number = secrets.token_hex(4)
        return number + self._proof(number)

    def owns(self, name: str) -> bool:
        return secrets.compare_digest(name[8:], self._proof(name[:8]))

    def _proof(self, number: str) -> str:
        return hashlib.sha256(f"{self.key} {number}".encode()).hexdigest()[:24]

    def find(self, conversation_id: str) -> Conversation | None:
        return next((one for one in self.conversations if one.id == conversation_id), None)

    def listed(self) -> list[Conversation]:
        """What the sidebar shows: conversations that were begun, the last used first."""
        return sorted((one for one in self.conversations if one.turns), key=lambda one: -one.updated)


class Library:
    """All persons of this server. Two tabs of one browser share a Person, so neither overwrites the other."""

    def __init__(self, store: FileStore, *, max_conversations: int = 30) -> None:
        self.store = store
        self.max_conversations = max_conversations
        self._people: dict[str, Person] = {}
        self._lock = threading.RLock()

    def open(self, saved: Any) -> Person:
        """The person whose browser holds `saved`; what this server does not know (it was restarted) is read from there."""
        key = saved.get("key") if isinstance(saved, dict) else None
        with self._lock:
            if not isinstance(key, str) or not re.fullmatch(r"[0-9a-f]{32}", key):
                return self.again(Person())
            return self.again(self._people.get(key) or _read(key, saved))

    def again(self, person: Person) -> Person:
        """The person as this server knows them, now seen: one who was forgotten meanwhile is entered again."""
        with self._lock:
            person = self._people.setdefault(person.key, person)
            person.seen = time.time()
            return person

    def save(self, person: Person, *, current: str) -> dict[str, Any]:
        """What the person's browser shall keep, as far as it has room: the newest conversations whole, older ones without previews and
        earlier answers. The person is told of those that do not fit at all."""
        with self._lock:
            packs = [_pack(conversation) for conversation in person.listed()[: self.max_conversations]]
            kept: list[Pack] = []
            room = BROWSER_ROOM
            for pack in packs:
                if kept and pack.lean_size > room:
                    break
                room -= pack.lean_size
                kept.append(pack)
            values = []
            for pack in kept:
                whole = pack.size - pack.lean_size <= room
                room -= pack.size - pack.lean_size if whole else 0
                values.append(pack.value if whole else pack.lean)
            for left_out in packs[len(kept) :]:
                if left_out.value["id"] not in person.warned:
                    person.warned.add(left_out.value["id"])
                    person.unkept += [one.title for one in person.conversations if one.id == left_out.value["id"]]
            return {"version": VERSION, "key": person.key, "current": current, "conversations": values}

    def start(self, person: Person) -> Conversation:
        """A new, empty conversation; empty ones are not piled up."""
        with self._lock:
            person.conversations = [one for one in person.conversations if one.turns]
            conversation = Conversation(person.new_name())
            self.add(person, conversation)
            return conversation

    def add(self, person: Person, conversation: Conversation, *, beside: Conversation | None = None) -> None:
        """Enter a conversation. Where there are too many the oldest make room, but not the one `beside` which it is put."""
        with self._lock:
            room = self.max_conversations - 1 - (beside is not None)
            others = [one for one in person.listed() if one is not beside]
            for old in others[max(room, 0) :]:
                if not old.busy:
                    self.delete(person, old)
                    person.gone.append(old.title)
            person.conversations.append(conversation)

    def branch(self, person: Person, conversation: Conversation, note: str) -> None:
        """Keep a copy of a conversation as it is now, under a new name, before an edit changes it."""
        copy = from_json(to_json(conversation))
        copy.id, copy.note, copy.updated = person.new_name(), note, time.time() - 1
        self.add(person, copy, beside=conversation)

    def delete(self, person: Person, conversation: Conversation) -> None:
        """Forget a conversation and delete its files, also those that were cut from it, save what a branch of it still shows."""
        with self._lock:
            person.conversations = [one for one in person.conversations if one is not conversation]
            self.release(person, conversation.files())
            shown = [file for one in person.conversations for file in one.files()]
            folders = {conversation.id} | {file.folder for file in conversation.files()}
            for folder in folders - {one.id for one in person.conversations}:
                self.store.discard(folder, keep={file.name for file in shown if file.folder == folder})

    def cut(self, person: Person, conversation: Conversation, length: int) -> list[Turn]:
        """Take the turns from `length` on off a conversation, and delete what was made for them alone; returns them."""
        with self._lock:
            gone = conversation.turns[length:]
            del conversation.turns[length:]
            conversation.updated = time.time()
            self.release(person, [file for turn in gone for file in turn.made()])
            return gone

    def release(self, person: Person, files: list[Any]) -> None:
        """Delete files that none of the person's conversations shows any more."""
        shown = {(file.folder, file.name) for one in person.conversations for file in one.files()}
        for file in files:
            if (file.folder, file.name) not in shown:
                self.store.delete(file)

    def allow(self, person: Person, per_minute: int, *, clock: Callable[[], float] = time.time) -> bool:
        """The rate limit: False where the person sent too much in the last minute."""
        with self._lock:
            now = clock()
            person.sent = [at for at in person.sent if now - at < 60]
            if len(person.sent) >= per_minute:
                return False
            person.sent.append(now)
            return True

    def forget_old(self, keep_seconds: float) -> None:
        """Drop persons who were not seen for the set time; their browsers still hold the text."""
        with self._lock:
            oldest = time.time() - keep_seconds
            for key in [key for key, person in self._people.items() if person.seen < oldest]:
                if not any(one.busy for one in self._people[key].conversations):
                    del self._people[key]


@dataclass(frozen=True)
class Pack:
    """A conversation as JSON values, whole and lean, with their sizes in characters; `state` tells whether it changed since."""

    state: tuple[Any, ...]
    value: dict[str, Any]
    size: int
    lean: dict[str, Any]
    lean_size: int


def _pack(conversation: Conversation) -> Pack:
    """The conversation's pack, made once for each finished state: all conversations are saved several times a turn."""
    state = conversation.updated, conversation.note, *((turn.shown, len(turn.versions)) for turn in conversation.turns)
    pack: Pack | None = conversation.packed
    if conversation.busy or pack is None or pack.state != state:
        value = to_json(conversation)
        lean = {**value, "turns": [_lean(turn) for turn in value["turns"]]}
        pack = Pack(state, value, len(json.dumps(value)), lean, len(json.dumps(lean)))
        conversation.packed = None if conversation.busy else pack
    return pack


def _lean(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn's JSON value with the answer that is shown alone, and without previews."""
    answer = turn["versions"][turn["shown"]]
    pieces = [{**piece, "preview": ""} if "preview" in piece else piece for piece in answer["pieces"]]
    return {**turn, "versions": [{**answer, "pieces": pieces}], "shown": 0}


def _read(key: str, saved: dict[str, Any]) -> Person:
    """A person from what their browser held. A conversation that cannot be read is left out, the others stay. A conversation's name or a
    file that is another person's is not believed: the conversation gets a new name, the file counts as deleted."""
    person = Person(key)
    values = saved.get("conversations")
    for value in values if isinstance(values, list) else []:
        try:
            conversation = from_json(value)
        except ValueError as error:
            logger.warning("a saved conversation was left out: %s", error)
            continue
        if not person.owns(conversation.id) or person.find(conversation.id):
            conversation.id = person.new_name()
        for turn in conversation.turns:
            turn.files = [_own(person, conversation, file) for file in turn.files]
            for piece in (piece for answer in turn.versions for piece in answer.pieces):
                piece.file = piece.file and _own(person, conversation, piece.file)
        person.conversations.append(conversation)
    return person


def _own(person: Person, conversation: Conversation, file: StoredFile) -> StoredFile:
    return file if person.owns(file.folder) else replace(file, folder=conversation.id)
