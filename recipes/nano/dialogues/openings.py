"""How a dialogue of the instruction-tuning set can open: wishes, questions about what is sent, chat, and what only sounds like a wish."""

import re
from collections.abc import Callable
from functools import cache

import numpy as np

from nextgpt_core.messages import Media
from recipes.nano.dialogues import chat, phrases
from recipes.nano.dialogues.later_turns import change
from recipes.nano.dialogues.talk import Talk, filled, some_motion
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.scenes import (
    COUNT_WORDS,
    DEFAULT_MOTION,
    MODALITIES,
    Scene,
    caption,
    in_modalities,
    modality_of,
    name_of,
    scene_named,
    sounding,
)
from recipes.nano.world.sounds.catalogue import SoundScene
from recipes.nano.world.things import things
from recipes.nano.world.videos import VideoScene

_NOUNS = {"image": "picture", "audio": "sound", "video": "film"}
_BOTH = ("what are these", "what do you see and hear", "what are they", "name both", "what did i send", "what's all this")


def wish(talk: Talk) -> None:
    """Something is to be made, and said so."""
    modality = talk.pick(MODALITIES)
    scene = talk.wish(modality)
    talk.user(filled(talk, talk.frame("wish", modality), scene))
    talk.answer(scene)


def implicit(talk: Talk) -> None:
    """A thing is missed or wondered about; to make it is the kind answer."""
    modality = talk.pick(MODALITIES)
    scene = talk.wish(modality)
    talk.user(filled(talk, talk.frame("implicit", modality), scene))
    talk.answer(scene)


def _longing(talk: Talk) -> None:
    text, modality, said = talk.pick(phrases.longings(held_out=talk.held_out))
    scene = scene_named(modality, said)
    talk.user(text, chatty=False)
    talk.answer(scene)


def _several(talk: Talk) -> None:
    """Two or three media of different modalities, in half of the cases of one thing."""
    if talk.chance(0.5):
        _of_one_thing(talk)
        return
    order = [MODALITIES[i] for i in talk.rng.permutation(3)]
    count = 3 if talk.chance(0.25) else 2
    order = order[:count]
    scenes = [talk.wish(modality) for modality in order]
    form = talk.pick(("clause", "noun"))
    wishes = [filled(talk, talk.frame(form, modality), scene) for modality, scene in zip(order, scenes, strict=True)]
    asked = dict(zip("abc"[:count], wishes, strict=True))
    talk.user(talk.frame(f"{form} join" if count == 2 else f"three {form}s").format(**asked))
    talk.answer(*scenes)


def _of_one_thing(talk: Talk) -> None:
    """A thing in several modalities: its picture, its sound, a video of it."""
    order = talk.pick([key for kind, key in phrases.sections() if kind == "same"]).split()
    picture = PictureScene(talk.pick([t for t in things() if "audio" not in order or t.name in sounding()]))
    frame = talk.frame("same", " ".join(order))
    motion, doing = some_motion(talk) if "{doing}" in frame else (DEFAULT_MOTION, "")
    made = in_modalities(picture, motion)
    said = sounding().get(picture.thing.name, "")
    talk.user(frame.format(x=picture.thing.singular, n=picture.thing.name, s=said, doing=doing))
    talk.answer(*(made[modality] for modality in order))


def mention(talk: Talk) -> None:
    """Something is said of a thing, and of pictures, sounds or videos; nothing is wished."""
    modality = talk.pick(MODALITIES)
    talk.user(filled(talk, talk.frame("mention", modality), talk.wish(modality)), chatty=False)
    talk.say(talk.pick(phrases.frames("mention reply", held_out=False)))


def words(talk: Talk) -> None:
    """Words are wanted, and only words: the base model's own sentence about the thing."""
    thing = talk.pick([t for t in things() if t.name in _descriptions()])
    talk.user(talk.frame("words").format(x=thing.singular, n=thing.name, name=thing.name))
    talk.say(_descriptions()[thing.name])
    talk.scene, talk.made = PictureScene(thing), None


def small_talk(talk: Talk) -> None:
    """What the base model answers badly, with our own reply."""
    message, reply = talk.pick(phrases.small_talk(held_out=talk.held_out))
    talk.user(message, chatty=False)
    talk.say(reply)


def plain_chat(talk: Talk) -> None:
    """A question with the base model's own reply: what keeps its chat."""
    message, reply = talk.pick(_chat_pairs(talk.held_out))
    talk.user(message, chatty=False)
    talk.say(reply)


def ask(talk: Talk) -> None:
    """What is this?"""
    modality = talk.pick(MODALITIES)
    _question(talk, talk.send(modality))


def _ask_two(talk: Talk) -> None:
    first, second = (MODALITIES[i] for i in talk.rng.permutation(3)[:2])
    media = [talk.send(first), talk.send(second)]
    talk.user(talk.pick(("", *_BOTH)), *media)
    said = [name_of(file.info["scene"]) for file in media]
    talk.say(f"The {_NOUNS[first]} is {said[0]}, and the {_NOUNS[second]} is {said[1]}.")


def send_and_wish(talk: Talk) -> None:
    """A file comes with a wish about it."""
    modality = talk.pick(MODALITIES)
    media = talk.send(modality)
    change(talk, media)


# name -> (function, share)
OPENINGS: dict[str, tuple[Callable[[Talk], None], float]] = {
    "wish": (wish, 21),
    "implicit": (implicit, 5),
    "longing": (_longing, 2.5),
    "several": (_several, 13),
    "words": (words, 9),
    "mention": (mention, 3),
    "small talk": (small_talk, 6),
    "plain chat": (plain_chat, 9),
    "ask": (ask, 20),
    "ask two": (_ask_two, 2.5),
    "send and wish": (send_and_wish, 13),
}


def shares(table: dict[str, tuple[Callable[[Talk], None], float]]) -> np.ndarray:
    """The shares of a table like OPENINGS, as probabilities."""
    weights = np.array([weight for _, weight in table.values()])
    return weights / weights.sum()


def _question(talk: Talk, media: Media) -> None:
    """Ask about one sent file: its name, its description, or a detail."""
    modality, scene = media.modality, talk.scene
    assert scene is not None
    roll = talk.rng.random()
    if roll < 0.12:
        talk.user("", media)
        talk.say(named(talk, scene))
    elif roll < 0.62:
        talk.user(talk.frame("question", modality), media)
        talk.say(named(talk, scene))
    elif roll < 0.78:
        talk.user(talk.frame("describe", modality), media)
        talk.say(talk.pick(phrases.DESCRIBED[modality]).format(x=caption(scene)))
    else:
        key, reply = talk.pick(_details(scene))
        question = talk.frame("detail", key) if key else talk.frame("question", modality)
        talk.user(question, media)
        talk.say(reply)


def named(talk: Talk, scene: Scene) -> str:
    """A sentence that names what was sent."""
    sentence = talk.pick(phrases.NAMED[modality_of(scene)]).format(x=name_of(scene))
    return re.sub(r"^(This is|That's|It's) (two|three)\b", r"These are \2", sentence)


def _details(scene: Scene) -> list[tuple[str, str]]:
    """(kind of question, answer) that this scene allows."""
    if isinstance(scene, SoundScene):
        return [("", f"I hear {scene.kind}.")]
    if isinstance(scene, VideoScene):
        thing = scene.picture.thing
        return [("motion", phrases.MOTION_ANSWERS[scene.motion]), ("mover", f"It's {thing.singular}.")]
    found = [("background", f"The background is {scene.background}.")]
    if scene.colour:
        found.append(("colour", f"It's {scene.colour}." if scene.count == 1 else f"They are {scene.colour}."))
    if scene.thing.article:
        found.append(("count", "There is one." if scene.count == 1 else f"There are {COUNT_WORDS[scene.count]}."))
    if scene.count == 1:
        found.append(("position", f"It's {scene.position or 'in the middle'}."))
    return found


@cache
def _descriptions() -> dict[str, str]:
    return chat.descriptions()


@cache
def _chat_pairs(held_out: bool) -> list[tuple[str, str]]:
    return chat.chat_pairs(held_out=held_out)
