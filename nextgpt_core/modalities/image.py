"""Pictures: any common format -> upright uint8 RGB; PNG or WebP with provenance out."""

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia
from nextgpt_core.messages import Media
from nextgpt_core.modalities.base import ReadApart
from nextgpt_core.modalities.containers import Nameless
from nextgpt_core.modalities.limits import Limits, display_name
from nextgpt_core.modalities.provenance import KEY, decode_provenance, encode_provenance
from nextgpt_core.modalities.reading import Answer

# Only these decoders see a user's bytes (Pillow has others that call programs or are hardly maintained): Pillow's name for each, what such
# a file is called, and whether every browser shows it.
FORMATS: dict[str, tuple[str, bool]] = {
    "PNG": (".png", True),
    "JPEG": (".jpg", True),
    "MPO": (".jpg", True),  # a JPEG with more pictures behind the first
    "WEBP": (".webp", True),
    "GIF": (".gif", True),
    "BMP": (".bmp", True),
    "AVIF": (".avif", True),
    "ICO": (".ico", True),
    "TIFF": (".tif", False),
    "PPM": (".ppm", False),
    "JPEG2000": (".jp2", False),
    "QOI": (".qoi", False),
}
READERS = [name for name in FORMATS if name != "MPO"]  # which Pillow opens as a JPEG
ANIMATED = ("GIF", "PNG", "WEBP")
MAX_ASPECT = 100  # encoders scale the short side to a fixed size: a thin strip would grow without bound
READING_PIXELS = 16_000_000  # a larger picture is halved, in some formats while it is decoded; no encoder looks that closely
ORIENTATION, DESCRIPTION = 0x0112, 0x010E  # in EXIF
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, RuntimeError, struct.error, zlib.error)


class ImageSpec(ReadApart):
    """How pictures are read, described and written."""

    name = "image"
    noun = "picture"
    signal = "IMG"
    suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ico", ".ppm", ".pgm", ".pbm",
                                 ".jp2", ".qoi")  # fmt: skip
    mime_types: tuple[str, ...] = ("image/*",)
    save_suffix = ".png"
    limits = Limits(max_bytes=64 * 2**20, max_pixels=64_000_000)

    def load_here(self, path: Path, limits: Limits) -> np.ndarray:
        """File -> uint8 [H, W, 3]: upright (EXIF), alpha over white, 16-bit scaled to 8, the first frame of an animation."""
        with opened(path, limits) as picture:
            return to_rgb(picture, READING_PIXELS)

    def describe_here(self, path: Path, limits: Limits) -> dict[str, Any]:
        with opened(path, limits) as picture:
            width, height = picture.size
            if picture.getexif().get(ORIENTATION) in (5, 6, 7, 8):
                width, height = height, width
            picture.draft(None, (1, 1))  # a JPEG is decoded at an eighth of its size
            picture.load()  # a truncated file is told now, not at send
        return {"width": width, "height": height, "summary": f"{width} × {height}", "note": None}

    def provenance_here(self, path: Path) -> dict[str, Any] | None:
        try:
            with Image.open(Nameless(path), formats=("PNG", "WEBP")) as picture:  # type: ignore[arg-type]
                return decode_provenance(picture.info.get(KEY) or picture.getexif().get(DESCRIPTION))
        except DAMAGE + (Image.DecompressionBombError,):
            return None

    def save(self, content: np.ndarray, path: Path, *, provenance: dict[str, Any]) -> Media:
        """uint8 [H, W, 3] -> PNG (text chunk) or, where the suffix says so, lossless WebP (EXIF description)."""
        text = encode_provenance(provenance)
        picture = Image.fromarray(np.ascontiguousarray(content, dtype=np.uint8), "RGB")
        if path.suffix.lower() == ".webp":
            exif = Image.Exif()
            exif[DESCRIPTION] = text
            picture.save(path, format="WEBP", lossless=True, exif=exif)
        else:
            chunks = PngImagePlugin.PngInfo()
            chunks.add_text(KEY, text)
            picture.save(path, format="PNG", pnginfo=chunks)
        return Media("image", path, {"width": picture.width, "height": picture.height, **provenance})

    def pack(self, content: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        return {}, content

    def unpack(self, answer: Answer) -> np.ndarray:
        if answer.array.dtype != np.uint8 or answer.array.ndim != 3 or answer.array.shape[2] != 3 or answer.array.size == 0:
            raise ValueError("this is no picture")
        return answer.array


def identified(path: Path) -> tuple[str | None, bool]:
    """Pillow's name of a picture's format, None where it is none of ours, and whether it moves."""
    Image.MAX_IMAGE_PIXELS = None  # only a header is read here; `opened` bounds what is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(Nameless(path), formats=READERS) as picture:  # type: ignore[arg-type]
                kind = picture.format or ""
                return kind, kind in ANIMATED and bool(getattr(picture, "is_animated", False))
    except DAMAGE:
        return None, False


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Image.Image]:
    """A picture whose header was found sane, to be decoded inside the `with`; whatever fails there becomes one sentence."""
    name = display_name(path)
    bound = (limits.max_pixels or 0) // 10**6
    too_many = MediaTooLarge(f"{name} has too many pixels (more than {bound} million); please send a smaller copy.")
    Image.MAX_IMAGE_PIXELS = limits.max_pixels  # of what is nested, too: an icon holds whole pictures
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(Nameless(path), formats=READERS) as picture:  # type: ignore[arg-type]
                width, height = picture.size
                if width < 1 or height < 1:
                    raise UnsupportedMedia(f"{name} is {width} × {height} pixels: there is nothing to see; please send another picture.")
                if max(width, height) > MAX_ASPECT * min(width, height):
                    raise UnsupportedMedia(f"{name} is too narrow a strip ({width} × {height}); please crop it and send it again.")
                yield picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many from error
    except UnidentifiedImageError as error:
        raise UnsupportedMedia(f"{name} is not a picture that can be read; please send it as PNG or JPEG.") from error
    except DAMAGE as error:
        raise UnsupportedMedia(f"{name} is damaged or cut off and cannot be shown; please send it again.") from error


def to_rgb(picture: Image.Image, most: int) -> np.ndarray:
    """Any Pillow mode -> uint8 [H, W, 3], upright, alpha over white, reduced by a whole number where it has more than `most` pixels."""
    factor = math.ceil(math.sqrt(picture.width * picture.height / most))
    if factor > 1:
        picture.draft(None, (picture.width // factor, picture.height // factor))  # while it is decoded, if it is a JPEG
    picture.load()
    picture = _reduced(picture, most)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(_to_eight_bits(np.asarray(picture, dtype=np.float32)), "L")
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    return np.array(picture.convert("RGB"))


def _reduced(picture: Image.Image, most: int) -> Image.Image:
    """A decoded picture of at most `most` pixels, its orientation kept."""
    factor = math.ceil(math.sqrt(picture.width * picture.height / most))
    if factor == 1:
        return picture
    orientation = picture.getexif().get(ORIENTATION)
    if "transparency" in picture.info or picture.mode == "PA":
        picture = picture.convert("RGBA")
    elif picture.mode in ("P", "1"):
        picture = picture.convert("RGB" if picture.mode == "P" else "L")
    elif picture.mode.startswith("I;"):
        picture = picture.convert("I")
    small = picture.reduce(factor)
    small.info.pop("transparency", None)
    if orientation is not None:
        small.getexif()[ORIENTATION] = orientation
    return small


def _to_eight_bits(values: np.ndarray) -> np.ndarray:
    """16-bit, 32-bit and floating samples -> uint8: 0..255 as they are, 16-bit by their range, everything else by its brightest sample."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(values.max(initial=0.0))
    if peak <= 1.0:
        full = 1.0
    elif peak <= 255.0:
        full = 255.0
    else:
        full = max(65535.0, peak)
    return np.clip(values * (255.0 / full), 0, 255).astype(np.uint8)


IMAGE = ImageSpec()
