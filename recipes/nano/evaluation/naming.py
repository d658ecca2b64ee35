"""What a free reply names: the first known word in it decides, so that listing many names does not help."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

from recipes.nano.dialogues.phrases import MOTION_ANSWERS, MOTION_WORDS
from recipes.nano.world.motions import MOTIONS
from recipes.nano.world.sounds.catalogue import SOUNDS
from recipes.nano.world.things import things

_COLOUR_AND_FRUIT = "orange"
_ARTICLE = re.compile(r"^(an?|the) ", re.IGNORECASE)


class Names:
    """Finds names in text: whole words in any case, the longest of those that begin first ("polar bear" is no bear)."""

    def __init__(self, spoken: Mapping[str, Iterable[str]]) -> None:
        """`spoken`: name -> the ways to say it. One phrase may stand for several names."""
        self._names: dict[str, set[str]] = {}
        for name, phrases in spoken.items():
            for phrase in phrases:
                self._names.setdefault(_ARTICLE.sub("", phrase).lower(), set()).add(name)
        words = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)

    def first(self, text: str) -> frozenset[str]:
        """The names that the first known phrase of a text may stand for; empty where it holds none."""
        match = self._match(text)
        return frozenset(self._names[match[1].lower()]) if match else frozenset()

    def without_first(self, text: str) -> str:
        """The text less the first known phrase."""
        match = self._match(text)
        return text[: match.start()] + text[match.end() :] if match else text

    def _match(self, text: str) -> re.Match[str] | None:
        for match in self._pattern.finditer(text):
            if match[1].lower() != _COLOUR_AND_FRUIT or not self._is_colour(text, match.end()):
                return match
        return None

    def _is_colour(self, text: str, end: int) -> bool:
        """ "an orange cat": the fruit is no fruit where another known word follows at once."""
        follower = re.match(r"\s+", text[end:])
        return bool(follower and self._pattern.match(text, end + follower.end()))


@cache
def thing_names() -> Names:
    """The world's things by name, plural and synonym."""
    return Names({thing.name: (thing.name, thing.plural, *thing.synonyms) for thing in things()})


@cache
def sound_names() -> Names:
    """The kinds of sound by name and synonym."""
    return Names({kind.name: (kind.name, *kind.synonyms) for kind in SOUNDS})


@cache
def motion_names() -> Names:
    """The motions in every form that people (and the training answers) use."""
    return Names(
        {
            motion: (motion, *MOTION_WORDS[motion][0], *MOTION_WORDS[motion][1], MOTION_ANSWERS[motion].removeprefix("It ").rstrip("."))
            for motion in MOTIONS
        }
    )
