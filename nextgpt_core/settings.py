"""The bounds of everything that a person may set for a turn: the one place that every way in asks."""

import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any

from nextgpt_core.errors import SettingsError


@dataclass(frozen=True)
class Bound:
    """What a setting may be: from `least` to `most`, both included."""

    noun: str  # what a person calls it
    least: float
    most: float
    whole: bool = False


BOUNDS: dict[str, Bound] = {
    "temperature": Bound("temperature", 0, 10),
    "top_p": Bound("top-p", 0, 1),
    "max_new_tokens": Bound("length of an answer in tokens", 1, 100_000, whole=True),  # the engine knows the context and is stricter
    "seed": Bound("seed", 0, 2**53 - 1, whole=True),  # the largest whole number that a browser keeps exactly
    "guidance": Bound("guidance", 0, 50),
    "steps": Bound("number of denoising steps", 1, 1000, whole=True),  # diffusion schedules have a thousand
    "seconds": Bound("length of a sound in seconds", 0.1, 60),
    "frames": Bound("length of a video in frames", 1, 240, whole=True),
}


def bounded(name: str, value: Any, *, most: float | None = None) -> Any:
    """`value` of the setting `name` (a key of BOUNDS) as a plain int or float; `most` narrows its bounds.

    Raises SettingsError for what is no number, not whole where it must be, or out of bounds (NaN and infinity are).
    """
    bound = BOUNDS[name]
    high = bound.most if most is None else min(most, bound.most)
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not bound.least <= number <= high or (bound.whole and number != int(number)):
        kind = "a whole number" if bound.whole else "a number"
        raise SettingsError(f"The {bound.noun} must be {kind} from {bound.least:,} to {high:,}, not {_shown(value)}; change that setting.")
    return int(value) if bound.whole else number


def names(setting: str, value: Any) -> frozenset[str]:
    """A set of modalities' names; which there are, the engine knows. Raises SettingsError, for a plain string too."""
    if isinstance(value, str) or not isinstance(value, Collection) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"{setting} takes a set of names such as {{'image'}}, not {_shown(value)}.")
    return frozenset(value)


def _shown(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 40 else f"{said[:37]}…"
