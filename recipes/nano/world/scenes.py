"""A scene: what a picture, a sound or a video shows, as plain data. What all three have in common is asked for here."""

from dataclasses import replace
from functools import cache
from typing import Any, Protocol

import numpy as np

from recipes.nano.dialogues import phrases
from recipes.nano.world import pictures, videos
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.sounds import catalogue as sounds
from recipes.nano.world.sounds.catalogue import SoundScene
from recipes.nano.world.sprites import MAIN_STYLE
from recipes.nano.world.things import things
from recipes.nano.world.videos import VideoScene

Scene = PictureScene | SoundScene | VideoScene
MODALITIES = ("image", "audio", "video")
COUNT_WORDS = {1: "one", 2: "two", 3: "three"}
DEFAULT_MOTION = "bouncing"  # "now as a video" leaves the motion to us


class MediaSource(Protocol):
    """Where the media that users send come from."""

    def draw(self, rng: np.random.Generator, modality: str) -> tuple[Scene, dict[str, Any]]:
        """A random file: its scene, and what else its `Media.info` should hold."""
        ...


class RenderedScenes:
    """Scenes drawn afresh; whoever uses the dialogue renders them from `info["scene"]`."""

    def __init__(self, *, styles: tuple[str, ...] = (MAIN_STYLE,)) -> None:
        self.styles = styles

    def draw(self, rng: np.random.Generator, modality: str) -> tuple[Scene, dict[str, Any]]:
        return random_scene(rng, modality, styles=self.styles), {}


def random_scene(rng: np.random.Generator, modality: str, *, styles: tuple[str, ...] = (MAIN_STYLE,)) -> Scene:
    """A scene as a wish or a sent file may have it: plain in about half of the cases."""
    if modality == "image":
        return pictures.sample_picture(rng, styles=styles, canonical=0.5)
    if modality == "audio":
        return sounds.sample_sound(rng, plain=0.5)
    return videos.sample_video(rng)


def caption(scene: Scene) -> str:
    """The one canonical wording of a scene."""
    if isinstance(scene, PictureScene):
        return pictures.caption(scene)
    return sounds.caption(scene) if isinstance(scene, SoundScene) else videos.caption(scene)


def modality_of(scene: Scene) -> str:
    """image, audio or video."""
    return {PictureScene: "image", SoundScene: "audio", VideoScene: "video"}[type(scene)]


def name_of(scene: Scene) -> str:
    """What is seen or heard, and nothing more: "a dog", "rain"; for a video with its motion."""
    if isinstance(scene, PictureScene):
        return scene.thing.singular if scene.count == 1 else f"{COUNT_WORDS[scene.count]} {scene.thing.plural}"
    return scene.kind if isinstance(scene, SoundScene) else videos.caption(scene)


def thing_said(scene: Scene | None) -> str:
    """ "a dog", "rain": what a scene shows, no more."""
    assert scene is not None
    if isinstance(scene, SoundScene):
        return scene.kind
    return (scene.picture if isinstance(scene, VideoScene) else scene).thing.singular


def wished(scene: Scene) -> Scene:
    """Nobody wishes for a crooked or noisy one."""
    if isinstance(scene, PictureScene):
        return replace(scene, shift=(0.0, 0.0), zoom=1.0, turn=0.0)
    return replace(scene, noise=None) if isinstance(scene, SoundScene) else scene


def plain(picture: PictureScene) -> PictureScene:
    """The same picture without what cannot be said of it."""
    return replace(picture, style=MAIN_STYLE, hexcode="", shift=(0.0, 0.0), zoom=1.0, turn=0.0, flip=False)


def movable(picture: PictureScene) -> PictureScene:
    """Videos show one thing of ordinary size, in the middle; colour and background stay."""
    return replace(picture, count=1, size="", position="")


def in_modalities(picture: PictureScene, motion: str) -> dict[str, Scene]:
    """The same thing as a picture, as a video and, where it has one, as its sound."""
    made: dict[str, Scene] = {"image": picture, "video": VideoScene(movable(picture), motion)}
    if picture.thing.name in sounding():
        made["audio"] = SoundScene(sounding()[picture.thing.name])
    return made


def scene_named(modality: str, said: str) -> Scene:
    """The scene of a plain caption: "two red apples", "a dog barking", "a rocket moving up". Raises KeyError if it is not in the world."""
    if modality == "audio":
        return SoundScene(sounds.KINDS[said].name)
    if modality == "video":
        motion = next(name for name in phrases.MOTION_WORDS if said.endswith(f" {name}"))
        picture = scene_named("image", said.removesuffix(f" {motion}"))
        assert isinstance(picture, PictureScene)
        return VideoScene(picture, motion)
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


def thing_heard(scene: SoundScene) -> Any | None:
    """The thing that makes this sound, if the world has one."""
    return _heard().get(scene.kind)
