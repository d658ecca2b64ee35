"""Files made to cost much, by hand: libraries' own writers would merge or refuse what is repeated here."""

import io
import struct
from pathlib import Path

from PIL import Image


def animated_webp(path: Path, *, size: tuple[int, int], durations: list[int]) -> Path:
    """One frame of one colour, again and again: some fifty bytes each, whatever their size."""
    sink = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(sink, "WEBP", lossless=True, method=0)
    picture = sink.getvalue()[12:]
    width, height = (struct.pack("<I", one - 1)[:3] for one in size)
    frames = b"".join(_chunk(b"ANMF", bytes(6) + width + height + struct.pack("<I", one)[:3] + b"\0" + picture) for one in durations)
    head = _chunk(b"VP8X", b"\x02\0\0\0" + width + height) + _chunk(b"ANIM", b"\xff\xff\xff\xff\0\0")
    path.write_bytes(_chunk(b"RIFF", b"WEBP" + head + frames))
    return path


def animated_gif(path: Path, *, size: tuple[int, int], durations: list[int]) -> Path:
    """The same as a GIF; durations in milliseconds."""
    picture = Image.new("P", size, 1)
    picture.putpalette([0, 0, 0, 250, 10, 10] + [0] * 762)
    sink = io.BytesIO()
    picture.save(sink, "GIF")
    data = sink.getvalue()
    palette = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    frame = data[data.index(b",", palette) : -1]
    shown = [b"!\xf9\x04\x04" + struct.pack("<H", one // 10) + b"\0\0" + frame for one in durations]
    path.write_bytes(b"GIF89a" + data[6:palette] + b"".join(shown) + b";")
    return path


def icon_of(path: Path, picture: bytes) -> Path:
    """An icon of 16 x 16 pixels by its own word, in which a whole PNG lies."""
    path.write_bytes(struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 22) + picture)
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
