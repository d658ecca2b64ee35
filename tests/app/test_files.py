"""Files on the page: told by their content, bounded together, kept by what they are, shown whatever the browser knows."""

import asyncio
import json
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import app.files
from app.actions import Actions
from app.archive import export_zip, import_zip
from app.conversation import Conversation, Turn
from app.copies import Copies
from app.files import FileStore, StoredFile, check, check_all, checked, nameless
from app.jobs import Desk
from app.library import Library
from app.loading import Loader
from app.render import Renderer
from app.settings import Choices, Settings
from app.tab import Tab
from nextgpt_core.messages import Media
from nextgpt_core.modalities.reading import ReadersBusy
from nextgpt_core.prompt import file_key
from tests.app.fake_engine import FakeEngine
from tests.modalities.files import compressed_sound, film, picture
from tests.modalities.seeds import seed

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
UNSHOWN = {"a.mov": "video", "a.avi": "video", "a.wmv": "video", "a.tif": "image", "a.aiff": "audio", "a.caf": "audio", "a.ac3": "audio"}


@pytest.fixture()
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "page" / "kept")


def until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def components(messages: list[dict]) -> list[dict]:
    return [one for message in messages for one in message["content"] if one.get("component") in ("video", "audio", "image")]


# what a file is


def test_a_file_that_was_replaced_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture(path, size=(48, 32), compress_level=0)
    before = path.stat()
    assert checked(path).summary == "48 × 32"
    keys = {file_key(Media("image", path))}
    other = picture(tmp_path / "b.png", size=(32, 48), compress_level=0)
    path.write_bytes(other.read_bytes().ljust(before.st_size, b"\0")[: before.st_size])  # in place: the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # and time
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    assert checked(path).summary == "32 × 48"
    keys.add(file_key(Media("image", path)))
    assert len(keys) == 2


def test_a_link_to_a_file_changes_nothing_about_it(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    key = file_key(Media("image", path))
    os.link(path, tmp_path / "b.png")
    (tmp_path / "b.png").unlink()
    os.utime(path)
    assert file_key(Media("image", path)) == key  # what was perceived need not be perceived again


def test_what_passes_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "a.png")

    def busy(*_: object, **__: object) -> None:
        raise ReadersBusy("a.png was not read, as many other files are being read; please try again in a minute.")

    with monkeypatch.context() as now:
        now.setattr(app.files, "look", busy)
        assert "try again in a minute" in checked(path).problem
    assert checked(path).problem == ""


def test_the_pictures_of_a_message_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.files, "MESSAGE_PIXELS", 4 * 48 * 32)
    paths = [picture(tmp_path / f"{number}.png") for number in range(6)]
    looked = check_all(paths)
    assert [bool(one.problem) for one in looked] == [False] * 4 + [True] * 2
    assert looked[4].problem.startswith("4.png is one too many: the pictures of a message have") and "; please" in looked[4].problem


def test_and_so_is_the_time_that_its_files_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.files, "MESSAGE_SECONDS", -1.0)
    (looked,) = check_all([picture(tmp_path / "a.png")])
    assert looked.problem == "a.png was not read: the files before it took too long; please send it in a message of its own."


def test_a_persons_name_for_a_file_is_printable_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / nameless("half \ud83d of\nan emoji.png")
    path.write_bytes(b"MZ" * 100)
    assert check(path).problem.startswith("half ? of?an emoji.png is not a picture")


# how it is kept


def test_a_file_is_kept_under_what_it_is(tmp_path: Path, store: FileStore) -> None:
    def kept(path: Path) -> str:
        return Path(store.adopt(check(path), "a" * 32).name).suffix

    assert kept(compressed_sound(tmp_path / "voice.mp4", "aac")) == ".m4a"
    assert kept(compressed_sound(tmp_path / "voice2.mp4", "aac").rename(tmp_path / "voice.wav")) == ".m4a"
    assert kept(picture(tmp_path / "a.png").rename(tmp_path / "a.html")) == ".png"
    assert kept(film(tmp_path / "a.mp4").rename(tmp_path / "a.svg")) == ".mp4"


def test_a_sound_in_an_mp4_is_served_as_one(tmp_path: Path, store: FileStore) -> None:
    conversation = Conversation()
    voice = store.adopt(check(compressed_sound(tmp_path / "voice.mp4", "aac")), conversation.id)
    conversation.turns.append(Turn("listen", [voice]))
    conversation.turns[0].answer.status = "done"
    (shown,) = components(Renderer(store).render(conversation, "en"))
    assert shown["component"] == "audio" and shown["value"]["mime_type"] == "audio/mp4"


@pytest.mark.parametrize("suffix", [".html", ".svg", ".js", ".m3u8"])
def test_an_imported_file_is_called_by_what_it_is(tmp_path: Path, store: FileStore, suffix: str) -> None:
    conversation = Conversation()
    file = store.adopt(check(EXAMPLES / "picture.png"), conversation.id)
    conversation.turns.append(Turn("look", [file]))
    path = export_zip(conversation, store)
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(forged, "w") as sink:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".json"):
                content = content.replace(b".png", suffix.encode())
            sink.writestr(name.replace(".png", suffix), content)
    brought = import_zip(forged, store, "b" * 32, Settings())
    assert Path(brought.turns[0].files[0].name).suffix == ".png" and store.has(brought.turns[0].files[0])
    assert not [one for one in store.folder("b" * 32).iterdir() if one.suffix not in (".png", ".zip")]


# how it is shown


@pytest.mark.parametrize("name", UNSHOWN)
def test_what_a_browser_cannot_show_gets_a_copy_that_it_can(tmp_path: Path, store: FileStore, name: str) -> None:
    file = store.adopt(check(seed(tmp_path, name)), "a" * 32)
    assert file.modality == UNSHOWN[name] and file.info["playable"] is False
    assert StoredFile.from_json(json.loads(json.dumps(file.__dict__))).info["playable"] is False  # the browser hands it back
    conversation = Conversation(turns=[Turn("look", [file])])
    conversation.turns[0].answer.status = "done"
    renderer = Renderer(store)
    first = renderer.render(conversation, "en")
    assert not components(first) and f"{name} is being prepared for your browser" in str(first)
    until(lambda: not renderer.copies.making(file))
    (shown,) = components(renderer.render(conversation, "en"))
    copy = Path(shown["value"]["path"])
    assert shown["component"] == file.modality and shown["value"]["mime_type"].startswith(file.modality)
    assert check(copy).modality == file.modality and check(copy).playable
    assert f"{file.name}" in str(renderer.render(conversation, "en"))  # what was sent can be had, too
    store.delete(file)
    assert not copy.exists() and not store.path(file).exists()


def test_a_copy_stays_with_its_file(tmp_path: Path, store: FileStore) -> None:
    files = [store.adopt(check(seed(tmp_path, name)), "a" * 32) for name in ("a.tif", "a.jp2")]
    copies = Copies(store)
    for file in files:
        copies.of(file)
    until(lambda: not copies.making(*files))
    store.discard("a" * 32, keep={files[0].name})
    assert copies.of(files[0]) is not None and {one.name for one in store.folder("a" * 32).iterdir()} == {
        files[0].name,
        store.copy_path(files[0]).name,
    }


def test_what_cannot_be_converted_is_said_and_not_tried_again(tmp_path: Path, store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    file = store.adopt(check(seed(tmp_path, "a.tif")), "a" * 32)
    store.path(file).unlink()
    store.path(file).write_bytes(b"II*\0 damaged since")
    renderer = Renderer(store)
    conversation = Conversation(turns=[Turn("look", [file])])
    conversation.turns[0].answer.status = "done"
    renderer.render(conversation, "en")
    until(lambda: not renderer.copies.making(file))
    assert "a.tif was understood, but your browser cannot show it." in str(renderer.render(conversation, "en"))
    assert not renderer.copies.making(file) and renderer.copies.made == 1


def test_stop_ends_a_conversion(tmp_path: Path, store: FileStore) -> None:
    copies, stop = Copies(store), threading.Event()
    stop.set()
    file = store.adopt(check(seed(tmp_path, "a.avi")), "a" * 32)
    assert copies.of(file, stopped=stop.is_set) is None
    until(lambda: not copies.making(file))
    assert not store.copy_path(file).exists()


def test_no_room_means_no_copy(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "page" / "kept", max_bytes=10)
    file, copies = store.adopt(check(seed(tmp_path, "a.tif")), "a" * 32), Copies(store)
    copies.of(file)
    until(lambda: not copies.making(file))
    assert not store.copy_path(file).exists() and store.has(file)


@pytest.fixture()
def actions(store: FileStore) -> Iterator[Actions]:
    engine = FakeEngine(word_seconds=0, step_seconds=0)
    loader = Loader(lambda: engine, name="fake")
    yield Actions(Settings(), store, Library(store), Desk(lambda: engine, store), loader, Renderer(store))


def test_a_tab_is_shown_the_copy_once_it_is_there(tmp_path: Path, actions: Actions) -> None:
    async def turn() -> list[dict]:
        tab = Tab()
        actions.open(tab, None, "", None)
        await actions.send(tab, {"text": "look", "files": [str(seed(tmp_path, "a.avi"))]}, Choices())
        return [update async for update in actions.follow(tab)]

    updates = asyncio.run(turn())
    (shown,) = components(updates[-1]["chat"])
    assert shown["value"]["mime_type"] == "video/mp4"


def test_a_large_picture_in_a_message_is_looked_at_at_a_fraction(tmp_path: Path) -> None:
    Image.new("RGB", (7900, 7900), (9, 99, 200)).save(tmp_path / "large.jpg")
    assert check(tmp_path / "large.jpg").summary == "7900 × 7900"


# reading does not hold others up


def test_one_persons_files_are_read_while_anothers_turn_is_made(tmp_path: Path, store: FileStore) -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow:
        forgotten = 0

        def prepare(self, files, *, cancelled=None) -> None:
            reading.set()
            assert [one.modality for one in files] == ["image"] and go_on.wait(60)

        def forget(self, files) -> None:
            self.forgotten += 1

    reader, engine = Slow(), FakeEngine(word_seconds=0, step_seconds=0)
    desk = Desk(lambda: engine, store, reader=reader)
    first, second = Conversation(), Conversation()
    first.turns.append(Turn("look", [store.adopt(check(EXAMPLES / "picture.png"), first.id)]))
    slow = desk.submit(first, Choices().turn_settings())
    assert slow is not None and reading.wait(60)
    second.turns.append(Turn("hello"))
    quick = desk.submit(second, Choices().turn_settings())
    assert quick is not None
    until(lambda: quick.answer.finished)
    assert not slow.answer.finished and slow.answer.status == "waiting"
    go_on.set()
    until(lambda: slow.answer.finished)
    assert slow.answer.status == "done" and reader.forgotten == 2


def test_stop_reaches_files_that_are_read_ahead(tmp_path: Path, store: FileStore) -> None:
    stopped = threading.Event()

    class Patient:
        def prepare(self, files, *, cancelled=None) -> None:
            until(cancelled)
            stopped.set()

        def forget(self, files) -> None:
            pass

    desk, conversation = Desk(lambda: FakeEngine(word_seconds=0), store, reader=Patient()), Conversation()
    conversation.turns.append(Turn("look", [store.adopt(check(EXAMPLES / "picture.png"), conversation.id)]))
    job = desk.submit(conversation, Choices().turn_settings())
    assert job is not None and desk.stop(conversation.id)
    assert job.answer.status == "cancelled" and stopped.wait(60)
