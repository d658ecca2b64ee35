"""A conversation as the page keeps it: turns of a person's message and an answer that grows. Plain data, to and from JSON."""

import json
import re
import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from app.files import FileStore, StoredFile, plain
from app.previews import checked_uri, data_uri
from nextgpt_core.errors import MediaTooLarge
from nextgpt_core.messages import (
    Event,
    Media,
    MediaFailed,
    MediaProgress,
    MediaReady,
    MediaStarted,
    Message,
    Part,
    SignalSpan,
    TextDelta,
    TurnDone,
    whole_text,
)
from nextgpt_core.modalities import MODALITIES

TITLE_LENGTH = 48


@dataclass
class Piece:
    """One piece of an answer, in order: text, or a file that is being made, ready or failed."""

    kind: str  # "text" or "media"
    text: str = ""
    index: int = 0
    modality: str = ""
    step: int = 0
    steps: int = 0
    started: float = 0.0  # time.monotonic() of MediaStarted
    preview: str = ""  # the last preview as data URI, while it is made and after a stop
    file: StoredFile | None = None
    error: str = ""


@dataclass
class Answer:
    """What came of a turn so far. `status`: waiting, running, done, cancelled or failed."""

    pieces: list[Piece] = field(default_factory=list)
    status: str = "waiting"
    error: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    spans: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    seed: int | None = None
    prompt_tokens: int = 0
    generated_tokens: int = 0
    cut: bool = False  # the token limit ended it

    @property
    def finished(self) -> bool:
        return self.status not in ("waiting", "running")

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces if piece.kind == "text")

    def add(self, event: Event, store: FileStore) -> None:
        """Fold one event of the engine into the answer. Files that the engine wrote are entered into the store."""
        if isinstance(event, TextDelta):
            if not self.pieces or self.pieces[-1].kind != "text":
                self.pieces.append(Piece("text"))
            self.pieces[-1].text += event.text
        elif isinstance(event, SignalSpan):
            self._place_file(len(self.spans), event.modality)  # keeps the file's place in the text; it is made later
            self.spans.append(asdict(event))
        elif isinstance(event, MediaStarted):
            piece = self._place_file(event.index, event.modality)
            piece.steps, piece.started = event.steps, time.monotonic()
        elif isinstance(event, MediaProgress):
            piece = self._place_file(event.index, event.modality)
            piece.step, piece.steps = event.step, event.steps
            if event.preview is not None:
                piece.preview = data_uri(event.preview)
        elif isinstance(event, MediaReady):
            piece = self._place_file(event.index, event.media.modality)
            piece.preview = ""
            try:
                piece.file = store.enter(event.media)
            except MediaTooLarge as error:
                piece.error = str(error)
        elif isinstance(event, MediaFailed):
            piece = self._place_file(event.index, event.modality)
            piece.preview, piece.error = "", event.reason
        elif isinstance(event, TurnDone):
            self.spans = [asdict(span) for span in event.spans]
            self.seconds, self.seed = dict(event.seconds), event.seed
            self.prompt_tokens, self.generated_tokens = event.prompt_tokens, event.generated_tokens
            self.cut = event.finish_reason == "length"
            self.status = "cancelled" if event.finish_reason == "cancelled" else "done"  # last: who sees it finished keeps how it looks

    def _place_file(self, index: int, modality: str) -> Piece:
        for piece in self.pieces:
            if piece.kind == "media" and piece.index == index:
                return piece
        self.pieces.append(Piece("media", index=index, modality=modality, started=time.monotonic()))
        return self.pieces[-1]


@dataclass
class Turn:
    """A person's message and its answers: the first and those that retry added; one of them is shown and counts."""

    text: str
    files: list[StoredFile] = field(default_factory=list)
    versions: list[Answer] = field(default_factory=lambda: [Answer()])
    shown: int = 0
    rendered: Any = field(default=None, repr=False, compare=False)  # render.py's memory of a finished turn

    def __post_init__(self) -> None:
        self.text = whole_text(self.text)

    @property
    def answer(self) -> Answer:
        return self.versions[self.shown]

    def made(self) -> list[StoredFile]:
        """The files of all its answers."""
        return [piece.file for answer in self.versions for piece in answer.pieces if piece.file]

    def again(self) -> None:
        """A new answer beside the earlier ones."""
        self.versions.append(Answer())
        self.shown = len(self.versions) - 1


@dataclass
class Conversation:
    """Turns under an unguessable name, which is also the name of the folder of its files."""

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    turns: list[Turn] = field(default_factory=list)
    updated: float = field(default_factory=time.time)
    note: str = ""  # such as "before the edit", shown behind the title
    packed: Any = field(default=None, repr=False, compare=False)  # library.py's memory of what the browser keeps

    @property
    def title(self) -> str:
        first = next((turn for turn in self.turns if turn.text.strip() or turn.files), None)
        if first is None:
            return ""
        text = re.sub(r"\s+", " ", first.text).strip() or ", ".join(file.label for file in first.files)
        return text if len(text) <= TITLE_LENGTH else f"{text[: TITLE_LENGTH - 1]}…"

    @property
    def busy(self) -> bool:
        return bool(self.turns) and not self.turns[-1].answer.finished

    def files(self) -> list[StoredFile]:
        """Every file of the conversation, a person's and made ones."""
        return [file for turn in self.turns for file in turn.files] + [file for turn in self.turns for file in turn.made()]

    def messages(self, store: FileStore) -> list[Message]:
        """What the engine gets: every turn, files that are gone left out. The last answer, still empty, is not sent."""
        messages: list[Message] = []
        for number, turn in enumerate(self.turns):
            media: list[Part] = [Media(file.modality, store.path(file), file.info) for file in turn.files if store.has(file)]
            messages.append(Message("user", tuple(media) + ((turn.text,) if turn.text else ())))
            if number == len(self.turns) - 1:
                break
            parts: list[Part] = []
            for piece in turn.answer.pieces:
                if piece.kind == "text" and piece.text:
                    parts.append(piece.text)
                elif piece.file and store.has(piece.file):
                    parts.append(Media(piece.modality, store.path(piece.file), piece.file.info))
            messages.append(Message("assistant", tuple(parts)))
        return messages


def to_json(conversation: Conversation) -> dict[str, Any]:
    """A JSON object; floats rounded, so that it stays small in the browser."""
    turns = []
    for turn in conversation.turns:
        versions = [_answer_json(answer) for answer in turn.versions]
        turns.append({"text": turn.text, "files": [asdict(file) for file in turn.files], "versions": versions, "shown": turn.shown})
    return {"id": conversation.id, "turns": turns, "updated": conversation.updated, "note": conversation.note}


def from_json(value: Any) -> Conversation:
    """The inverse of `to_json`, for data that a browser or a file held: anything unexpected raises ValueError."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # no infinite number, no half a character, nothing too deep
        turns = [_turn(turn) for turn in value["turns"]]
        return Conversation(_token(value["id"]), turns, min(_number(value["updated"]), time.time()), _text(value["note"])[:80])
    except (KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a conversation: {error}") from error


def _answer_json(answer: Answer) -> dict[str, Any]:
    seconds = {name: round(value, 3) for name, value in answer.seconds.items()}
    return {**vars(answer), "seconds": seconds, "pieces": [_piece_json(piece) for piece in answer.pieces]}


def _piece_json(piece: Piece) -> dict[str, Any]:
    if piece.kind == "text":
        return {"kind": "text", "text": piece.text}
    file = asdict(piece.file) if piece.file else None
    kept = {"index": piece.index, "modality": piece.modality, "file": file, "error": piece.error, "preview": piece.preview}
    return {"kind": "media", **kept}


def _turn(value: Any) -> Turn:
    files = [StoredFile.from_json(file) for file in value["files"]]
    versions = [_answer(answer) for answer in value["versions"]]
    shown = _count(value["shown"])
    if not 0 <= shown < len(versions):
        raise ValueError("not a conversation: a turn has no answer")
    return Turn(_text(value["text"]), files, versions, shown)


def _answer(value: Any) -> Answer:
    status = value["status"] if value["status"] in ("done", "cancelled", "failed") else "cancelled"  # whatever ran is over
    answer = Answer(status=status, error=_text(value["error"]), settings=plain(value["settings"]), cut=bool(value["cut"]))
    answer.spans = [
        {"modality": _modality(span["modality"]), "start": _count(span["start"]), "length": _count(span["length"])}
        for span in value["spans"]
    ]
    answer.seconds = {_text(name): _number(seconds) for name, seconds in value["seconds"].items()}
    answer.seed = None if value["seed"] is None else _count(value["seed"], low=-(2**64))
    answer.prompt_tokens, answer.generated_tokens = _count(value["prompt_tokens"]), _count(value["generated_tokens"])
    for piece in value["pieces"]:
        if piece["kind"] == "text":
            answer.pieces.append(Piece("text", text=_text(piece["text"])))
        else:
            file = StoredFile.from_json(piece["file"]) if piece["file"] else None
            index, modality = _count(piece["index"]), _modality(piece["modality"])
            made = Piece("media", index=index, modality=modality, file=file, error=_text(piece["error"]))
            made.preview = checked_uri(_text(piece.get("preview", "")))
            answer.pieces.append(made)
    return answer


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _modality(value: Any) -> str:
    if value not in MODALITIES:
        raise ValueError("not a conversation: a modality is unknown")
    return str(value)


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value < 2.0**53:
        raise ValueError("not a conversation: a number is out of range")
    return float(value)


def _count(value: Any, low: int = 0) -> int:
    if not isinstance(value, int) or not low <= value < 2**64:
        raise ValueError("not a conversation: a count is out of range")
    return value


def _token(value: Any) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", _text(value)):
        raise ValueError("not a conversation: its name is malformed")
    return str(value)
