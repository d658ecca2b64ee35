"""Real photographs of common things that public packages ship: for evaluation only, fetched and not redistributed.

The list is data (photos.txt, beside this file). Others that show nothing of nano's world teach the picture tower what a photograph is.
"""

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from nextgpt_core.errors import CheckpointMissing
from recipes.nano.sources import source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """A photograph and the words that name what it shows (none: nothing that nano knows)."""

    package: str
    path: str
    words: tuple[str, ...]

    @property
    def file(self) -> Path:
        """Where it lies. Raises CheckpointMissing where its package is not installed."""
        match self.package:
            case "foolbox":
                return source("photos") / "foolbox" / "data" / self.path
            case "gcompris":
                return _gcompris() / f"{self.path}.webp"
            case "tuxpaint":
                return source("stamps") / "usr" / "share" / "tuxpaint" / "stamps" / f"{self.path}.png"
            case "palapeli":
                return source("puzzles") / "usr" / "share" / "palapeli" / "collection" / f"{self.path}.jpg"
            case "lomiri":
                return source("wallpapers") / "usr" / "share" / "backgrounds" / f"{self.path}.jpg"
        found = find_spec(self.package)
        if found is None or not found.submodule_search_locations:
            raise CheckpointMissing(f"The package {self.package} is not installed; run `pip install -r requirements-train.txt`.")
        return Path(found.submodule_search_locations[0]) / self.path


def available_photos() -> list[Photo]:
    """Those of the evaluation whose packages are here or can be fetched (some are Debian's). Raises CheckpointMissing where none are."""
    return _available(PHOTOS)


def other_photos() -> list[Photo]:
    """Those that are no part of the evaluation, for training. Raises CheckpointMissing where there are none."""
    return _available(OTHER_PHOTOS)


def _available(photos: tuple[Photo, ...]) -> list[Photo]:
    refused: dict[str, CheckpointMissing] = {}
    found = []
    for photo in photos:
        try:
            if photo.package not in refused and photo.file.is_file():
                found.append(photo)
        except CheckpointMissing as error:
            refused[photo.package] = error
            log.warning("photographs are left out: %s", error)
    if not found:
        raise next(iter(refused.values()))
    return found


def _listed() -> Iterator[Photo]:
    """The entries of photos.txt."""
    package = ""
    for line in (Path(__file__).parent / "photos.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            package = line.strip("[]")
        elif not line.startswith("#"):
            for entry in filter(None, line.split(";")):
                path, _, words = entry.partition(" = ")
                yield Photo(package, path.strip(), tuple(filter(None, words.split(", "))))


PHOTOS = tuple(photo for photo in _listed() if photo.words)
OTHER_PHOTOS = tuple(photo for photo in _listed() if not photo.words)


@cache
def _gcompris() -> Path:
    """The folder with the pictures of GCompris' activities, each below its activity's name."""
    package = source("more-photos")
    folder = package / "pictures"
    for activity in {photo.path.split("/")[0] for photo in _listed() if photo.package == "gcompris"}:
        if not (folder / activity).is_dir():
            (folder / activity).mkdir(parents=True)
            for name, content in _resources((package / "usr" / "share" / "gcompris-qt" / "rcc" / f"{activity}.rcc").read_bytes()):
                if name.endswith(".webp"):
                    (folder / activity / Path(name).name).write_bytes(content)
    return folder


def _resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a Qt resource bundle (format of Qt's rcc, versions 1 to 3) that lie in it uncompressed."""
    version, tree, contents, names = struct.unpack(">IIII", data[4:20])
    size = 14 if version < 2 else 22

    def below(node: int) -> Iterator[tuple[str, bytes]]:
        begin = tree + node * size
        label, flags, count, first = struct.unpack(">IHII", data[begin : begin + 14])
        if flags & 2:  # a folder: `count` nodes from `first`
            for child in range(first, first + count):
                yield from below(child)
        elif not flags & 5:  # neither zlib nor zstd
            letters = struct.unpack(">H", data[names + label : names + label + 2])[0]
            begin = contents + first
            length = struct.unpack(">I", data[begin : begin + 4])[0]
            yield data[names + label + 6 : names + label + 6 + 2 * letters].decode("utf-16-be"), data[begin + 4 : begin + 4 + length]

    yield from below(0)
