"""Every thing in every drawing style as a square RGBA picture, rendered once from the public icon packages into .cache/nano/sprites."""

import io
import json
import logging
from dataclasses import dataclass
from functools import cache

import numpy as np
import resvg_py
from PIL import Image

from recipes.nano.paths import DATA
from recipes.nano.sources import source
from recipes.nano.world.things import Thing, things

log = logging.getLogger(__name__)

PIXELS = 192
MAIN_STYLE = "fluent-3d"  # the look of nano's own pictures
STYLES = ("fluent-3d", "fluent-flat", "fluent", "noto", "noto-v1", "fxemoji", "emojione")
UNDERSTANDING_STYLES = (*STYLES, "openmoji")  # CC BY-SA: the encoder may learn from it, the decoders may not
FLAT_STYLES = tuple(style for style in STYLES if style != MAIN_STYLE)
HELD_OUT_STYLE = "twemoji"  # evaluation only
_FOLDER = DATA / "sprites"


@dataclass(frozen=True)
class _Sheet:
    pictures: np.ndarray  # uint8 [n, PIXELS, PIXELS, 4], memory-mapped
    index: dict[str, int]  # hexcode -> row


def hexcodes(thing: Thing, style: str) -> tuple[str, ...]:
    """Which of the thing's pictures this style draws (may be none), the canonical one first."""
    return tuple(code for code in thing.hexcodes if code in _sheet(style).index)


def sprite(hexcode: str, style: str) -> Image.Image:
    """One picture, RGBA, PIXELS x PIXELS, the thing filling the square. Raises KeyError where the style lacks it."""
    sheet = _sheet(style)
    return Image.fromarray(np.asarray(sheet.pictures[sheet.index[hexcode]]), "RGBA")


@cache
def _sheet(style: str) -> _Sheet:
    pictures, index = _FOLDER / f"{style}.npy", _FOLDER / f"{style}.json"
    if not index.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        rendered = _render_webp() if style == MAIN_STYLE else _render_svg(style)
        np.save(pictures, np.stack([_square(picture) for picture in rendered.values()]))
        index.write_text(json.dumps({code: row for row, code in enumerate(rendered)}))
    return _Sheet(np.load(pictures, mmap_mode="r"), json.loads(index.read_text()))


def _render_webp() -> dict[str, Image.Image]:
    """The 3D style: 256 x 256 WebP files named by hexcode."""
    files = {path.stem.replace("-fe0f", ""): path for path in (source(MAIN_STYLE) / "package" / "assets").glob("*.webp")}
    codes = [code for thing in things() for code in thing.hexcodes]
    return {code: Image.open(files[code]).convert("RGBA") for code in codes if code in files}


def _render_svg(style: str) -> dict[str, Image.Image]:
    """An Iconify set: bodies of SVG by name, found through the names that the sets with a hexcode table give them."""
    icons = json.loads((source(style) / "package" / "icons.json").read_text(encoding="utf-8"))
    bodies, aliases = icons["icons"], icons.get("aliases", {})
    plain = {name.replace("-", ""): name for name in (*aliases, *bodies)}
    rendered = {}
    tables = [_names(key) for key in (style, "noto", "fluent-flat", "openmoji")]
    for code in (code for thing in things() for code in thing.hexcodes):
        names = (table.get(code, "").replace("-", "") for table in tables)
        name = next((plain[name] for name in names if name in plain), None)
        if name is None:
            continue
        icon = bodies[aliases[name]["parent"] if name in aliases else name]
        width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
        spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        svg = f'<svg {spaces} viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        png = resvg_py.svg_to_bytes(svg_string=svg, width=256, height=256)
        rendered[code] = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    return rendered


@cache
def _names(style: str) -> dict[str, str]:
    rows = json.loads((source(style) / "package" / "chars.json").read_text(encoding="utf-8"))
    return {code.replace("-fe0f", ""): name for code, name in rows.items()}


def _square(picture: Image.Image) -> np.ndarray:
    """Cut to what is visible, centred in a square with a thin margin, scaled to PIXELS."""
    box = picture.getchannel("A").point(lambda a: 255 if a > 16 else 0).getbbox() or (0, 0, *picture.size)
    cut = picture.crop(box)
    side = int(max(cut.size) * 1.03) + 2
    out = Image.new("RGBA", (side, side))
    out.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return np.asarray(out.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS))
