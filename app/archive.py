"""A conversation with its media as one zip file, and back."""

import json
import re
import secrets
import shutil
import time
import zipfile
from pathlib import Path, PurePosixPath

from app.conversation import Conversation, from_json, to_json
from app.files import FileStore, StoredFile, check
from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia

STORY = "conversation.json"
MAX_MEMBERS = 2000
MAX_STORY_BYTES = 20 * 2**20


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


def import_zip(path: Path, store: FileStore, *, max_bytes: int) -> Conversation:
    """Read such a file as a new conversation. Nothing in it names a place on disk: folder and names are generated anew,
    every medium is looked at like an upload. Raises UnsupportedMedia or MediaTooLarge."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if len(members) > MAX_MEMBERS or sum(info.file_size for info in members.values()) > max_bytes:
                raise MediaTooLarge(f"This conversation file is too large; at most {max_bytes // 2**20} MB can be imported.")
            if STORY not in members or members[STORY].file_size > MAX_STORY_BYTES:
                raise UnsupportedMedia("This is not an exported conversation; choose a zip file that this page made.")
            conversation = from_json(json.loads(archive.read(STORY)))
            conversation.id, conversation.updated = secrets.token_hex(16), time.time()
            for turn in conversation.turns:
                turn.files = [_take(archive, members, file, conversation.id, store) for file in turn.files]
                for piece in turn.answer.pieces:
                    piece.file = piece.file and _take(archive, members, piece.file, conversation.id, store)
            return conversation
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise UnsupportedMedia("This is not an exported conversation or it is damaged; choose another zip file.") from error


def _take(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], file: StoredFile, token: str, store: FileStore
) -> StoredFile:
    """Unpack one medium under a generated name. A missing or wrong one becomes a file that is gone."""
    suffix = PurePosixPath(file.name).suffix
    renamed = StoredFile(file.modality, token, f"{secrets.token_hex(8)}{suffix}", file.label, file.info)
    info = members.get(f"media/{file.folder}-{file.name}")
    if info is None or not re.fullmatch(r"\.[a-z0-9]{2,4}", suffix):
        return renamed
    target = store.folder(token) / renamed.name
    with archive.open(info) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    if check(target).modality != file.modality:
        target.unlink()
    return renamed
