"""The builder of nano's instruction-tuning set (modality-switching instructions, paper section 5): dialogues of one to four turns.

A dialogue is a list of ordinary messages, as the engine sees them. The media in them are not files yet: `Media.info` holds the scene
(pictures.py, sounds.py, films.py) and its caption; what the user sends comes from a `MediaSource`, which may be the pool of encoded
training items (`info["pool"]` is the row) or scenes to be rendered (evaluation). The caption of a medium the assistant makes is the
target of the output projection.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nextgpt_core.messages import Media, Message, Part
from nextgpt_core.train.nano import chat, films, phrases, pictures, sounds
from nextgpt_core.train.nano.films import FilmScene
from nextgpt_core.train.nano.pictures import PictureScene
from nextgpt_core.train.nano.sounds import SoundScene
from nextgpt_core.train.nano.wording import as_typed, reworded
from nextgpt_core.train.nano.world import things

Scene = PictureScene | SoundScene | FilmScene
Dialogue = list[Message]

OTHERS_CASES = Path(__file__).with_name("routing_cases.jsonl")
MODALITIES = ("image", "audio", "video")
DEFAULT_MOTION = "bouncing"  # "now as a film" leaves the motion to us
COUNT_WORDS = {1: "one", 2: "two", 3: "three"}
TURNS = (0.5, 0.28, 0.14, 0.08)  # share of dialogues with one, two, three, four turns


class MediaSource(Protocol):
    """Where the media that users send come from."""

    def draw(self, rng: np.random.Generator, modality: str) -> tuple[Scene, dict[str, Any]]:
        """A random medium: its scene, and what else its `Media.info` should hold."""
        ...


class RenderedScenes:
    """Scenes drawn afresh; whoever uses the dialogue renders them from `info["scene"]`."""

    def __init__(self, *, styles: tuple[str, ...] = (pictures.MAIN_STYLE,)) -> None:
        self.styles = styles

    def draw(self, rng: np.random.Generator, modality: str) -> tuple[Scene, dict[str, Any]]:
        return random_scene(rng, modality, styles=self.styles), {}


@dataclass(frozen=True)
class RoutingCase:
    """A conversation up to the user's last message, and exactly which media the answer is to hold."""

    messages: Dialogue
    wished: frozenset[str]
    kind: str


def build_dialogues(
    count: int,
    *,
    seed: int,
    source: MediaSource | None = None,
    held_out: bool = False,
    only: Sequence[str] = (),
    longest: int = 4,
) -> list[Dialogue]:
    """`count` dialogues of up to `longest` turns. `held_out` uses only the phrasings that training never sees (where a list has any);
    `only` limits how they open (keys of OPENINGS)."""
    return [dialogue for dialogue, _ in _build(count, seed=seed, source=source, held_out=held_out, only=only, longest=longest)]


def build_questions(count: int, *, seed: int, source: MediaSource) -> list[Dialogue]:
    """Only "what is it?" and its name, half of the time of a picture."""
    built = []
    for i in range(count):
        talk = _Talk(np.random.default_rng([seed, i]), source, held_out=False)
        modality = ("image", "audio", "image", "audio", "image", "video")[i % 6]
        media = talk.send(modality)
        talk.user(talk.frame("question", modality), media, chatty=False)
        assert talk.scene is not None
        talk.say(_named(talk, talk.scene))
        built.append(talk.messages)
    return built


def build_second_turns(count: int, *, seed: int, source: MediaSource) -> list[Dialogue]:
    """Two turns. The second is about the first (again, another, a correction, a change: what "what about a cat?" wants depends on it) or is
    not: thanks, a refusal, a remark."""
    built = []
    for i in range(count):
        talk = _Talk(np.random.default_rng([seed, i]), source, held_out=False)
        talk.pick((_wish, _wish, _wish, _implicit, _send_and_wish, _ask))(talk)
        if talk.chance(0.35):
            talk.pick((_small_talk, _small_talk, _small_talk, _plain_chat, _words, _mention))(talk)
        elif talk.made and talk.chance(0.65):
            _revise(talk)
        else:
            _change(talk)
        built.append(talk.messages)
    return built


def build_statements(count: int, *, seed: int) -> list[Dialogue]:
    """Only the assistant's side: a sentence that names a medium, and the medium. Cheap, and all that the output projections need."""
    built = []
    for i in range(count):
        talk = _Talk(np.random.default_rng([seed, i]), RenderedScenes(), held_out=False)
        talk.answer(talk.wish(MODALITIES[i % len(MODALITIES)]))
        built.append(talk.messages)
    return built


def statement(modality: str, said: str, *, seed: int) -> Dialogue:
    """The same for one caption."""
    sentences = phrases.MADE[modality]
    sentence = _agreeing(sentences[seed % len(sentences)].format(x=said))
    return [Message("assistant", (sentence, Media(modality, Path(f"made.{modality}"), {"caption": said})))]


def heldout_routing_cases(seed: int, n: int, *, source: MediaSource | None = None) -> list[RoutingCase]:
    """`n` conversations in unseen phrasings, with the set of modalities that the next answer should hold (empty: words only)."""
    cases = []
    for dialogue, kind in _build(n, seed=seed, source=source, held_out=True):
        cases.append(RoutingCase(dialogue[:-1], frozenset(m.modality for m in dialogue[-1].media), kind))
    return cases


def others_routing_cases(path: Path = OTHERS_CASES) -> list[RoutingCase]:
    """Conversations by an author who saw none of the phrasings, only the world's names; same question as above.

    A line of the file: {"turns": [{"user": text, "sent": [[modality, caption]]} or {"nano": text, "made": [...]}], "wished", "kind"}.
    """
    cases = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        messages = []
        for turn in row["turns"]:
            sent = [Media(kind, Path(f"sent.{kind}"), {"scene": _scene_named(kind, said)}) for kind, said in turn.get("sent", ())]
            made = [Media(kind, Path(f"made.{kind}"), {"caption": said}) for kind, said in turn.get("made", ())]
            parts = (*sent, turn["user"]) if "user" in turn else (turn["nano"], *made)
            messages.append(Message("user" if "user" in turn else "assistant", tuple(part for part in parts if part)))
        cases.append(RoutingCase(messages, frozenset(row["wished"]), row["kind"]))
    return cases


def random_scene(rng: np.random.Generator, modality: str, *, styles: tuple[str, ...] = (pictures.MAIN_STYLE,)) -> Scene:
    """A scene as a wish or a sent medium may have it: plain in about half of the cases."""
    if modality == "image":
        return pictures.sample_picture(rng, styles=styles, canonical=0.5)
    if modality == "audio":
        return sounds.sample_sound(rng, plain=0.5)
    return films.sample_film(rng)


def caption(scene: Scene) -> str:
    """The one canonical wording of a scene."""
    if isinstance(scene, PictureScene):
        return pictures.caption(scene)
    return sounds.caption(scene) if isinstance(scene, SoundScene) else films.caption(scene)


def modality_of(scene: Scene) -> str:
    return {PictureScene: "image", SoundScene: "audio", FilmScene: "video"}[type(scene)]


def name_of(scene: Scene) -> str:
    """What is seen or heard, and nothing more: "a dog", "rain"; for a film with its motion."""
    if isinstance(scene, PictureScene):
        return scene.thing.singular if scene.count == 1 else f"{COUNT_WORDS[scene.count]} {scene.thing.plural}"
    return scene.kind if isinstance(scene, SoundScene) else films.caption(scene)


# ---- one dialogue ----------------------------------------------------------------------------------------------------


class _Talk:
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
        said = as_typed(self.rng, text, chatty=chatty)
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
            sentence = _agreeing(self.pick(replies[modality]).format(x=said))
            parts += [f" {sentence}" if i else sentence, Media(modality, Path(f"made.{modality}"), {"scene": scene, "caption": said})]
        self.say(*parts)
        self.scene, self.made = scenes[-1], modality_of(scenes[-1])

    def wish(self, modality: str) -> Scene:
        return _wished(random_scene(self.rng, modality))

    def words_for(self, scene: Scene) -> str:
        """The scene as a user may say it."""
        return reworded(self.rng, scene, caption(scene))


def _build(
    count: int, *, seed: int, source: MediaSource | None, held_out: bool, only: Sequence[str] = (), longest: int = 4
) -> list[tuple[Dialogue, str]]:
    source = source or RenderedScenes()
    openings = {kind: OPENINGS[kind] for kind in only or OPENINGS}
    built = []
    for i in range(count):
        rng = np.random.default_rng([seed, i, int(held_out)])
        talk = _Talk(rng, source, held_out)
        kind = str(rng.choice(list(openings), p=_shares(openings)))
        openings[kind][0](talk)
        for _ in range(min(int(rng.choice(4, p=TURNS)), longest - 1)):
            kind = _go_on(talk)
        built.append((talk.messages, kind))
    return built


def _shares(table: dict[str, tuple[Callable[[_Talk], None], float]]) -> np.ndarray:
    weights = np.array([weight for _, weight in table.values()])
    return weights / weights.sum()


def _wished(scene: Scene) -> Scene:
    """Nobody wishes for a crooked or noisy one."""
    if isinstance(scene, PictureScene):
        return replace(scene, shift=(0.0, 0.0), zoom=1.0, turn=0.0)
    return replace(scene, noise=None) if isinstance(scene, SoundScene) else scene


# ---- first turns -----------------------------------------------------------------------------------------------------


def _wish(talk: _Talk) -> None:
    modality = talk.pick(MODALITIES)
    scene = talk.wish(modality)
    talk.user(_filled(talk, talk.frame("wish", modality), scene))
    talk.answer(scene)


def _implicit(talk: _Talk) -> None:
    modality = talk.pick(MODALITIES)
    scene = talk.wish(modality)
    talk.user(_filled(talk, talk.frame("implicit", modality), scene))
    talk.answer(scene)


def _longing(talk: _Talk) -> None:
    text, modality, said = talk.pick(phrases.longings(held_out=talk.held_out))
    scene = _scene_named(modality, said)
    talk.user(text, chatty=False)
    talk.answer(scene)


def _several(talk: _Talk) -> None:
    """Two or three media of different modalities, in half of the cases of one thing."""
    if talk.chance(0.5):
        _of_one_thing(talk)
        return
    order = [MODALITIES[i] for i in talk.rng.permutation(3)]
    count = 3 if talk.chance(0.25) else 2
    scenes = [talk.wish(modality) for modality in order[:count]]
    form = talk.pick(("clause", "noun"))
    asked = dict(zip("abc", (_filled(talk, talk.frame(form, modality), scene) for modality, scene in zip(order, scenes))))
    talk.user(talk.frame(f"{form} join" if count == 2 else f"three {form}s").format(**asked))
    talk.answer(*scenes)


def _of_one_thing(talk: _Talk) -> None:
    """A thing in several modalities: its picture, its sound, a film of it."""
    order = talk.pick([key for kind, key in phrases.sections() if kind == "same"]).split()
    picture = PictureScene(talk.pick([t for t in things() if "audio" not in order or t.name in sounding()]))
    frame = talk.frame("same", " ".join(order))
    motion, doing = _some_motion(talk) if "{doing}" in frame else (DEFAULT_MOTION, "")
    made = _in_modalities(picture, motion)
    said = sounding().get(picture.thing.name, "")
    talk.user(frame.format(x=picture.thing.singular, n=picture.thing.name, s=said, doing=doing))
    talk.answer(*(made[modality] for modality in order))


def _in_modalities(picture: PictureScene, motion: str) -> dict[str, Scene]:
    """The same thing as a picture, as a film and, where it has one, as its sound."""
    made: dict[str, Scene] = {"image": picture, "video": FilmScene(_movable(picture), motion)}
    if picture.thing.name in sounding():
        made["audio"] = SoundScene(sounding()[picture.thing.name])
    return made


def _some_motion(talk: _Talk) -> tuple[str, str]:
    motion = talk.pick([name for name in phrases.MOTION_WORDS if name != "standing still"])
    return motion, talk.pick(phrases.MOTION_WORDS[motion][1])


def _mention(talk: _Talk) -> None:
    """Something is said of a thing, and of pictures, sounds or films; nothing is wished."""
    modality = talk.pick(MODALITIES)
    talk.user(_filled(talk, talk.frame("mention", modality), talk.wish(modality)), chatty=False)
    talk.say(talk.pick(phrases.frames("mention reply", held_out=False)))


def _words(talk: _Talk) -> None:
    """Words are wanted, and only words: the base model's own sentence about the thing."""
    thing = talk.pick([t for t in things() if t.name in _descriptions()])
    talk.user(talk.frame("words").format(x=thing.singular, n=thing.name, name=thing.name))
    talk.say(_descriptions()[thing.name])
    talk.scene, talk.made = PictureScene(thing), None


def _small_talk(talk: _Talk) -> None:
    message, reply = talk.pick(phrases.small_talk(held_out=talk.held_out))
    talk.user(message, chatty=False)
    talk.say(reply)


def _plain_chat(talk: _Talk) -> None:
    message, reply = talk.pick(_chat_pairs(talk.held_out))
    talk.user(message, chatty=False)
    talk.say(reply)


def _ask(talk: _Talk) -> None:
    """What is this?"""
    modality = talk.pick(MODALITIES)
    _question(talk, talk.send(modality))


def _ask_two(talk: _Talk) -> None:
    first, second = (MODALITIES[i] for i in talk.rng.permutation(3)[:2])
    media = [talk.send(first), talk.send(second)]
    talk.user(talk.pick(("", *_BOTH)), *media)
    said = [name_of(medium.info["scene"]) for medium in media]
    talk.say(f"The {_NOUNS[first]} is {said[0]}, and the {_NOUNS[second]} is {said[1]}.")


def _send_and_wish(talk: _Talk) -> None:
    """A medium comes with a wish about it."""
    modality = talk.pick(MODALITIES)
    media = talk.send(modality)
    _change(talk, media)


_NOUNS = {"image": "picture", "audio": "sound", "video": "film"}
_BOTH = ("what are these", "what do you see and hear", "what are they", "name both", "what did i send", "what's all this")

# name -> (function, share)
OPENINGS: dict[str, tuple[Callable[[_Talk], None], float]] = {
    "wish": (_wish, 21),
    "implicit": (_implicit, 5),
    "longing": (_longing, 2.5),
    "several": (_several, 13),
    "words": (_words, 9),
    "mention": (_mention, 3),
    "small talk": (_small_talk, 6),
    "plain chat": (_plain_chat, 9),
    "ask": (_ask, 20),
    "ask two": (_ask_two, 2.5),
    "send and wish": (_send_and_wish, 13),
}


# ---- later turns -----------------------------------------------------------------------------------------------------


def _go_on(talk: _Talk) -> str:
    if talk.scene is None or talk.chance(0.12):
        kind = str(talk.rng.choice(list(OPENINGS), p=_shares(OPENINGS)))
        OPENINGS[kind][0](talk)
        return kind
    if talk.chance(0.12):
        _small_talk(talk)
        return "small talk"
    if talk.made and talk.chance(0.5):
        return _revise(talk)
    _change(talk)
    return "change"


def _revise(talk: _Talk) -> str:
    """Again, another thing, or a correction, in the modality of the last answer."""
    assert talk.made is not None
    kind = talk.pick(("again", "correct", "correct", "next"))
    if kind == "again":
        talk.user(talk.frame("edit", kind))
        scene = talk.scene
        assert scene is not None
        talk.answer(scene)
        return kind
    scene = talk.wish(talk.made)
    said = talk.words_for(scene)
    if isinstance(scene, FilmScene) and isinstance(talk.scene, FilmScene) and talk.chance(0.6):  # "no, a cat" keeps the motion
        scene = FilmScene(PictureScene(scene.picture.thing), talk.scene.motion)
        said = scene.picture.thing.singular
    old = _thing_said(talk.scene)
    talk.user(talk.frame("edit", kind).format(x=said, n=_bare(said), o=old))
    talk.answer(scene, replies=phrases.CORRECTED if kind == "correct" and talk.chance(0.5) else phrases.MADE)
    return kind


def _thing_said(scene: Scene | None) -> str:
    """ "a dog", "rain": what a scene shows, no more."""
    assert scene is not None
    if isinstance(scene, SoundScene):
        return scene.kind
    return (scene.picture if isinstance(scene, FilmScene) else scene).thing.singular


def _change(talk: _Talk, *media: Media) -> None:
    """Something is done to "it": the medium just sent or the last one of the conversation."""
    scene = talk.scene
    assert scene is not None
    if talk.chance(0.12) and not isinstance(scene, SoundScene):
        _change_to_both(talk, scene, *media)
        return
    choices = _changes(scene)
    key = talk.pick(list(choices))
    text, changed = choices[key](talk)
    talk.user(text, *media)
    talk.answer(changed)


def _change_to_both(talk: _Talk, scene: PictureScene | FilmScene, *media: Media) -> None:
    """ "Film it and play its sound": two new media of what was there."""
    picture = _plain(scene.picture if isinstance(scene, FilmScene) else scene)
    keys = [key for kind, key in phrases.sections() if kind == "edit" and key.startswith("both")]
    order = talk.pick([key for key in keys if "audio" not in key or picture.thing.name in sounding()]).split()[1:]
    frame = talk.frame("edit", " ".join(["both", *order]))
    motion, doing = _some_motion(talk) if "{doing}" in frame else (DEFAULT_MOTION, "")
    made = _in_modalities(picture, motion)
    talk.user(frame.format(doing=doing), *media)
    talk.answer(*(made[modality] for modality in order))


def _changes(scene: Scene) -> dict[str, Callable[[_Talk], tuple[str, Scene]]]:
    """What can be asked of a scene: kind of change -> function giving what is typed and the new scene."""
    if isinstance(scene, SoundScene):
        heard = _thing_heard(scene)
        if heard is None:
            return {"again": lambda talk: (talk.frame("edit", "again"), _wished(scene))}
        picture = PictureScene(heard)
        return {
            "again": lambda talk: (talk.frame("edit", "again"), _wished(scene)),
            "to_image": lambda talk: (talk.frame("edit", "to_image"), picture),
            "colour": lambda talk: _recoloured(talk, picture, "draw it. "),
            "to_video": lambda talk: (talk.frame("edit", "to_video"), FilmScene(picture, DEFAULT_MOTION)),
            "motion": lambda talk: _moved(talk, picture),
        }
    picture = _plain(scene.picture if isinstance(scene, FilmScene) else scene)
    found: dict[str, Callable[[_Talk], tuple[str, Scene]]] = {"motion": lambda talk: _moved(talk, picture)}
    if picture.thing.name in sounding():
        sound = SoundScene(sounding()[picture.thing.name])
        found["to_audio"] = lambda talk: (talk.frame("edit", "to_audio"), sound)
    if isinstance(scene, FilmScene):
        found["to_image"] = lambda talk: (talk.frame("edit", "to_image"), picture)
    else:
        found["to_video"] = lambda talk: (talk.frame("edit", "to_video"), FilmScene(_movable(picture), DEFAULT_MOTION))
        found["colour"] = lambda talk: _recoloured(talk, picture)
        found["background"] = lambda talk: _on_background(talk, picture)
        if picture.thing.article:
            found["count"] = lambda talk: _counted(talk, picture)
    return found


def _recoloured(talk: _Talk, picture: PictureScene, before: str = "") -> tuple[str, Scene]:
    colour = talk.pick([name for name in pictures.COLOURS if name != picture.colour])
    return before + talk.frame("edit", "colour").format(c=colour), replace(picture, colour=colour)


def _on_background(talk: _Talk, picture: PictureScene) -> tuple[str, Scene]:
    colour = talk.pick([name for name in pictures.BACKGROUNDS if name not in ("white", picture.background)])
    return _an(talk.frame("edit", "background").format(c=colour)), replace(picture, background=colour)


def _counted(talk: _Talk, picture: PictureScene) -> tuple[str, Scene]:
    count = talk.pick([n for n in (2, 3) if n != picture.count])
    return talk.frame("edit", "count").format(k=COUNT_WORDS[count]), replace(picture, count=count, size="", position="")


def _moved(talk: _Talk, picture: PictureScene) -> tuple[str, Scene]:
    motion = talk.pick([name for name in phrases.MOTION_WORDS if name != "standing still"])
    do, doing = phrases.MOTION_WORDS[motion]
    text = talk.frame("edit", "motion").format(do=talk.pick(do), doing=talk.pick(doing))
    return text, FilmScene(_movable(picture), motion)


def _question(talk: _Talk, media: Media) -> None:
    """Ask about one sent medium: its name, its description, or a detail."""
    modality, scene = media.modality, talk.scene
    assert scene is not None
    roll = talk.rng.random()
    if roll < 0.12:
        talk.user("", media)
        talk.say(_named(talk, scene))
    elif roll < 0.62:
        talk.user(talk.frame("question", modality), media)
        talk.say(_named(talk, scene))
    elif roll < 0.78:
        talk.user(talk.frame("describe", modality), media)
        talk.say(talk.pick(phrases.DESCRIBED[modality]).format(x=caption(scene)))
    else:
        key, reply = talk.pick(_details(scene))
        question = talk.frame("detail", key) if key else talk.frame("question", modality)
        talk.user(question, media)
        talk.say(reply)


def _named(talk: _Talk, scene: Scene) -> str:
    sentence = talk.pick(phrases.NAMED[modality_of(scene)]).format(x=name_of(scene))
    return re.sub(r"^(This is|That's|It's) (two|three)\b", r"These are \2", sentence)


def _details(scene: Scene) -> list[tuple[str, str]]:
    """(kind of question, answer) that this scene allows."""
    if isinstance(scene, SoundScene):
        return [("", f"I hear {scene.kind}.")]
    if isinstance(scene, FilmScene):
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


# ---- small helpers ---------------------------------------------------------------------------------------------------


def _filled(talk: _Talk, frame: str, scene: Scene) -> str:
    said = talk.words_for(scene)
    return frame.format(x=said, n=_bare(said))


def _bare(said: str) -> str:
    first, _, rest = said.partition(" ")
    return rest if first in ("a", "an", "the") else said


def _an(text: str) -> str:
    return text.replace(" a orange ", " an orange ")


def _agreeing(sentence: str) -> str:
    """ "Here is two apples" -> "Here are two apples"."""
    return re.sub(r"\b(Here|here) is (two|three)\b", r"\1 are \2", re.sub(r"\bThis is (two|three)\b", r"These are \1", sentence))


def _plain(picture: PictureScene) -> PictureScene:
    """The same picture without what cannot be said of it."""
    return replace(picture, style=pictures.MAIN_STYLE, hexcode="", shift=(0.0, 0.0), zoom=1.0, turn=0.0, flip=False)


def _movable(picture: PictureScene) -> PictureScene:
    """Films show one thing of ordinary size, in the middle; colour and background stay."""
    return replace(picture, count=1, size="", position="")


def _scene_named(modality: str, said: str) -> Scene:
    """The scene of a plain caption: "two red apples", "a dog barking", "a rocket moving up". Raises KeyError if it is not in the world."""
    if modality == "audio":
        return SoundScene(sounds.KINDS[said].name)
    if modality == "video":
        motion = next(name for name in phrases.MOTION_WORDS if said.endswith(f" {name}"))
        picture = _scene_named("image", said.removesuffix(f" {motion}"))
        assert isinstance(picture, PictureScene)
        return FilmScene(picture, motion)
    words = said.split()
    first = words.pop(0) if words[0] in ("a", "an", *COUNT_WORDS.values()) else ""
    count = next((count for count, word in COUNT_WORDS.items() if word == first), 1)
    colour = words.pop(0) if words[0] in pictures.COLOURS and len(words) > 1 else ""
    return PictureScene(_things_by_name()[" ".join(words)], count=count, colour=colour)


@cache
def _things_by_name() -> dict[str, Any]:
    return {name: thing for thing in reversed(things()) for name in (thing.plural, thing.name)}


@cache
def sounding() -> dict[str, str]:
    """Things that have a sound: thing's name -> kind of sound ("dog" -> "a dog barking")."""
    kinds = {said: kind.name for kind in reversed(sounds.SOUNDS) for said in (*kind.synonyms, kind.name)}
    return {thing.name: kinds[thing.singular] for thing in things() if thing.singular in kinds}


@cache
def _heard() -> dict[str, Any]:
    return {kind: thing for thing in things() for name, kind in sounding().items() if thing.name == name}


def _thing_heard(scene: SoundScene) -> Any | None:
    return _heard().get(scene.kind)


@cache
def _descriptions() -> dict[str, str]:
    return chat.descriptions()


@cache
def _chat_pairs(held_out: bool) -> list[tuple[str, str]]:
    return chat.chat_pairs(held_out=held_out)
