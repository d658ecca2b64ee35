"""A dialogue being written: what each side says, and what "it" refers to meanwhile."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nextgpt_core.messages import Media, Message, Part
from nextgpt_core.train.nano import phrases
from nextgpt_core.train.nano.scenes import MediaSource, Scene, caption, modality_of, random_scene, wished
from nextgpt_core.train.nano.wording import as_typed, reworded

Dialogue = list[Message]
_SLIPS = {False: 0.2, True: 0.12}  # share of messages with a slip of the keyboard; practice is harder than the test


class Talk:
    """A dialogue being written: its messages, and the scene that "it" refers to."""

    def __init__(self, rng: np.random.Generator, source: MediaSource, held_out: bool) -> None:
        self.rng = rng
        self.source = source
        self.held_out = held_out
        self.messages: Dialogue = []
        self.scene: Scene | None = None
        self.made: str | None = None  # modality of the last medium the assistant made

    def frame(self, kind: str, key: str = "") -> str:
        found = phrases.frames(kind, key, held_out=self.held_out) or phrases.frames(kind, key, held_out=False)
        return self.pick(found)

    def pick(self, items: Sequence[Any]) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def send(self, modality: str) -> Media:
        """A medium from the user; it becomes what "it" refers to."""
        self.scene, info = self.source.draw(self.rng, modality)
        self.made = None
        return Media(modality, Path(f"sent.{modality}"), info | {"scene": self.scene, "caption": caption(self.scene)})

    def user(self, text: str, *media: Media, chatty: bool = True) -> None:
        """`chatty` texts may get openers and closers."""
        said = as_typed(self.rng, text, chatty=chatty, slips=_SLIPS[self.held_out])
        parts: tuple[Part, ...] = (*media, said) if said else media
        if said and media and self.chance(0.1):
            parts = (said, *media)
        self.messages.append(Message("user", parts))

    def say(self, *parts: Part) -> None:
        self.messages.append(Message("assistant", parts))

    def answer(self, *scenes: Scene, replies: dict[str, tuple[str, ...]] = phrases.MADE) -> None:
        """Make these media, each after a sentence that says what it is."""
        parts: list[Part] = []
        for i, scene in enumerate(scenes):
            modality, said = modality_of(scene), caption(scene)
            sentence = agreeing(self.pick(replies[modality]).format(x=said))
            parts += [f" {sentence}" if i else sentence, Media(modality, Path(f"made.{modality}"), {"scene": scene, "caption": said})]
        self.say(*parts)
        self.scene, self.made = scenes[-1], modality_of(scenes[-1])

    def wish(self, modality: str) -> Scene:
        return wished(random_scene(self.rng, modality))

    def words_for(self, scene: Scene) -> str:
        """The scene as a user may say it."""
        return reworded(self.rng, scene, caption(scene))


def agreeing(sentence: str) -> str:
    """ "Here is two apples" -> "Here are two apples"."""
    return re.sub(r"\b(Here|here) is (two|three)\b", r"\1 are \2", re.sub(r"\bThis is (two|three)\b", r"These are \1", sentence))


def filled(talk: Talk, frame: str, scene: Scene) -> str:
    said = talk.words_for(scene)
    return frame.format(x=said, n=bare(said))


def bare(said: str) -> str:
    first, _, rest = said.partition(" ")
    return rest if first in ("a", "an", "the") else said


def some_motion(talk: Talk) -> tuple[str, str]:
    motion = talk.pick([name for name in phrases.MOTION_WORDS if name != "standing still"])
    return motion, talk.pick(phrases.MOTION_WORDS[motion][1])
