"""Scenes of the nano world: what is in a picture, how a person would say it, and the picture itself."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from recipes.nano.world.sprites import MAIN_STYLE, hexcodes, sprite
from recipes.nano.world.things import Thing, things

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 38, 42), "orange": (247, 138, 30), "yellow": (250, 214, 40), "green": (52, 168, 70), "blue": (45, 105, 225),
    "purple": (140, 62, 190), "pink": (250, 130, 180), "brown": (128, 82, 50),
}  # fmt: skip
BACKGROUNDS: dict[str, tuple[int, int, int]] = {"white": (255, 255, 255), **COLOURS, "grey": (140, 140, 145), "black": (20, 20, 24)}
SIZES = {"small": 0.42, "": 0.80, "big": 1.0}  # share of the picture's side
POSITIONS = {
    "": (0.5, 0.5), "on the left": (0.25, 0.5), "on the right": (0.75, 0.5), "at the top": (0.5, 0.25), "at the bottom": (0.5, 0.75),
}  # fmt: skip
COUNTS = ("", "two", "three")
FLAT_STYLE = "fluent-flat"
_PLACES = {  # count -> shift across, shift down and scale of each
    1: ((0.0, 0.0, 1.0),),
    2: ((-0.24, 0.0, 0.58), (0.24, 0.0, 0.58)),
    3: ((-0.25, 0.2, 0.54), (0.25, 0.2, 0.54), (0.0, -0.23, 0.54)),
}


@dataclass(frozen=True)
class PictureScene:
    """One picture to be drawn. Empty strings stand for what goes without saying; `jitter` moves things a little (0: exactly centred)."""

    thing: Thing
    style: str = MAIN_STYLE
    hexcode: str = ""  # which of the thing's pictures; empty: the canonical one
    count: int = 1
    colour: str = ""
    background: str = "white"
    size: str = ""
    position: str = ""
    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)  # share of the side
    zoom: float = 1.0
    turn: float = 0.0  # degrees


def sample_picture(
    rng: np.random.Generator,
    *,
    thing: Thing | None = None,
    styles: tuple[str, ...] = (MAIN_STYLE,),
    canonical: float = 0.5,
    jitter: float = 1.0,
    first: bool = False,
) -> PictureScene:
    """A random scene: with probability `canonical` a plain one (one thing, white, in the middle), else up to three special attributes.

    `jitter` scales small unsaid changes of place, size and turn; with `first` a thing that has several pictures shows its first one only.
    """
    thing = thing or things()[rng.integers(len(things()))]
    style = str(rng.choice([style for style in styles if hexcodes(thing, style)] or [MAIN_STYLE]))
    codes = hexcodes(thing, style)
    code = codes[0] if first or rng.random() < 0.6 else str(rng.choice(codes))
    loose = {
        "shift": (float(rng.normal(0, 0.02 * jitter)), float(rng.normal(0, 0.02 * jitter))),
        "zoom": float(np.exp(rng.normal(0, 0.05 * jitter))),
        "turn": float(rng.normal(0, 3 * jitter)),
        "flip": bool(rng.random() < 0.5) if jitter >= 1 else False,
    }
    scene = PictureScene(thing, style, code, **loose)  # type: ignore[arg-type]
    if rng.random() < canonical:
        return scene
    special: dict[str, object] = {}
    wishes = rng.random(4) < (0.55, 0.4, 0.3, 0.3)
    if not wishes.any():
        wishes[rng.integers(4)] = True
    if wishes[1]:
        special["colour"] = str(rng.choice(list(COLOURS)))
    if wishes[0]:  # never the thing's own colour, which would hide it
        special["background"] = str(rng.choice([name for name in BACKGROUNDS if name not in ("white", special.get("colour"))]))
    if wishes[2] and thing.article:
        special["count"] = int(rng.integers(2, 4))
    elif wishes[3]:
        if rng.random() < 0.5:
            special["position"] = str(rng.choice([name for name in POSITIONS if name]))
        else:
            special["size"] = str(rng.choice(["small", "big"]))
    return PictureScene(**{**scene.__dict__, **special})


def caption(scene: PictureScene) -> str:
    """The one canonical wording: "a dog", "two red apples on a blue background", "a dog on the left", "a small cat in a flat style"."""
    counted = scene.count > 1
    words = [COUNTS[scene.count - 1], scene.size, scene.colour, scene.thing.plural if counted else scene.thing.name]
    said = " ".join(word for word in words if word)
    if not counted and scene.thing.article:
        described = bool(scene.size or scene.colour)
        article = ("an" if said[0] in "aeiou" else "a") if described else scene.thing.article
        said = f"{article} {said}"
    if scene.position:
        said += f" {scene.position}"
    if scene.background != "white":
        said += f" on {'an' if scene.background[0] in 'aeiou' else 'a'} {scene.background} background"
    return f"{said} in a flat style" if scene.style == FLAT_STYLE else said


def places(scene: PictureScene) -> list[tuple[float, float, float]]:
    """Where each of the things is: x and y from the middle, and its side, in shares of the picture's side."""
    share = min(SIZES[scene.size], 0.46) if scene.position else SIZES[scene.size]
    x, y = (place - 0.5 for place in POSITIONS[scene.position])
    spread = min(share / 0.8, 1.0)
    return [
        (x + dx * spread + scene.shift[0], y + dy * spread + scene.shift[1], share * scale * scene.zoom)
        for dx, dy, scale in _PLACES[scene.count]
    ]


def render(scene: PictureScene, pixels: int) -> np.ndarray:
    """The scene as uint8 [pixels, pixels, 3]."""
    canvas = Image.new("RGB", (pixels, pixels), BACKGROUNDS[scene.background])
    drawing = tinted(sprite(scene.hexcode or hexcodes(scene.thing, scene.style)[0], scene.style), scene.colour)
    if scene.flip:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if scene.turn:
        drawing = drawing.rotate(scene.turn, Image.Resampling.BICUBIC)
    for x, y, share in places(scene):
        side = max(4, round(pixels * share))
        small = drawing.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        canvas.paste(small, (round((x + 0.5) * pixels - side / 2), round((y + 0.5) * pixels - side / 2)), small)
    return np.asarray(canvas)


def tinted(drawing: Image.Image, colour: str) -> Image.Image:
    """The drawing dyed: light and shade stay, hue and saturation become the colour's (a white sheep turns as red as a green car)."""
    if not colour:
        return drawing
    pixels = np.asarray(drawing).astype(np.float32)
    light = pixels[..., :3] @ np.array([0.3, 0.59, 0.11], np.float32) / 255  # [h, w]
    visible = light[pixels[..., 3] > 128]
    pivot = float(np.clip(np.median(visible) if visible.size else 0.5, 0.3, 0.75))  # the drawing's usual brightness becomes the pure colour
    dye = np.array(COLOURS[colour], np.float32)
    darker, lighter = np.clip(light / pivot, 0, 1)[..., None], np.clip((light - pivot) / (1 - pivot), 0, 1)[..., None]
    dyed = dye * (0.15 + 0.85 * darker) + (255 - dye) * lighter * 0.8
    out = pixels.copy()
    out[..., :3] = 0.85 * dyed + 0.15 * pixels[..., :3]
    return Image.fromarray(out.clip(0, 255).astype(np.uint8), "RGBA")
