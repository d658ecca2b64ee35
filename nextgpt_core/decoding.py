"""The token loop: from a prompt to pieces of text and complete signal spans.

When the first token of a span is chosen, the rest of the span is fixed; it is appended and the k tokens run in one forward pass, which
is the same as token by token (attention is causal). No other token of a span can be chosen, so a partial span cannot happen.
"""

import codecs
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nextgpt_core.errors import Cancelled
from nextgpt_core.llm.language_model import Cache, LanguageModel
from nextgpt_core.prompt import Prompt

PREFILL = 256  # positions between two looks at `cancelled`
Choose = Callable[[Tensor], int]  # scores [vocabulary + added] -> token id


@dataclass(frozen=True)
class Text:
    """Whole characters that no stop string can begin with any more."""

    text: str


@dataclass(frozen=True)
class Span:
    """A complete run of signal tokens with what the output projection needs."""

    modality: str
    start: int  # index among the generated tokens
    states: Tensor  # [k, d] last layer, after the final norm
    embeddings: Tensor  # [k, d]


@dataclass(frozen=True)
class Ended:
    """Why the loop ended, and how many tokens it made."""

    reason: Literal["stop", "length"]
    tokens: int


class Context:
    """What the language model has already read: its key-value cache and the keys of the positions in it.

    A prompt goes on from the end of an earlier turn's prompt, and what follows is read in one piece (its answer, which was written token
    by token, included). So a conversation is always cut into the same pieces, and rounding does not depend on what was read before: the
    same turn gives the same bytes, in a fresh process too.
    """

    def __init__(self, llm: LanguageModel) -> None:
        self.llm = llm
        self.cache: Cache = llm.new_cache()
        self.keys: list[Hashable] = []
        self._states: dict[int, Tensor] = {}  # at the last position of the prompts that were read, by length

    def shared(self, keys: tuple[Hashable, ...]) -> int:
        """How many first positions of a prompt are in the cache."""
        return next((i for i, (mine, yours) in enumerate(zip(self.keys, keys)) if mine != yours), min(len(self.keys), len(keys)))

    def read(self, prompt: Prompt, *, cancelled: Callable[[], bool]) -> Tensor:
        """Read on to the end of a prompt; returns the state at its last position [d]. Raises Cancelled between pieces."""
        length, shared = len(prompt.keys), self.shared(prompt.keys)
        ends = prompt.ends or (shared, length)  # a template without stable ends goes on from wherever it can
        begin = max((end for end in ends if end <= shared and (end < length or end in self._states)), default=0)
        self.llm.shorten(self.cache, begin)
        del self.keys[begin:]
        self._states = {end: state for end, state in self._states.items() if end <= begin}
        for end in (*(end for end in ends if begin < end < length), length):
            for first in range(len(self.keys), end, PREFILL):
                if cancelled():
                    raise Cancelled("Stopped.")
                last = min(first + PREFILL, end)
                self._states[end] = self.run(prompt.embeddings[first:last], prompt.keys[first:last])[-1]
        return self._states[length]

    def run(self, embeddings: Tensor, keys: tuple[Hashable, ...]) -> Tensor:
        """n more positions [n, d] -> their states [n, d]."""
        states = self.llm(embeddings[None], cache=self.cache)[0]
        self.keys += keys
        return states


def decode(
    context: Context,
    state: Tensor,
    *,
    signals: Mapping[str, tuple[int, ...]],
    choose: Choose,
    max_new_tokens: int,
    stop_ids: frozenset[int] = frozenset(),
    stop_strings: tuple[str, ...] = (),
    forbid: frozenset[str] = frozenset(),
    require: tuple[str, ...] = (),
    max_spans: int = 6,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Text | Span | Ended]:
    """Write an answer after a prompt whose last state [d] is given.

    Modalities in `forbid` cannot be chosen; those in `require` that were not made by the end are appended. A span is never cut by
    `max_new_tokens`. Raises Cancelled between two tokens.
    """
    llm = context.llm
    first_of = {ids[0]: modality for modality, ids in signals.items()}
    allowed = {token for token, modality in first_of.items() if modality not in forbid}
    blocked = torch.tensor([token for token in llm.added.values() if token not in allowed], dtype=torch.long, device=llm.device)
    every_added = torch.tensor(list(llm.added.values()), dtype=torch.long, device=llm.device)
    stream = TextStream(stop_strings)
    made: list[str] = []
    tokens = 0
    reason: Literal["stop", "length"] = "length"

    def span(modality: str) -> Span:
        nonlocal state, tokens
        ids = signals[modality]
        embeddings = llm.embed(torch.tensor(ids, device=llm.device))
        states = context.run(embeddings, ids)
        found = Span(modality, tokens, states, embeddings)
        state, tokens = states[-1], tokens + len(ids)
        made.append(modality)
        return found

    while tokens < max_new_tokens:
        if cancelled():
            raise Cancelled("Stopped.")
        scores = llm.logits(state)
        scores[blocked if len(made) < max_spans else every_added] = -torch.inf
        token = choose(scores)
        if token in stop_ids:
            reason = "stop"
            break
        if token in first_of:
            if text := stream.flush():
                yield Text(text)
            yield span(first_of[token])
            continue
        state = context.run(llm.embed(torch.tensor([token], device=llm.device)), (token,))[0]
        tokens += 1
        if text := stream.push(llm.tokenizer.token_bytes(token)):
            yield Text(text)
        if stream.stopped:
            reason = "stop"
            break
    if text := stream.flush():
        yield Text(text)
    for modality in require:
        if modality not in made:
            yield span(modality)
    yield Ended(reason, tokens)


class TextStream:
    """Bytes of tokens -> text that is safe to show: no half character, nothing that may become a stop string, no leading space."""

    def __init__(self, stop_strings: tuple[str, ...] = ()) -> None:
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = stop_strings
        self._held = ""
        self._begun = False
        self.stopped = False

    def push(self, more: bytes) -> str:
        """Take a token's bytes; returns what can be shown now. After a stop string nothing more comes."""
        self._held += self._characters.decode(more)
        for stop in self._stops:
            if (at := self._held.find(stop)) >= 0:
                self._held, self.stopped = self._held[:at], True
        keep = 0 if self.stopped else max((_overlap(self._held, stop) for stop in self._stops), default=0)
        return self._release(len(self._held) - keep)

    def flush(self) -> str:
        """What was held back, at the end of the text or before a span."""
        self._held += "" if self.stopped else self._characters.decode(b"", final=True)
        self._characters.reset()
        return self._release(len(self._held))

    def _release(self, count: int) -> str:
        shown, self._held = self._held[:count], self._held[count:]
        if not self._begun:
            shown = shown.lstrip()
            self._begun = bool(shown)
        return shown


def greedy(scores: Tensor) -> int:
    """The likeliest token."""
    return int(scores.argmax())


def sampler(*, temperature: float, top_p: float, generator: torch.Generator) -> Choose:
    """Nucleus sampling; greedy at temperature or top_p 0. The generator (of the CPU) alone decides, so a seed repeats."""
    if temperature <= 0 or top_p <= 0:
        return greedy

    def choose(scores: Tensor) -> int:
        ordered, ids = (scores.float().cpu() / temperature).softmax(-1).sort(descending=True)
        ordered[ordered.cumsum(0) - ordered >= top_p] = 0  # keeps the first token that crosses top_p
        return int(ids[torch.multinomial(ordered, 1, generator=generator)])

    return choose


def _overlap(text: str, stop: str) -> int:
    """The longest end of `text` that is a beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
