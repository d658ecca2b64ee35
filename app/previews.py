"""Small pictures inside the page's own text: a preview is encoded once, when it arrives, and never again."""

import base64
import io
import re

import numpy as np
from PIL import Image

LONGEST = 256  # pixels; a preview is shown no larger


URI = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]{1,60000}={0,2}")


def data_uri(pixels: np.ndarray) -> str:
    """uint8 [H, W, 3] -> a JPEG as data URI, a few kilobytes."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((LONGEST, LONGEST))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def checked_uri(value: str) -> str:
    """What a browser or a file held, where it is such a URI, else nothing."""
    return value if URI.fullmatch(value) else ""
