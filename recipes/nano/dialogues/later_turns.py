"""What a later turn can ask of an earlier one: again, another, a correction, or something done to "it"."""

from collections.abc import Callable
from dataclasses import replace

from nextgpt_core.messages import Media
from nextgpt_core.train.dialogues import bare
from recipes.nano.dialogues import phrases
from recipes.nano.dialogues.talk import Talk, some_motion
from recipes.nano.world import pictures
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.scenes import (
    COUNT_WORDS,
    DEFAULT_MOTION,
    Scene,
    in_modalities,
    movable,
    plain,
    sounding,
    thing_heard,
    thing_said,
    wished,
)
from recipes.nano.world.sounds.catalogue import SoundScene
from recipes.nano.world.videos import VideoScene


def revise(talk: Talk) -> str:
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
    if isinstance(scene, VideoScene) and isinstance(talk.scene, VideoScene) and talk.chance(0.6):  # "no, a cat" keeps the motion
        scene = VideoScene(PictureScene(scene.picture.thing), talk.scene.motion)
        said = scene.picture.thing.singular
    old = thing_said(talk.scene)
    talk.user(talk.frame("edit", kind).format(x=said, n=bare(said), o=old))
    talk.answer(scene, replies=phrases.CORRECTED if kind == "correct" and talk.chance(0.5) else phrases.MADE)
    return kind


def change(talk: Talk, *media: Media) -> None:
    """Something is done to "it": the file just sent or the last one of the conversation."""
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


def _change_to_both(talk: Talk, scene: PictureScene | VideoScene, *media: Media) -> None:
    """ "Film it and play its sound": two new media of what was there."""
    picture = plain(scene.picture if isinstance(scene, VideoScene) else scene)
    keys = [key for kind, key in phrases.sections() if kind == "edit" and key.startswith("both")]
    order = talk.pick([key for key in keys if "audio" not in key or picture.thing.name in sounding()]).split()[1:]
    frame = talk.frame("edit", " ".join(["both", *order]))
    motion, doing = some_motion(talk) if "{doing}" in frame else (DEFAULT_MOTION, "")
    made = in_modalities(picture, motion)
    talk.user(frame.format(doing=doing), *media)
    talk.answer(*(made[modality] for modality in order))


def _changes(scene: Scene) -> dict[str, Callable[[Talk], tuple[str, Scene]]]:
    """What can be asked of a scene: kind of change -> function giving what is typed and the new scene."""
    if isinstance(scene, SoundScene):
        heard = thing_heard(scene)
        if heard is None:
            return {"again": lambda talk: (talk.frame("edit", "again"), wished(scene))}
        picture = PictureScene(heard)
        return {
            "again": lambda talk: (talk.frame("edit", "again"), wished(scene)),
            "to_image": lambda talk: (talk.frame("edit", "to_image"), picture),
            "colour": lambda talk: _recoloured(talk, picture, "draw it. "),
            "to_video": lambda talk: (talk.frame("edit", "to_video"), VideoScene(picture, DEFAULT_MOTION)),
            "motion": lambda talk: _moved(talk, picture),
        }
    picture = plain(scene.picture if isinstance(scene, VideoScene) else scene)
    found: dict[str, Callable[[Talk], tuple[str, Scene]]] = {"motion": lambda talk: _moved(talk, picture)}
    if picture.thing.name in sounding():
        sound = SoundScene(sounding()[picture.thing.name])
        found["to_audio"] = lambda talk: (talk.frame("edit", "to_audio"), sound)
    if isinstance(scene, VideoScene):
        found["to_image"] = lambda talk: (talk.frame("edit", "to_image"), picture)
    else:
        found["to_video"] = lambda talk: (talk.frame("edit", "to_video"), VideoScene(movable(picture), DEFAULT_MOTION))
        found["colour"] = lambda talk: _recoloured(talk, picture)
        found["background"] = lambda talk: _on_background(talk, picture)
        if picture.thing.article:
            found["count"] = lambda talk: _counted(talk, picture)
    return found


def _recoloured(talk: Talk, picture: PictureScene, before: str = "") -> tuple[str, Scene]:
    colour = talk.pick([name for name in pictures.COLOURS if name != picture.colour])
    return before + talk.frame("edit", "colour").format(c=colour), replace(picture, colour=colour)


def _on_background(talk: Talk, picture: PictureScene) -> tuple[str, Scene]:
    colour = talk.pick([name for name in pictures.BACKGROUNDS if name not in ("white", picture.background)])
    return _an(talk.frame("edit", "background").format(c=colour)), replace(picture, background=colour)


def _counted(talk: Talk, picture: PictureScene) -> tuple[str, Scene]:
    count = talk.pick([n for n in (2, 3) if n != picture.count])
    return talk.frame("edit", "count").format(k=COUNT_WORDS[count]), replace(picture, count=count, size="", position="")


def _moved(talk: Talk, picture: PictureScene) -> tuple[str, Scene]:
    motion = talk.pick([name for name in phrases.MOTION_WORDS if name != "standing still"])
    do, doing = phrases.MOTION_WORDS[motion]
    text = talk.frame("edit", "motion").format(do=talk.pick(do), doing=talk.pick(doing))
    return text, VideoScene(movable(picture), motion)


def _an(text: str) -> str:
    return text.replace(" a orange ", " an orange ")
