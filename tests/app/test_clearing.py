"""What is deleted leaves nothing behind: made files, uploads, exports, what was cut from a conversation."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from app.actions import Tab
from app.archive import export_zip
from app.conversation import Answer, Conversation, Turn
from app.files import FileStore, check
from app.i18n import say
from app.library import Library
from app.render import Renderer
from app.settings import Choices
from nextgpt_core.messages import Media, MediaReady
from tests.app.fake_engine import FakeEngine
from tests.app.test_actions import PICTURE, actions_of, followed, send


@pytest.fixture()
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def uploaded(folder: Path, source: Path, letter: str = "a") -> Path:
    """A file where Gradio puts uploads."""
    path = folder / (letter * 64) / f"{letter * 16}{source.suffix}"
    path.parent.mkdir(parents=True)
    shutil.copyfile(source, path)
    return path


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def quick(kept: Path, **limits: Any) -> Any:
    return actions_of(kept, FakeEngine(word_seconds=0, step_seconds=0), **limits)


def test_deleting_leaves_nothing_of_what_was_sent_made_undone_or_exported(tmp_path: Path, kept: Path) -> None:
    actions, tab = quick(kept), Tab()
    send(actions, tab, "a picture and a video", (uploaded(tmp_path, PICTURE),))
    followed(actions, tab)
    send(actions, tab, "a sound")
    followed(actions, tab)
    assert actions.export(tab) and actions.export(tab)
    assert len(list(kept.rglob("*.zip"))) == 1
    before = len(files_in(kept))
    actions.undo(tab, 1)
    assert len(files_in(kept)) == before - 1, "the undone sound is gone at once"
    actions.undo(tab, 0)  # its picture lies in the message box now
    actions.delete(tab)
    assert files_in(tmp_path) == []


def test_an_undone_message_can_be_sent_again(tmp_path: Path, kept: Path) -> None:
    actions, tab = quick(kept), Tab()
    send(actions, tab, "look", (uploaded(tmp_path, PICTURE),))
    followed(actions, tab)
    box = actions.undo(tab, 0)["box"]["value"]
    asyncio.run(actions.send(tab, box, Choices()))
    assert tab.conversation is not None and actions.store.has(tab.conversation.turns[0].files[0])


def test_an_upload_is_moved_and_what_cannot_be_used_is_deleted(tmp_path: Path, kept: Path) -> None:
    program = tmp_path / "program.png"
    program.write_bytes(b"MZ" * 100)
    good, bad = uploaded(tmp_path, PICTURE), uploaded(tmp_path, program, "b")
    program.unlink()
    actions, tab, begun = quick(kept), Tab(), time.time() - 1  # a file system's clock may be coarse
    send(actions, tab, "look", (good, good, bad))
    assert tab.conversation is not None
    file, again = tab.conversation.turns[0].files
    assert set(files_in(tmp_path)) == {actions.store.path(file), actions.store.path(again)}
    assert actions.store.path(file).read_bytes() == PICTURE.read_bytes()
    assert actions.store.path(file).stat().st_mtime > begun
    assert "not there any more" in check(good).problem


def test_an_upload_that_was_moved_is_not_remembered_as_there(tmp_path: Path, kept: Path) -> None:
    picture, actions, tab = uploaded(tmp_path, PICTURE), quick(kept), Tab()
    send(actions, tab, "look", (picture,))
    followed(actions, tab)
    assert "not there any more" in send(actions, tab, "", (picture,))["chosen"]


def test_an_imported_file_is_deleted_in_any_case(tmp_path: Path, kept: Path) -> None:
    actions, tab = quick(kept), Tab()
    send(actions, tab, "hello")
    followed(actions, tab)
    assert tab.conversation is not None
    good = uploaded(tmp_path, export_zip(tab.conversation, actions.store))
    bad = uploaded(tmp_path, PICTURE, "b")
    for path in (good, bad):
        actions.bring(tab, str(path))
        assert not path.exists()


def test_what_is_still_made_for_a_deleted_conversation_is_deleted_too(kept: Path) -> None:
    store = FileStore(kept)
    library = Library(store)
    person = library.open(None)
    conversation = library.start(person)
    conversation.turns.append(Turn("a picture"))
    late = store.folder(conversation.id) / "abcd.png"
    library.delete(person, conversation)
    late.parent.mkdir()
    late.write_bytes(b"x")
    store.enter(Media("image", late, {}))
    assert not late.exists()


def test_a_medium_for_which_there_is_no_room_is_deleted_and_the_answer_says_so(kept: Path) -> None:
    store = FileStore(kept, max_bytes=1000)
    folder, answer = store.folder("a" * 32), Answer(status="running")
    for index, size in enumerate((600, 600, 300)):
        made = folder / f"abcd-{index}.png"
        made.write_bytes(b"x" * size)
        answer.add(MediaReady(index, Media("image", made, {})), store)
    assert [path.name for path in sorted(folder.iterdir())] == ["abcd-0.png", "abcd-2.png"]
    assert [bool(piece.file) for piece in answer.pieces] == [True, False, True]
    assert answer.pieces[1].error == say("no_room")
    conversation = Conversation(turns=[Turn("pictures", versions=[answer])])
    answer.status = "done"
    assert say("no_room") in str(Renderer(store).render(conversation, "en"))
    assert say("no_room", "zh") in str(Renderer(store).render(conversation, "zh"))
