"""Small pictures inside the page's own text: a preview is encoded once, when it arrives, and never again."""

import base64
import io

import numpy as np
from PIL import Image

LONGEST = 256  # pixels; a preview is shown no larger


def data_uri(pixels: np.ndarray) -> str:
    """uint8 [H, W, 3] -> a JPEG as data URI, a few kilobytes."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((LONGEST, LONGEST))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
