"""How people type: other words for a scene, openers and closers, capitals, punctuation and slips of the keyboard."""

import re
from typing import Any

import numpy as np

from recipes.nano.dialogues import phrases
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.sounds.catalogue import KINDS, SoundScene
from recipes.nano.world.videos import VideoScene

_QUESTION = re.compile(r"^(can|could|would|will|may|do|does|did|is|are|what|which|who|where|how|why|have|got)\b", re.IGNORECASE)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def reworded(rng: np.random.Generator, scene: Any, caption: str) -> str:
    """The caption, or another way to say the same: a synonym for a plain thing, or its parts in another order."""
    if isinstance(scene, PictureScene) and caption == scene.thing.singular and scene.thing.synonyms and rng.random() < 0.3:
        synonym = _pick(rng, scene.thing.synonyms)
        return f"{'an' if synonym[0] in 'aeiou' else 'a'} {synonym}" if scene.thing.article and not synonym.endswith("s") else synonym
    if isinstance(scene, SoundScene) and caption == scene.kind and KINDS[scene.kind].synonyms and rng.random() < 0.4:
        return str(_pick(rng, KINDS[scene.kind].synonyms))
    if isinstance(scene, VideoScene) and rng.random() < 0.4:
        return caption.replace(scene.motion, _pick(rng, phrases.MOTION_WORDS[scene.motion][1]))
    if rng.random() < 0.3:
        return _reordered(rng, caption)
    return caption


def _reordered(rng: np.random.Generator, caption: str) -> str:
    match = re.fullmatch(r"(.*) on (an? \w+ background)(.*)", caption)
    if match:
        thing, background, rest = match.groups()
        form = _pick(rng, ("{t} with {b}{r}", "{t} in front of {b}{r}", "{t}, {bare}{r}", "{t}, on {b}{r}"))
        return str(form.format(t=thing, b=background, bare=background.split(" ", 1)[1], r=rest))
    match = re.fullmatch(r"(an? (?:[\w ]+ )?(?:melody|rhythm|note)) on (an? .*|.*)", caption)
    if match:
        what, player = match.groups()
        return str(_pick(rng, ("{p} playing {w}", "{w}, played by {p}", "{p} with {w}", "{p}, {w}")).format(p=player, w=what))
    return caption


def as_typed(rng: np.random.Generator, text: str, *, chatty: bool = True, slips: float = 0.12) -> str:
    """A frame that has been filled -> what somebody might really type; openers and closers only if `chatty`, slips of the keyboard in a
    share of `slips`."""
    if not text or text == "?":
        return text
    said = text
    if chatty and len(said) < 60 and not said.startswith(("no", "and", "now", "again")):
        opener, closer = _pick(rng, phrases.OPENERS), _pick(rng, phrases.CLOSERS)
        said = ("" if "please" in said and "please" in opener else opener) + said
        said += "" if "please" in said or said.endswith("?") else closer
    if rng.random() < slips:
        said = _slip(rng, said)
    if rng.random() < 0.5:
        said = said[:1].upper() + said[1:]
        said = re.sub(r"\bi\b", "I", said)
    if said[-1] not in ".?!)":
        question = bool(_QUESTION.match(text))
        said += str(_pick(rng, ("?", "?", "") if question else (".", "", "", "!" if rng.random() < 0.3 else "")))
    return said.upper() if rng.random() < 0.01 else said


def _slip(rng: np.random.Generator, text: str) -> str:
    """One letter of one longer word dropped, doubled, swapped or mistyped."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not long:
        return text
    i = _pick(rng, long)
    word, at = words[i], int(rng.integers(1, len(words[i]) - 1))
    words[i] = _pick(
        rng,
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + _LETTERS[int(rng.integers(26))] + word[at + 1 :],
        ),
    )
    return " ".join(words)


def _pick(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]
