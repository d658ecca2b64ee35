"""Videos of the nano world: one drawn thing that moves, how a person would say it, and the frames themselves."""

import zlib
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from recipes.nano.world import pictures
from recipes.nano.world.motions import FRAMES, MOTIONS, animate
from recipes.nano.world.pictures import BACKGROUNDS, COLOURS, SIZES, PictureScene, sample_picture, tinted
from recipes.nano.world.sprites import MAIN_STYLE, hexcodes, sprite
from recipes.nano.world.things import Thing

__all__ = ["FRAMES", "MOTIONS", "VideoScene", "caption", "is_held_out", "render", "sample_video"]


@dataclass(frozen=True)
class VideoScene:
    """One video to be drawn: the picture's one thing in motion. Its position and count go unused; `strength` is about 1."""

    picture: PictureScene
    motion: str
    strength: float = 1.0


def sample_video(
    rng: np.random.Generator,
    *,
    thing: Thing | None = None,
    styles: tuple[str, ...] = (MAIN_STYLE,),
    held_out: bool = False,
    plain: float = 0.5,
    jitter: float = 1.0,
) -> VideoScene:
    """A random video of a (thing, motion) pair that training may see, or of one that only evaluation sees.

    With probability `plain` nothing is special; else the background, or (less often) the thing's colour, or both are.
    """
    picture = sample_picture(rng, thing=thing, styles=styles, canonical=1.0, jitter=jitter)
    motions = [motion for motion in MOTIONS if is_held_out(picture.thing, motion) == held_out]
    motion = motions[rng.integers(len(motions))]
    if rng.random() >= plain:
        coloured = rng.random() < 0.35
        if coloured:
            picture = replace(picture, colour=str(rng.choice(list(COLOURS))))
        if not coloured or rng.random() < 0.3:
            others = [name for name in BACKGROUNDS if name not in ("white", picture.colour)]
            picture = replace(picture, background=str(rng.choice(others)))
    return VideoScene(replace(picture, shift=(0.0, 0.0)), motion, float(np.exp(rng.normal(0, 0.06 * jitter))))


def is_held_out(thing: Thing, motion: str) -> bool:
    """Whether this pair is for evaluation only: one motion of each thing, by a fixed hash."""
    return list(MOTIONS)[zlib.crc32(thing.name.encode()) % len(MOTIONS)] == motion


def caption(scene: VideoScene) -> str:
    """The one canonical wording: "a dog moving to the left", "a red apple spinning on a blue background"."""
    thing = replace(scene.picture, background="white", style=MAIN_STYLE, position="", count=1)
    said = pictures.caption(thing)
    return f"{said} {scene.motion}{pictures.caption(replace(scene.picture, position='', count=1)).removeprefix(said)}"


def poses(scene: VideoScene) -> np.ndarray:
    """Where the thing is in each frame, [FRAMES, 6]: x, y, log of the side, cosine and sine of the angle, opacity (as Path has them)."""
    path = MOTIONS[scene.motion](scene.strength)
    angle = np.deg2rad(path.angle)
    return np.stack([path.x, path.y, np.log(path.side * _zoom(scene.picture)), np.cos(angle), np.sin(angle), path.opacity], -1)


def render(scene: VideoScene, pixels: int) -> np.ndarray:
    """The video as uint8 [FRAMES, pixels, pixels, 3]."""
    picture = scene.picture
    drawing = tinted(sprite(picture.hexcode or hexcodes(picture.thing, picture.style)[0], picture.style), picture.colour)
    if picture.flip:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if picture.turn:
        drawing = drawing.rotate(picture.turn, Image.Resampling.BICUBIC)
    path = MOTIONS[scene.motion](scene.strength)
    return animate(np.asarray(drawing), BACKGROUNDS[picture.background], path, pixels=pixels, zoom=_zoom(picture))


def _zoom(picture: PictureScene) -> float:
    return picture.zoom * SIZES[picture.size] / SIZES[""]
