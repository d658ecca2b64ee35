"""Messages -> prompt: a template turns a conversation into pieces, and the pieces become input embeddings.

A piece is either token ids or a file, whose projected encoder vectors stand in the prompt like words, between two boundary tokens.
A file that a person sent is its vectors; a file that the assistant made is the span of signal tokens that made it.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from nextgpt_core.errors import MessageError
from nextgpt_core.llm.language_model import LanguageModel
from nextgpt_core.llm.tokenizer import Tokenizer
from nextgpt_core.messages import Media, Message
from nextgpt_core.modalities.fingerprint import fingerprint


@dataclass(frozen=True)
class Words:
    """A run of token ids. `answer` marks what the assistant writes: the targets of training; `opens` what stands right before it."""

    ids: tuple[int, ...]
    answer: bool = False
    opens: bool = False


Piece = Words | Media
Signals = Mapping[str, tuple[int, ...]]  # modality -> the ids of its span
Boundary = tuple[tuple[int, ...], tuple[int, ...]]  # the ids before and after a file's vectors


@dataclass(frozen=True)
class Prompt:
    """Input embeddings [n, d]; for every position a key that is equal where the embedding is; and where the turns end: each of these
    lengths was, or will be, a whole prompt of this conversation."""

    embeddings: Tensor
    keys: tuple[Hashable, ...]
    ends: tuple[int, ...] = ()


class Template(Protocol):
    """The form of a conversation, and how an answer ends in it."""

    stop_ids: frozenset[int]
    stop_strings: tuple[str, ...]

    def __call__(self, messages: Sequence[Message], *, open_answer: bool = True) -> list[Piece]:
        """A conversation -> its pieces; `open_answer` ends with the words after which the assistant writes."""
        ...


class ChatML:
    """<|im_start|>role, content, <|im_end|>: SmolLM2's own form. Messages may hold text and media in any order."""

    def __init__(self, tokenizer: Tokenizer, *, boundary: Boundary, signals: Signals, system: str = "") -> None:
        self._encode = tokenizer.encode
        self._start, self._end = tokenizer.control("<|im_start|>"), tokenizer.control("<|im_end|>")
        self._boundary, self._signals, self._system = boundary, signals, system
        self.stop_ids = frozenset({self._end})
        self.stop_strings: tuple[str, ...] = ()

    def __call__(self, messages: Sequence[Message], *, open_answer: bool = True) -> list[Piece]:
        pieces: list[Piece] = []
        if self._system:
            pieces += [self._opening("system"), Words((*self._encode(self._system), self._end, *self._encode("\n")))]
        for message in messages:
            assistant = message.role == "assistant"
            pieces.append(self._opening(message.role))
            for part in message.parts:
                if isinstance(part, str):
                    pieces.append(Words(tuple(self._encode(part)), answer=assistant))
                elif assistant:
                    pieces.append(Words(self._signals.get(part.modality, ()), answer=True))
                else:
                    pieces += [Words(self._boundary[0]), part, Words(self._boundary[1])]
            pieces += [Words((self._end,), answer=assistant), Words(tuple(self._encode("\n")))]
        if open_answer:
            pieces.append(self._opening("assistant"))
        return pieces

    def _opening(self, role: str) -> Words:
        return Words((self._start, *self._encode(f"{role}\n")), opens=role == "assistant")


class VicunaV0:
    """`### Human:` and `### Assistant:` as the published 7B model was trained: golden/tiny_e2e.json is the reference.

    Every run of text between two media has a BOS of its own; a person's media stand before the text; the spaces beside signal
    tokens vanish, as in the tokenizer of that time. Unlike upstream, every file has its own place (upstream adds adjacent pictures up
    and drops adjacent media of different kinds), and ` <` or `> ` in a message stay text.
    """

    def __init__(self, tokenizer: Tokenizer, *, boundary: Boundary, signals: Signals, system: str = "") -> None:
        self._encode = tokenizer.encode
        self._beginning = tokenizer.control("<s>")
        self._boundary, self._signals, self._system = boundary, signals, system
        # "▁###" is what the model writes right after a signal token, where the newline before it vanished in training.
        self.stop_ids = frozenset({tokenizer.control("</s>"), tokenizer.control("\u2581###")})
        self.stop_strings: tuple[str, ...] = ("\n###",)

    def __call__(self, messages: Sequence[Message], *, open_answer: bool = True) -> list[Piece]:
        pieces: list[Piece] = []
        run: list[str | tuple[int, ...]] = [self._system]  # text and spans since the last file
        for i, message in enumerate(messages):
            if message.role == "assistant":
                run.append("\n### Assistant: ")
                run += [part if isinstance(part, str) else self._signals.get(part.modality, "") for part in message.parts]
                continue
            run.append("### Human:" if i == 0 else "\n### Human:")
            for file in message.media:
                pieces += [*self._segment(run), Words(self._boundary[0]), file, Words(self._boundary[1])]
                run = []
            # Upstream's page put two spaces after the tags of the newest message, and cut one off again with the tag.
            spaced = not message.media or i == len(messages) - 1
            run.append(f" {message.text}" if spaced else message.text)
        if open_answer:
            run.append("\n### Assistant:")
        return pieces + self._segment(run)

    def _segment(self, run: Sequence[str | tuple[int, ...]]) -> list[Piece]:
        """One run of text: BOS, then text and spans, without the spaces beside spans."""
        ids: list[int] = []
        text, after_span = "", False
        for item in run:
            if isinstance(item, str):
                text += item
                continue
            ids += [*self._encode((text.lstrip() if after_span else text).rstrip()), *item]
            text, after_span = "", True
        ids += self._encode(text.lstrip() if after_span else text)
        return [Words((self._beginning, *ids))] if ids else []


TEMPLATES: dict[str, Callable[..., Template]] = {"chatml": ChatML, "vicuna_v0": VicunaV0}


def pieces_within(
    template: Template, messages: Sequence[Message], *, room: int, vectors: Callable[[Media], Tensor]
) -> tuple[list[Piece], int]:
    """The conversation's pieces in at most `room` positions, and how many of its oldest messages had to be left out for that.

    Raises MessageError when the newest message does not fit alone.
    """
    messages = [replace(message, parts=tuple(_clean(part) for part in message.parts)) for message in messages]
    dropped = 0
    while True:
        pieces = template(messages[dropped:])
        length = sum(len(piece.ids) if isinstance(piece, Words) else len(vectors(piece)) for piece in pieces)
        if length <= room:
            return pieces, dropped
        later = [i for i in range(dropped + 1, len(messages)) if messages[i].role == "user"]
        if not later:
            raise MessageError(f"This message is too long ({length} tokens; {room} fit). Please shorten it or send fewer files.")
        dropped = later[0]


def embed_pieces(pieces: Sequence[Piece], *, llm: LanguageModel, vectors: Callable[[Media], Tensor]) -> Prompt:
    """Pieces -> prompt; `vectors` gives a file's projected encoder vectors [M, d]."""
    rows: list[Tensor] = []
    keys: list[Hashable] = []
    ends: list[int] = []
    for piece in pieces:
        if isinstance(piece, Words):
            rows.append(llm.embed(torch.tensor(piece.ids, dtype=torch.long, device=llm.device)))
            keys += piece.ids
            ends += [len(keys)] if piece.opens else []
        else:
            found = vectors(piece).to(rows[0] if rows else llm.added_input)
            rows.append(found)
            key = file_key(piece)
            keys += [(*key, i) for i in range(len(found))]
    return Prompt(torch.cat(rows), tuple(keys), tuple(ends))


def file_key(media: Media) -> tuple[str, str, str]:
    """What tells this file's content from any other's: modality, path, fingerprint (nothing once it is gone)."""
    try:
        return media.modality, str(media.path), fingerprint(media.path)
    except OSError:
        return media.modality, str(media.path), ""


def _clean(part: str | Media) -> str | Media:
    """Half surrogate pairs, which no encoding of text can hold, become question marks."""
    return part.encode("utf-8", "replace").decode("utf-8") if isinstance(part, str) else part
