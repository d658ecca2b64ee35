"""Conversation files that nobody should have made: refused with one clear sentence, nothing of them stays on disk."""

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.archive import export_zip, import_zip
from app.conversation import Answer, Conversation, Piece, Turn, to_json
from app.files import FileStore, StoredFile, check
from app.settings import Settings
from app.translate import translated
from nextgpt_core.errors import MediaError, MediaTooLarge, UnsupportedMedia
from tests.app.test_actions import PICTURE

TOKEN = "b" * 32
FILE = StoredFile("image", "a" * 32, "abcd.png")
MEMBER = f"media/{FILE.folder}-{FILE.name}"


@pytest.fixture()
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "kept")


def done(text: str = "", files: list[StoredFile] | None = None, versions: int = 1) -> Turn:
    return Turn(text, files or [], [Answer(status="done") for _ in range(versions)])


def packed(path: Path, story: Any, media: bytes = b"", how: int = zipfile.ZIP_DEFLATED) -> Path:
    """A conversation file; what is not text is written as JSON."""
    with zipfile.ZipFile(path, "w", how) as archive:
        if media:
            archive.writestr(MEMBER, media)
        archive.writestr("conversation.json", story if isinstance(story, str) else json.dumps(story))
    return path


def refused(path: Path, store: FileStore, error: type[MediaError], **limits: Any) -> str:
    with pytest.raises(error) as caught:
        import_zip(path, store, TOKEN, Settings(**limits))
    assert list(store.root.rglob("*")) == []
    assert translated(str(caught.value), "zh") != str(caught.value)
    return str(caught.value)


def test_what_is_shown_many_times_is_unpacked_once(store: FileStore, tmp_path: Path) -> None:
    conversation = Conversation(turns=[done("look", [FILE] * 50) for _ in range(20)])
    brought = import_zip(packed(tmp_path / "x.zip", to_json(conversation), PICTURE.read_bytes()), store, TOKEN, Settings())
    assert len(list(store.root.rglob("*.*"))) == 1 and len(brought.files()) == 1000
    assert all(store.has(file) for file in brought.files())


def test_a_file_that_is_also_called_something_else_is_there_as_what_it_is(store: FileStore, tmp_path: Path) -> None:
    conversation = Conversation(turns=[done("look", [FILE, StoredFile("audio", FILE.folder, FILE.name)])])
    brought = import_zip(packed(tmp_path / "x.zip", to_json(conversation), PICTURE.read_bytes()), store, TOKEN, Settings())
    assert [store.has(file) for file in brought.files()] == [True, False]


def test_media_of_every_version_come_along_and_none_point_elsewhere(store: FileStore, tmp_path: Path) -> None:
    conversation = Conversation(turns=[done("a picture")])
    for number in range(2):
        file = store.adopt(check(PICTURE), conversation.id)
        conversation.turns[0].answer.pieces.append(Piece("media", modality="image", file=file))
        conversation.turns[0].answer.status = "done"
        if number == 0:
            conversation.turns[0].again()
    brought = import_zip(export_zip(conversation, store), store, TOKEN, Settings())
    assert [file.folder for file in brought.files()] == [TOKEN, TOKEN]
    assert all(store.has(file) for file in brought.files() + conversation.files())


@pytest.mark.parametrize(
    ("limits", "turns", "sentence"),
    [
        ({"max_turns": 3}, [done("a")] * 4, "This conversation has 4 turns; at most 3 can be imported."),
        ({"max_text": 3}, [done("long")], "A message in this conversation is too long; at most 3 characters can be imported."),
        ({"max_versions": 2}, [done("a", versions=3)], "A message in this conversation has 3 answers; at most 2 can be imported."),
        ({}, [done("a", [FILE] * 2001)], "This conversation shows too many files; at most 2000 can be imported."),
    ],
)
def test_the_limits_of_a_conversation_hold_for_an_imported_one(
    store: FileStore, tmp_path: Path, limits: dict, turns: list[Turn], sentence: str
) -> None:
    path = packed(tmp_path / "x.zip", to_json(Conversation(turns=turns)))
    assert refused(path, store, MediaTooLarge, **limits) == sentence


def test_what_unpacks_to_too_much_is_refused(store: FileStore, tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", to_json(Conversation()), b"0" * 3_000_000)
    assert "at most 2 MB can be imported" in refused(path, store, MediaTooLarge, max_import_mb=2)


def test_no_zip_and_no_conversation(store: FileStore, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK not a zip")
    assert "not an exported conversation" in refused(path, store, UnsupportedMedia)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.txt", "x")
    assert "not an exported conversation" in refused(path, store, UnsupportedMedia)


@pytest.mark.parametrize("story", ["[" * 100_000, "Infinity", "[]", "1" * 5000, '{"turns": null}', '"\\ud800"'])
def test_odd_stories_are_refused(store: FileStore, tmp_path: Path, story: str) -> None:
    assert "not an exported conversation" in refused(packed(tmp_path / "x.zip", story), store, UnsupportedMedia)


def test_a_story_with_infinite_numbers_is_refused(store: FileStore, tmp_path: Path) -> None:
    story = to_json(Conversation(turns=[done("a")]))
    story["turns"][0]["shown"] = float("inf")
    assert "not an exported conversation" in refused(packed(tmp_path / "x.zip", story), store, UnsupportedMedia)


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_medium_leaves_nothing_behind(store: FileStore, tmp_path: Path, how: int) -> None:
    story, media = to_json(Conversation(turns=[done("a", [FILE])])), PICTURE.read_bytes()
    for place in range(20, 1500, 60):  # wherever it is hit, between the first member's head and its end
        path = packed(tmp_path / "x.zip", story, media, how)
        data = bytearray(path.read_bytes())
        start = data.index(MEMBER.encode()) + len(MEMBER) + place
        data[start : start + 40] = b"\xff" * 40
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert "damaged" in refused(path, store, UnsupportedMedia)


def test_nothing_is_imported_into_a_full_store(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "data" / "kept", max_bytes=1000)
    path = packed(tmp_path / "x.zip", to_json(Conversation(turns=[done("a", [FILE])])), PICTURE.read_bytes())
    assert "no room for more files" in refused(path, store, MediaTooLarge)
