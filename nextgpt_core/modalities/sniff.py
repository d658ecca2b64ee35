"""Which modality a file is: told from its bytes, never from its name."""

from pathlib import Path

import av
from av.error import FFmpegError
from PIL import Image, UnidentifiedImageError

from nextgpt_core.errors import UnsupportedMedia
from nextgpt_core.modalities.base import Limits, check_size, display_name
from nextgpt_core.modalities.image import DAMAGE

# What stands at the start of a file -> what it is. "moving?" formats are looked into: they may hold one picture or a film.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image"),
    (0, b"\x89PNG\r\n\x1a\n", "moving?"),
    (0, b"GIF8", "moving?"),
    (8, b"WEBP", "moving?"),
    (0, b"BM", "image"),
    (0, b"II*\x00", "image"),
    (0, b"MM\x00*", "image"),
    (0, b"\x00\x00\x01\x00", "image"),
    (0, b"P5", "image"),
    (0, b"P6", "image"),
    (8, b"WAVE", "audio"),
    (0, b"fLaC", "audio"),
    (0, b"FORM", "audio"),
    (0, b".snd", "audio"),
    (0, b"caff", "audio"),
    (0, b"ID3", "audio"),
    (0, b"OggS", "container"),
    (4, b"ftyp", "container"),
    (4, b"moov", "container"),
    (4, b"mdat", "container"),
    (4, b"wide", "container"),
    (0, b"\x1a\x45\xdf\xa3", "container"),  # Matroska, WebM
    (8, b"AVI ", "container"),
    (0, b"FLV", "container"),
    (0, b"\x30\x26\xb2\x75", "container"),  # WMV, WMA
    (0, b"\x00\x00\x01\xba", "container"),  # MPEG programme stream
    (0, b"\x47", "container"),  # MPEG transport stream
    (0, b"\xff\xfb", "audio"),  # MP3 without a tag
    (0, b"\xff\xf3", "audio"),
    (0, b"\xff\xf2", "audio"),
    (0, b"\xff\xf1", "container"),  # AAC
    (0, b"\xff\xf9", "container"),
)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}


def sniff(path: Path) -> str:
    """The modality ("image", "video", "audio") of a file. Raises UnsupportedMedia with what to do instead."""
    check_size(path, Limits(max_bytes=2**63))  # each modality has its own bound; here only: is there anything
    with path.open("rb") as file:
        start = file.read(64)
    name = display_name(path)
    if start[4:8] == b"ftyp" and {start[8:12]} & AVIF_BRANDS:
        return "image"
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        brands = {start[i : i + 4] for i in range(16, len(start) - 3, 4)}
        if brands & AVIF_BRANDS:
            return "image"
        raise UnsupportedMedia(f"{name} is a HEIC picture, which cannot be read here; please send it as JPEG or PNG.")
    kind = next((kind for offset, mark, kind in SIGNATURES if start[offset : offset + len(mark)] == mark), "unknown")
    if kind == "moving?":
        return "video" if _frame_count(path) > 1 else "image"
    if kind == "container":
        return _inside(path)
    if kind == "unknown":
        raise UnsupportedMedia(f"{name} is not a picture, sound or video that can be read; please send PNG, JPEG, WAV, MP3 or MP4.")
    return kind


def _frame_count(path: Path) -> int:
    """How many frames a picture file has; a damaged one counts as one, so that loading it as a picture says what is wrong."""
    try:
        with Image.open(path, formats=("PNG", "GIF", "WEBP")) as picture:
            return int(getattr(picture, "n_frames", 1))
    except DAMAGE + (Image.DecompressionBombError, UnidentifiedImageError):
        return 1


def _inside(path: Path) -> str:
    """A container is a film if it has a moving picture (a cover does not count), else a sound."""
    name = display_name(path)
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if any(not s.disposition & av.stream.Disposition.attached_pic for s in container.streams.video):
                return "video"
            if container.streams.audio:
                return "audio"
    except (FFmpegError, OSError, ValueError) as error:
        raise UnsupportedMedia(f"{name} is damaged or cut off and cannot be played; please send it again.") from error
    raise UnsupportedMedia(f"{name} has neither moving pictures nor sound in it; please choose another file.")
