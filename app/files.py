"""The files of the page: random folders that nobody can guess, generated names, deletion after a set time."""

import logging
import re
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia
from nextgpt_core.messages import Media
from nextgpt_core.modalities import MODALITIES, sniff

logger = logging.getLogger(__name__)

FOLDER = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[0-9a-f]{4,32}(-[0-9]{1,3})?\.[a-z0-9]{2,4}|[a-z0-9_-]{1,40}\.[a-z0-9]{2,4}")
SHOWN = {  # the kind of file that a browser shows safely; anything else keeps no suffix of its own
    "image": {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif", ".tif", ".tiff"},
    "audio": {".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".weba", ".webm", ".aac"},
    "video": {".mp4", ".webm", ".mov", ".mkv", ".m4v", ".avi", ".gif", ".webp"},
}


_labels: dict[str, str] = {}  # a generated name of an upload -> what the person called the file; forgotten with the process


def nameless(label: str) -> str:
    """A generated name for an upload that a person calls `label`: nothing of it but a plain suffix reaches a path."""
    suffix = Path(label).suffix.lower()
    name = secrets.token_hex(8) + (suffix if re.fullmatch(r"\.[a-z0-9]{2,4}", suffix) else "")
    while len(_labels) >= 10_000:
        _labels.pop(next(iter(_labels)))
    _labels[name] = re.split(r"[/\\]", label)[-1][:120]
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
        return StoredFile(modality, folder, name, str(value["label"])[:120], dict(value["info"]))


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


def check(path: Path) -> Checked:
    """Look at a file that a person chose: what it is, how much of it will be used, or a sentence why not."""
    label = _labels.get(path.name, path.name)
    try:
        modality = sniff(path)
        facts = MODALITIES[modality].describe(path)
    except (UnsupportedMedia, MediaTooLarge) as error:
        return Checked(path, label, problem=str(error).replace(path.name, label))
    provenance = MODALITIES[modality].read_provenance(path)
    return Checked(path, label, modality, facts.get("summary") or "", facts.get("note") or "", provenance=provenance)


class FileStore:
    """Folders of files under one root, which the page's server serves only to those who know the whole name."""

    def __init__(self, root: Path, *, keep_hours: float = 24.0) -> None:
        self.root = root
        self.keep_seconds = keep_hours * 3600
        self.sweeps = 0  # how often a sweep found something to delete

    def folder(self, token: str) -> Path:
        """The folder of a conversation, made when first asked for."""
        if not FOLDER.fullmatch(token):
            raise ValueError("a folder's name is malformed")
        folder = self.root / token
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def adopt(self, checked: Checked, token: str) -> StoredFile:
        """Copy an uploaded file into a conversation under a generated name: another person may have sent the same one."""
        suffix = checked.path.suffix.lower()
        suffix = suffix if suffix in SHOWN[checked.modality] else MODALITIES[checked.modality].save_suffix
        name = f"{secrets.token_hex(8)}{suffix}"
        shutil.copyfile(checked.path, self.folder(token) / name)
        return StoredFile(checked.modality, token, name, checked.label[:120], {"summary": checked.summary, "note": checked.note})

    def enter(self, media: Media) -> StoredFile:
        """A made medium, written by the engine into a conversation's folder."""
        settings = media.info.get("settings")  # what the decoder was set to lies in a dict of its own
        info = {**(settings if isinstance(settings, dict) else {}), **media.info}
        return StoredFile(media.modality, media.path.parent.name, media.path.name, "", _plain(info))

    def path(self, file: StoredFile) -> Path:
        return self.root / file.folder / file.name

    def has(self, file: StoredFile) -> bool:
        return self.path(file).is_file()

    def delete(self, file: StoredFile) -> None:
        path = self.path(file)
        path.unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:
            pass  # other files live there

    def sweep(self, *, within: Path | None = None, now: float | None = None) -> int:
        """Delete what is older than the set time, here or in a larger folder; returns how many files went."""
        root = within or self.root
        oldest = (time.time() if now is None else now) - self.keep_seconds
        gone = 0
        for path in root.rglob("*"):
            try:
                if path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()
                    gone += 1
            except OSError as error:
                logger.warning("%s could not be deleted: %s", path.name, error)
        for path in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
            try:
                if path.stat().st_mtime < oldest:
                    path.rmdir()
            except OSError:
                pass  # not empty
        self.sweeps += gone > 0
        return gone


def _plain(info: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold of a medium's info."""
    return {str(key): value for key, value in info.items() if isinstance(value, str | int | float | bool | type(None))}
