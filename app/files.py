"""The files of the page: random folders that nobody can guess, generated names, deletion after a set time."""

import logging
import math
import os
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.i18n import say
from nextgpt_core.errors import MediaError, MediaTooLarge
from nextgpt_core.messages import Media
from nextgpt_core.modalities import MODALITIES, look
from nextgpt_core.modalities.fingerprint import fingerprint
from nextgpt_core.modalities.preview import CONVERTERS
from nextgpt_core.modalities.reading import ReadersBusy

logger = logging.getLogger(__name__)

FOLDER = re.compile(r"[0-9a-f]{32}")
UPLOAD_FOLDER = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[0-9a-f]{4,32}(-[0-9]{1,3})?\.[a-z0-9]{2,4}|[a-z0-9_-]{1,40}\.[a-z0-9]{2,4}")
COUNTED_SECONDS = 10.0
COPY = "-shown"  # what the name of a copy has more than its file's
COPY_SUFFIXES = {modality: suffix for modality, (suffix, _) in CONVERTERS.items()}
MESSAGE_PIXELS = 400_000_000  # of the pictures of one message
MESSAGE_SECONDS = 30.0  # in which its files are looked at
REMEMBERED = 256  # files
TOO_MANY_PIXELS = (
    f"is one too many: the pictures of a message have {MESSAGE_PIXELS // 10**6} million pixels at most; please send it in another."
)
TOO_SLOW = "was not read: the files before it took too long; please send it in a message of its own."


_labels: dict[str, str] = {}  # a generated name of an upload -> what the person called the file; forgotten with the process


def nameless(label: str) -> str:
    """A generated name for an upload that a person calls `label`: nothing of it but a plain suffix reaches a path."""
    suffix = Path(label).suffix.lower()
    name = secrets.token_hex(8) + (suffix if re.fullmatch(r"\.[a-z0-9]{2,4}", suffix) else "")
    while len(_labels) >= 10_000:
        _labels.pop(next(iter(_labels)))
    _labels[name] = "".join(one if one.isprintable() else "?" for one in re.split(r"[/\\]", label)[-1][:120])
    return name


@dataclass(frozen=True)
class StoredFile:
    """A file under the store's root: folder and name are generated; `label` is what the person called it."""

    modality: str
    folder: str
    name: str
    label: str = ""
    info: dict[str, Any] = field(default_factory=dict, compare=False)

    @staticmethod
    def from_json(value: Any) -> "StoredFile":
        """Checked: nothing but a generated folder and name can come back from a browser. Raises ValueError."""
        modality, folder, name = str(value["modality"]), str(value["folder"]), str(value["name"])
        if modality not in MODALITIES or not FOLDER.fullmatch(folder) or not NAME.fullmatch(name):
            raise ValueError("a file's place is malformed")
        return StoredFile(modality, folder, name, str(value["label"])[:120], plain(value["info"]))


@dataclass(frozen=True)
class Checked:
    """What is known of a chosen file: usable with a summary and perhaps a note, or `problem`."""

    path: Path
    label: str
    modality: str = ""
    summary: str = ""
    note: str = ""
    problem: str = ""
    provenance: dict[str, Any] | None = None
    suffix: str = ""  # by what the file is, whatever it is called
    playable: bool = True  # every browser shows it as it is
    pixels: int = 0  # of a picture
    passing: bool = False  # the problem is not the file's


def check(path: Path) -> Checked:
    """Look at a file that a person chose: what it is, how much of it will be used, or a sentence why not."""
    label = _label(path)
    try:
        looked = look(path)
    except MediaError as error:
        return Checked(path, label, problem=str(error).replace(path.name, label), passing=isinstance(error, ReadersBusy))
    found, facts = looked.found, looked.facts
    return Checked(
        path,
        label,
        found.modality,
        str(facts.get("summary") or "")[:200],
        str(facts.get("note") or "")[:200],
        provenance=looked.provenance,
        suffix=found.suffix,
        playable=found.playable,
        pixels=_pixels(facts) if found.modality == "image" else 0,
    )


_looked: OrderedDict[tuple[Path, str], Checked] = OrderedDict()


def checked(path: Path) -> Checked:
    """`check`, remembered as long as the content stays what it was."""
    try:
        key = path, fingerprint(path)
    except OSError:
        return check(path)  # says that it is not there
    found = _looked.get(key) or check(path)
    if not found.passing:
        _looked[key] = found
    while len(_looked) > REMEMBERED:
        _looked.popitem(last=False)
    return found


def check_all(paths: Sequence[Path], look_at: Callable[[Path], Checked] = checked) -> list[Checked]:
    """The files of one message, one after the other. What all of them may cost together is bounded."""
    looked: list[Checked] = []
    pixels, end = 0, time.monotonic() + MESSAGE_SECONDS
    for path in paths:
        late = time.monotonic() > end
        file = Checked(path, _label(path), problem=f"{_label(path)} {TOO_SLOW}") if late else look_at(path)
        pixels += file.pixels
        if file.pixels and pixels > MESSAGE_PIXELS:
            file = Checked(path, file.label, problem=f"{file.label} {TOO_MANY_PIXELS}")
        looked.append(file)
    return looked


def _label(path: Path) -> str:
    return _labels.get(path.name, path.name)


def _pixels(facts: dict[str, Any]) -> int:
    width, height = facts.get("width"), facts.get("height")
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


class FileStore:
    """Folders of files under one root, which the page's server serves only to those who know the whole name."""

    def __init__(self, root: Path, *, keep_hours: float = 24.0, max_bytes: float = math.inf) -> None:
        """`max_bytes` bounds all that lies under the root's parent: what is kept, and the uploads beside it."""
        self.root = root
        self.keep_seconds = keep_hours * 3600
        self.max_bytes = max_bytes
        self._used, self._measured = 0, -math.inf  # bytes, and when they were counted
        self._lock = threading.Lock()
        self._discarded: dict[str, None] = {}  # folders of deleted conversations, the last ones
        self.sweeps = 0  # how often a sweep found something to delete

    def folder(self, token: str) -> Path:
        """The folder of a conversation, made when first asked for."""
        if not FOLDER.fullmatch(token):
            raise ValueError("a folder's name is malformed")
        folder = self.root / token
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more fit, which then count as used. The files are counted anew every few seconds."""
        if math.isinf(self.max_bytes):
            return True
        with self._lock:
            self._count()
            fits = self._used + size <= self.max_bytes
            self._used += size if fits else 0
            return fits

    def _had_room(self, path: Path) -> bool:
        """Whether a file that was just written here fits; else it is to be deleted."""
        if math.isinf(self.max_bytes):
            return True
        with self._lock:
            size = path.stat().st_size if path.is_file() else 0
            counted = self._count()
            self._used += 0 if counted else size
            fits = self._used <= self.max_bytes
            self._used -= 0 if fits else size
            return fits

    def _count(self) -> bool:
        """Count all files where that is some seconds ago; returns whether they were counted."""
        if time.monotonic() - self._measured <= COUNTED_SECONDS:
            return False
        self._used, self._measured = _size(self.root.parent), time.monotonic()
        return True

    def adopt(self, checked: Checked, token: str) -> StoredFile:
        """Take a chosen file into a conversation under a generated name: another person may have sent the same one. What lies here already
        is linked, which takes no time; an upload is then to be discarded."""
        name = f"{secrets.token_hex(8)}{checked.suffix}"
        target = self.folder(token) / name
        ours = checked.path.is_relative_to(self.root.parent)  # a link to another file would share its time and its changes
        if not (ours and _linked(checked.path, target)):
            shutil.copyfile(checked.path, target)
        os.utime(target)  # its time begins now
        info = {"summary": checked.summary, "note": checked.note} | ({} if checked.playable else {"playable": False})
        return StoredFile(checked.modality, token, name, checked.label[:120], info)

    def discard_upload(self, path: Path) -> None:
        """Delete an upload that is not needed any more; any other file stays."""
        if self._is_upload(path):
            path.unlink(missing_ok=True)
            _remove_empty(path.parent)

    def _is_upload(self, path: Path) -> bool:
        """Gradio puts uploads beside our root, each into a folder of its content's hash."""
        return path.parent.parent == self.root.parent and UPLOAD_FOLDER.fullmatch(path.parent.name) is not None

    def enter(self, media: Media) -> StoredFile:
        """A made medium, written by the engine into a conversation's folder. Raises MediaTooLarge where there is no room for it: then it is
        deleted."""
        settings = media.info.get("settings")  # what the decoder was set to lies in a dict of its own
        info = {**(settings if isinstance(settings, dict) else {}), **media.info}
        file = StoredFile(media.modality, media.path.parent.name, media.path.name, "", plain(info))
        if file.folder in self._discarded:  # the conversation was deleted while this was made
            self.delete(file)
        elif not self._had_room(media.path):
            self.delete(file)
            raise MediaTooLarge(say("no_room"))
        return file

    def path(self, file: StoredFile) -> Path:
        return self.root / file.folder / file.name

    def has(self, file: StoredFile) -> bool:
        return self.path(file).is_file()

    def copy_path(self, file: StoredFile) -> Path:
        """Where a copy of a file lies that browsers show, if there is one."""
        path = self.path(file)
        return path.with_name(f"{path.stem}{COPY}{COPY_SUFFIXES[file.modality]}")

    def delete(self, file: StoredFile) -> None:
        path = self.path(file)
        path.unlink(missing_ok=True)
        self.copy_path(file).unlink(missing_ok=True)
        _remove_empty(path.parent)

    def discard(self, token: str, *, keep: set[str]) -> None:
        """Delete all that lies in a deleted conversation's folder, also what was cut from it or is still being written, but `keep`."""
        while len(self._discarded) >= 10_000:
            self._discarded.pop(next(iter(self._discarded)))
        self._discarded[token] = None
        folder = self.root / token
        kept = {Path(name).stem for name in keep}
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in keep and not (path.stem.endswith(COPY) and path.stem.removesuffix(COPY) in kept):
                path.unlink(missing_ok=True)
        _remove_empty(folder)

    def sweep(self, *, within: Path | None = None, now: float | None = None) -> int:
        """Delete what is older than the set time, here or in a larger folder; returns how many files went."""
        root = within or self.root
        oldest = (time.time() if now is None else now) - self.keep_seconds
        gone = 0
        for folder, _, names in os.walk(root, topdown=False):  # what vanishes meanwhile is passed over
            for path in [Path(folder, name) for name in names]:
                try:
                    if path.stat().st_mtime < oldest:
                        path.unlink()
                        gone += 1
                except FileNotFoundError:
                    pass  # somebody else was faster
                except OSError as error:
                    logger.warning("%s could not be deleted: %s", path.name, error)
            try:
                if Path(folder) != root and os.stat(folder).st_mtime < oldest:
                    os.rmdir(folder)
            except OSError:
                pass  # not empty
        self.sweeps += gone > 0
        return gone


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False  # the disk has no links, or the file is gone
    return True


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except OSError:
                pass  # it is gone already
    return total


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # other files live there


def plain(info: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold of a medium's info or an answer's settings, and the page can show: words, numbers of a usual size, short lists."""
    return {str(key)[:80]: value for key, value in info.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, int | float):
        return -(2.0**64) <= value <= 2.0**64  # neither infinite nor NaN
    if isinstance(value, list | tuple):
        return len(value) <= 20 and all(isinstance(one, str) and _is_plain(one) for one in value)
    return value is None or (isinstance(value, str) and len(value) <= 500)
