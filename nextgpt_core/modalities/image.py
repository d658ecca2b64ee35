"""Pictures: any common format -> upright uint8 RGB; PNG or WebP with provenance out."""

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
from nextgpt_core.modalities.base import (
    PROVENANCE_KEY,
    Limits,
    check_size,
    decode_provenance,
    display_name,
    encode_provenance,
)

# Only these decoders see a user's bytes (Pillow has others that call programs or are hardly maintained).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO", "PPM")
MAX_ASPECT = 100  # encoders scale the short side to a fixed size: a thin strip would grow without bound
EXIF_DESCRIPTION = 0x010E  # ImageDescription
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, OverflowError, MemoryError, struct.error, zlib.error)


class ImageSpec:
    """How pictures are read, described and written."""

    name = "image"
    noun = "picture"
    signal = "IMG"
    suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ico", ".ppm")
    mime_types: tuple[str, ...] = ("image/*",)
    save_suffix = ".png"
    limits = Limits(max_bytes=64 * 2**20, max_pixels=64_000_000)

    def load(self, path: Path, *, limits: Limits | None = None) -> np.ndarray:
        """File -> uint8 [H, W, 3]: upright (EXIF), alpha over white, 16-bit scaled to 8, the first frame of an animation."""
        with opened(path, limits or self.limits) as picture:
            return to_rgb(picture)

    def describe(self, path: Path, *, limits: Limits | None = None) -> dict[str, Any]:
        with opened(path, limits or self.limits) as picture:
            width, height = ImageOps.exif_transpose(picture).size  # also decodes: a truncated file is told now, not at send
        return {"width": width, "height": height, "summary": f"{width} × {height}", "note": None}

    def save(self, content: np.ndarray, path: Path, *, provenance: dict[str, Any]) -> Media:
        """uint8 [H, W, 3] -> PNG (text chunk) or, where the suffix says so, lossless WebP (EXIF description)."""
        text = encode_provenance(provenance)
        picture = Image.fromarray(np.ascontiguousarray(content, dtype=np.uint8), "RGB")
        if path.suffix.lower() == ".webp":
            exif = Image.Exif()
            exif[EXIF_DESCRIPTION] = text
            picture.save(path, format="WEBP", lossless=True, exif=exif)
        else:
            chunks = PngImagePlugin.PngInfo()
            chunks.add_text(PROVENANCE_KEY, text)
            picture.save(path, format="PNG", pnginfo=chunks)
        return Media("image", path, {"width": picture.width, "height": picture.height, **provenance})

    def read_provenance(self, path: Path) -> dict[str, Any] | None:
        try:
            with Image.open(path, formats=("PNG", "WEBP")) as picture:
                return decode_provenance(picture.info.get(PROVENANCE_KEY) or picture.getexif().get(EXIF_DESCRIPTION))
        except DAMAGE + (Image.DecompressionBombError,):
            return None


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Image.Image]:
    """A picture whose header was found sane, to be decoded inside the `with`; whatever fails there becomes one sentence."""
    check_size(path, limits)
    name = display_name(path)
    bound = (limits.max_pixels or 0) // 10**6
    too_many = MediaTooLarge(f"{name} has too many pixels (more than {bound} million); please send a smaller copy.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on big or odd files: our own limits decide
            with Image.open(path, formats=FORMATS) as picture:
                width, height = picture.size
                if width < 1 or height < 1:
                    raise UnsupportedMedia(f"{name} is {width} × {height} pixels: there is nothing to see; please send another picture.")
                if limits.max_pixels is not None and width * height > limits.max_pixels:
                    raise too_many
                if max(width, height) > MAX_ASPECT * min(width, height):
                    raise UnsupportedMedia(f"{name} is too narrow a strip ({width} × {height}); please crop it and send it again.")
                yield picture
    except Image.DecompressionBombError as error:
        raise too_many from error
    except UnidentifiedImageError as error:
        raise UnsupportedMedia(f"{name} is not a picture that can be read; please send it as PNG or JPEG.") from error
    except DAMAGE as error:
        raise UnsupportedMedia(f"{name} is damaged or cut off and cannot be shown; please send it again.") from error


def to_rgb(picture: Image.Image) -> np.ndarray:
    """Any Pillow mode -> uint8 [H, W, 3], upright, alpha over white."""
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(_to_eight_bits(np.asarray(picture, dtype=np.float32)), "L")
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    return np.array(picture.convert("RGB"))


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
