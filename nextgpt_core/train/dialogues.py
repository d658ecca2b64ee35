"""Writing dialogues to train on: messages as the engine sees them, whatever the phrases and the things are."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from nextgpt_core.messages import Media, Message, Part

Dialogue = list[Message]


class DialogueWriter:
    """A dialogue being written. It knows no phrases: whoever uses it brings the sentences and the media."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.messages: Dialogue = []

    def pick(self, items: Sequence[Any]) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def ask(self, text: str, *media: Media, words_first: float = 0.1) -> None:
        """What the user sends: files, then words; the other way round in a share of `words_first`. Empty words are left out."""
        parts: tuple[Part, ...] = (*media, text) if text else media
        if text and media and self.chance(words_first):
            parts = (text, *media)
        self.messages.append(Message("user", parts))

    def say(self, *parts: Part) -> None:
        """What the assistant answers."""
        self.messages.append(Message("assistant", parts))

    def make(self, *made: tuple[str, Media]) -> None:
        """An answer that makes media, each after a sentence that says what it is."""
        parts: list[Part] = []
        for sentence, media in made:
            parts += [f" {sentence}" if parts else sentence, media]
        self.say(*parts)


def agreeing(sentence: str) -> str:
    """ "Here is two apples" -> "Here are two apples"."""
    return re.sub(r"\b(Here|here) is (two|three)\b", r"\1 are \2", re.sub(r"\bThis is (two|three)\b", r"These are \1", sentence))


def bare(said: str) -> str:
    """ "a red apple" -> "red apple"."""
    first, _, rest = said.partition(" ")
    return rest if first in ("a", "an", "the") else said
