"""A conversation with its media as one zip file, and back."""

import json
import lzma
import secrets
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.conversation import Conversation, from_json, to_json
from app.files import Checked, FileStore, StoredFile, check
from app.i18n import say
from app.settings import Settings
from nextgpt_core.errors import MediaError, MediaTooLarge, UnsupportedMedia

STORY = "conversation.json"
MAX_MEMBERS = 2000
MAX_STORY_BYTES = 20 * 2**20
READING_SECONDS = 120.0  # in which the files of one are looked at
# What a damaged or hostile archive raises somewhere in zipfile, its decompressors, json or our own reading.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, RuntimeError),
    *(ValueError, LookupError, TypeError, ArithmeticError),
)


def export_zip(conversation: Conversation, store: FileStore) -> Path:
    """Write conversation.json and media/… into a zip in the conversation's own folder, in place of an earlier one; files that are gone
    are left out."""
    folder = store.folder(conversation.id)
    for earlier in folder.glob("*.zip"):
        earlier.unlink(missing_ok=True)
    path = folder / f"{secrets.token_hex(8)}.zip"
    story = to_json(conversation)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in {(file.folder, file.name): file for file in conversation.files()}.values():
            if store.has(file):
                archive.write(store.path(file), f"media/{file.folder}-{file.name}")
        archive.writestr(STORY, json.dumps(story, ensure_ascii=False, indent=1))
    return path


def import_zip(path: Path, store: FileStore, token: str, settings: Settings) -> Conversation:
    """Read such a file as a new conversation called `token`. Nothing in it names a place on disk: folder and names are generated here,
    every file is looked at like an upload. Raises UnsupportedMedia or MediaTooLarge, and then leaves nothing behind."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            conversation = _story(archive, members, settings)
            conversation.id, conversation.updated = token, time.time()
            if not store.has_room(sum(info.file_size for info in members.values())):
                raise MediaTooLarge(say("no_room"))
            take = _taker(archive, members, token, store)
            for turn in conversation.turns:
                turn.files = [take(file) for file in turn.files]
                for piece in (piece for answer in turn.versions for piece in answer.pieces):
                    piece.file = piece.file and take(piece.file)
            return conversation
    except (MediaError, *DAMAGED) as error:
        store.discard(token, keep=set())
        if isinstance(error, MediaError):
            raise
        raise UnsupportedMedia("This is not an exported conversation or it is damaged; choose another zip file.") from error


def _story(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], settings: Settings) -> Conversation:
    """The conversation in it, its media not yet unpacked, within the limits that hold for one that was written here."""
    if len(members) > MAX_MEMBERS or sum(info.file_size for info in members.values()) > settings.max_import_mb * 2**20:
        raise MediaTooLarge(f"This conversation file is too large; at most {settings.max_import_mb} MB can be imported.")
    if STORY not in members or members[STORY].file_size > MAX_STORY_BYTES:
        raise UnsupportedMedia("This is not an exported conversation; choose a zip file that this page made.")
    conversation = from_json(json.loads(archive.read(STORY)))
    if len(conversation.turns) > settings.max_turns:
        raise MediaTooLarge(f"This conversation has {len(conversation.turns)} turns; at most {settings.max_turns} can be imported.")
    answers = max((len(turn.versions) for turn in conversation.turns), default=0)
    if answers > settings.max_versions:
        raise MediaTooLarge(f"A message in this conversation has {answers} answers; at most {settings.max_versions} can be imported.")
    if any(len(turn.text) > settings.max_text for turn in conversation.turns):
        raise MediaTooLarge(f"A message in this conversation is too long; at most {settings.max_text} characters can be imported.")
    if len(conversation.files()) > MAX_MEMBERS:
        raise MediaTooLarge(f"This conversation shows too many files; at most {MAX_MEMBERS} can be imported.")
    return conversation


def _taker(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], token: str, store: FileStore
) -> Callable[[StoredFile], StoredFile]:
    """A function that unpacks a file under a generated name, once, however often it is shown. A missing or wrong one becomes a file that
    is gone."""
    unpacked: dict[str, Checked] = {}  # by member
    end = time.monotonic() + READING_SECONDS

    def take(file: StoredFile) -> StoredFile:
        member, name = f"media/{file.folder}-{file.name}", secrets.token_hex(8)
        if member in members and member not in unpacked:
            if time.monotonic() > end:
                raise MediaTooLarge("The files of this conversation take too long to read; please import a smaller one.")
            target = store.folder(token) / name
            with archive.open(members[member]) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            unpacked[member] = found = check(target)
            if found.modality == file.modality:  # called by what it is: a page named as a picture would be served as one
                target.rename(target.with_suffix(found.suffix))
            else:
                target.unlink()
        there = unpacked.get(member)
        if there is None or there.modality != file.modality:
            return replace(file, folder=token, name=f"{name}.gone")
        info = {**file.info, "playable": False} if not there.playable else {k: v for k, v in file.info.items() if k != "playable"}
        return replace(file, folder=token, name=f"{there.path.name}{there.suffix}", info=info)

    return take
