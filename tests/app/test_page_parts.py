"""Files, library, archive, jobs, rendering: everything behind the page that needs no browser."""

import contextvars
import json
import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from string import Formatter

import gradio as gr
import pytest

from app.actions import chips, choices_from
from app.archive import export_zip, import_zip
from app.controls import controls
from app.conversation import Answer, Conversation, Turn, to_json
from app.files import FileStore, check, nameless
from app.i18n import TEXTS, say
from app.jobs import Desk, Job
from app.library import Library
from app.loading import Loader
from app.render import Renderer, progress
from app.routing_view import routing_panel
from app.settings import Choices, Settings, read_settings, recalled
from nextgpt_core.config import SamplingConfig, load_preset
from nextgpt_core.errors import CheckpointError, ConfigError, SettingsError
from nextgpt_core.messages import TurnDone, TurnSettings
from tests.app.fake_engine import FakeEngine

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


@pytest.fixture()
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "kept")


@pytest.fixture()
def desk(store: FileStore) -> Desk:
    engine = FakeEngine(word_seconds=0.001, step_seconds=0.002)
    return Desk(lambda: engine, store)


def ask(desk: Desk, text: str, conversation: Conversation | None = None, settings: TurnSettings | None = None) -> Job:
    conversation = conversation or Conversation()
    conversation.turns.append(Turn(text))
    job = desk.submit(conversation, settings or TurnSettings())
    assert job is not None
    return job


def wait(job: Job, seconds: float = 120.0) -> Job:
    end = time.monotonic() + seconds
    while not job.answer.finished and time.monotonic() < end:
        time.sleep(0.01)
    assert job.answer.finished
    return job


# settings


def test_limits_come_from_the_environment_and_are_checked() -> None:
    assert read_settings({}).max_files == 20
    assert read_settings({"NEXTGPT_MAX_FILES": "3", "NEXTGPT_KEEP_HOURS": "0.5"}) == Settings(max_files=3, keep_hours=0.5)
    with pytest.raises(ConfigError, match="NEXTGPT_MAX_FILES must be a number, not 'many'"):
        read_settings({"NEXTGPT_MAX_FILES": "many"})
    with pytest.raises(ConfigError, match="NEXTGPT_MAX_TEXT must be greater than 0"):
        read_settings({"NEXTGPT_MAX_TEXT": "0"})


def test_the_sliders_begin_at_the_presets_sampling() -> None:
    with gr.Blocks():
        parts = controls(gr.I18n(), None, load_preset("7b").sampling)
    assert [parts[name].value for name in ("temperature", "top_p", "max_new_tokens")] == [0.4, 1.0, 246]
    assert load_preset("nano").sampling == SamplingConfig(temperature=0.0, top_p=0.9, max_new_tokens=200)
    assert (246 - parts["max_new_tokens"].minimum) % parts["max_new_tokens"].step == 0  # a slider rounds to its steps


def test_choices_become_the_cores_settings() -> None:
    settings = choices_from({"answer": "video", "quality": "fast", "forbid": ["sound"], "seed": 7, "lock": True}).turn_settings()
    assert settings.answer_with == {"text", "video"} and settings.forbid == {"audio"}
    assert settings.steps == 8 and settings.seed == 7 and settings.guidance is None
    assert choices_from({"quality": "fast", "steps": 33}).steps == 33
    assert choices_from({"seed": 7, "lock": False}).seed is None
    untouched, greedy = (
        choices_from({}).turn_settings(),
        choices_from({"temperature": 0, "top_p": 1.0, "max_new_tokens": 246}).turn_settings(),
    )
    assert (untouched.temperature, untouched.top_p, untouched.max_new_tokens) == (None, None, None)  # the preset's
    assert (greedy.temperature, greedy.top_p, greedy.max_new_tokens) == (0, 1.0, 246)
    assert choices_from({"answer": "text"}).turn_settings().answer_with == {"text"}
    with pytest.raises(SettingsError):
        Choices(answer="video", forbid=("video",)).turn_settings()


def test_only_sensible_settings_are_recalled_from_a_file() -> None:
    told = {"seed": 7, "settings": {"steps": 20, "guidance": 3.5, "seconds": 2.0}}
    assert recalled(told) == {"seed": 7, "steps": 20, "guidance": 3.5}
    for forged in ({"steps": 10**9, "guidance": float("nan")}, {"steps": True, "guidance": "5"}, {"steps": -1}, {"steps": 2.5}, "all"):
        assert recalled({"seed": 7, "settings": forged}) == {"seed": 7}
    for seed in (-1, 2**60, True, "7", None):
        assert recalled({**told, "seed": seed}) == {}


# files


def test_chosen_files_are_described_or_refused_with_a_sentence(tmp_path: Path) -> None:
    good = check(EXAMPLES / "sound.wav")
    assert (good.modality, good.summary, good.problem) == ("audio", "2.6 s", "")
    bad = tmp_path / "<b>x.png"
    bad.write_bytes(b"MZ")
    html = chips([good, check(bad)], "en")
    assert "sound.wav: 2.6 s" in html and "problem" in html and "<b>x" not in html


def test_adopted_files_get_generated_names_and_old_ones_are_swept(store: FileStore) -> None:
    file = store.adopt(check(EXAMPLES / "video.mp4"), "c" * 32)
    assert file.label == "video.mp4" and "video" not in file.name and file.name.endswith(".mp4")
    assert store.sweep() == 0 and store.has(file)
    assert store.sweep(now=time.time() + 25 * 3600) == 1
    assert not store.has(file)
    with pytest.raises(ValueError):
        store.folder("../" + "c" * 29)


def test_the_original_of_an_adopted_file_is_not_touched(store: FileStore) -> None:
    before = os.stat(EXAMPLES / "picture.png").st_mtime
    store.adopt(check(EXAMPLES / "picture.png"), "d" * 32)
    assert (EXAMPLES / "picture.png").is_file() and os.stat(EXAMPLES / "picture.png").st_mtime == before


# library


def test_two_tabs_share_a_person_and_a_restart_reads_the_browser(store: FileStore) -> None:
    library = Library(store)
    person = library.open(None)
    conversation = library.start(person)
    conversation.turns.append(Turn("hello"))
    conversation.turns[0].answer.status = "done"
    saved = json.loads(json.dumps(library.save(person, current=conversation.id)))
    assert library.open(saved) is person
    restarted = Library(store).open(saved)
    assert restarted.key == person.key and [to_json(one) for one in restarted.conversations] == saved["conversations"]
    saved["conversations"].append({"id": "broken"})
    assert len(Library(store).open(saved).conversations) == 1
    for rubbish in ("text", 5, {"key": "../../x"}, {"key": "a" * 32, "conversations": 3}):
        assert Library(store).open(rubbish).conversations == []


def test_deleting_keeps_files_that_a_branch_shows(store: FileStore) -> None:
    library = Library(store)
    person = library.open(None)
    conversation = library.start(person)
    shared = store.adopt(check(EXAMPLES / "picture.png"), conversation.id)
    conversation.turns.append(Turn("look", [shared]))
    library.branch(person, conversation, "before the edit")
    library.delete(person, conversation)
    assert store.has(shared) and len(person.conversations) == 1
    library.delete(person, person.conversations[0])
    assert not store.has(shared)


def test_the_oldest_conversation_makes_room(store: FileStore) -> None:
    library = Library(store, max_conversations=3)
    person = library.open(None)
    for number in range(5):
        turn = Turn(str(number))
        turn.answer.status = "done"
        library.start(person).turns.append(turn)
    assert len(person.listed()) == 3 and "0" not in [one.title for one in person.listed()]


def test_a_browser_is_given_no_more_than_it_can_keep(store: FileStore) -> None:
    library = Library(store)
    person = library.open(None)
    for _ in range(4):
        turn = Turn("x" * 700_000)
        turn.answer.status = "done"
        library.start(person).turns.append(turn)
    assert len(library.save(person, current="")["conversations"]) == 2 and len(person.listed()) == 4


def test_the_rate_limit_is_per_minute(store: FileStore) -> None:
    library = Library(store)
    person = library.open(None)
    assert [library.allow(person, 2, clock=lambda: 100.0) for _ in range(3)] == [True, True, False]
    assert library.allow(person, 2, clock=lambda: 161.0)


# archive


def test_a_conversation_survives_export_and_import(store: FileStore, desk: Desk) -> None:
    conversation = Conversation()
    conversation.turns.append(Turn("earlier", [store.adopt(check(EXAMPLES / "picture.png"), conversation.id)]))
    conversation.turns[0].answer.status = "done"
    wait(ask(desk, "a video and a sound", conversation))
    path = export_zip(conversation, store)
    brought = import_zip(path, store, "b" * 32, Settings())
    assert brought.id != conversation.id and len(brought.files()) == 3
    for old, new in zip(conversation.files(), brought.files(), strict=True):
        assert store.path(old).read_bytes() == store.path(new).read_bytes() and old.name != new.name


def test_a_program_dressed_as_a_picture_is_not_imported(store: FileStore, tmp_path: Path) -> None:
    conversation = Conversation()
    conversation.turns.append(Turn("look", [store.adopt(check(EXAMPLES / "picture.png"), conversation.id)]))
    store.path(conversation.turns[0].files[0]).unlink()
    store.path(conversation.turns[0].files[0]).write_bytes(b"MZ evil")
    brought = import_zip(export_zip(conversation, store), store, "b" * 32, Settings())
    assert not store.has(brought.turns[0].files[0])


# jobs


def test_turns_are_made_in_order_and_say_who_is_ahead(store: FileStore) -> None:
    engine, hold = FakeEngine(word_seconds=0, step_seconds=0), threading.Event()

    def held() -> FakeEngine:
        hold.wait(120)
        return engine

    desk = Desk(held, store, max_waiting=2)
    jobs = [ask(desk, f"number {number}") for number in range(3)]
    assert [desk.ahead(job) for job in jobs] == [0, 1, 2]
    conversation = Conversation(turns=[Turn("too many")])
    assert desk.submit(conversation, TurnSettings()) is None
    hold.set()
    for job in jobs:
        wait(job)
    assert [messages[-1].text for messages, _ in engine.turns] == ["number 0", "number 1", "number 2"]


def test_stop_acts_while_waiting_and_while_running(store: FileStore) -> None:
    desk = Desk(lambda: FakeEngine(word_seconds=0.02, step_seconds=0.02), store)
    running, waiting = ask(desk, "a long story"), ask(desk, "hello")
    while not running.answer.text:
        time.sleep(0.01)
    assert desk.stop(waiting.conversation.id) and waiting.answer.status == "cancelled"
    assert desk.stop(running.conversation.id)
    assert wait(running).answer.status == "cancelled" and running.answer.text
    assert not desk.stop(running.conversation.id)


def test_a_stop_between_the_look_and_the_start_leaves_nothing_running(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(lambda: FakeEngine(word_seconds=0), store)
    stopping: list[threading.Thread] = []
    finished = Answer.finished.fget
    assert finished is not None

    def looked(answer: Answer) -> bool:
        """The worker is held up right after it looked, while somebody else stops the turn."""
        found = bool(finished(answer))
        if threading.current_thread().name == "answers" and not stopping:
            stopping.append(threading.Thread(target=desk.stop, args=(conversation.id,)))
            stopping[0].start()
            stopping[0].join(0.3)
        return found

    monkeypatch.setattr(Answer, "finished", property(looked))
    conversation = Conversation(turns=[Turn("please crash")])
    desk.submit(conversation, TurnSettings())
    end = time.monotonic() + 120
    while (desk.job(conversation.id) or not stopping) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert not conversation.busy and conversation.turns[0].answer.status in ("cancelled", "failed")


def test_a_stopped_job_does_not_touch_the_turn_that_follows_it(store: FileStore) -> None:
    hold, engine = threading.Event(), FakeEngine(word_seconds=0, step_seconds=0)

    def held() -> FakeEngine:
        hold.wait(120)
        return engine

    desk = Desk(held, store)
    first = ask(desk, "first")
    time.sleep(0.05)
    desk.stop(first.conversation.id)
    second = ask(desk, "second", first.conversation)
    hold.set()
    assert wait(second).answer.status == "done" and first.answer.status == "cancelled"
    assert [messages[-1].text for messages, _ in engine.turns] == ["second"]


def test_failures_end_the_turn_not_the_desk(desk: Desk, store: FileStore) -> None:
    assert wait(ask(desk, "please crash")).answer.error == "The engine fell over on purpose."
    assert wait(ask(desk, "hello")).answer.status == "done"

    class Broken(FakeEngine):
        def turn(self, *arguments: object, **more: object):  # type: ignore[no-untyped-def, override]
            raise ZeroDivisionError

    broken = Desk(Broken, store)
    assert "see the log" in wait(ask(broken, "x")).answer.error


def test_who_sees_an_answer_finished_sees_how_it_ended(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may look at any moment, and keeps how a finished answer looks."""
    seen: list[tuple[str, str, bool]] = []

    def set_and_look(answer: Answer, name: str, value: object) -> None:
        object.__setattr__(answer, name, value)
        if name == "status" and answer.finished:
            seen.append((answer.status, answer.error, answer.cut))

    class Cut(FakeEngine):
        def turn(self, *arguments: object, **more: object):  # type: ignore[no-untyped-def, override]
            for event in super().turn(*arguments, **more):  # type: ignore[arg-type]
                yield replace(event, finish_reason="length") if isinstance(event, TurnDone) else event

    monkeypatch.setattr(Answer, "__setattr__", set_and_look)
    desk = Desk(lambda: Cut(word_seconds=0), store)
    wait(ask(desk, "please crash"))
    wait(ask(desk, "hello"))
    assert seen == [("failed", "The engine fell over on purpose.", False), ("done", "", True)]


def test_a_turn_runs_in_the_context_of_who_asked_for_it(store: FileStore) -> None:
    """ZeroGPU tells by a context variable of the request whose share of the GPU a turn takes."""
    visitor: contextvars.ContextVar[str] = contextvars.ContextVar("visitor")
    seen: list[str] = []

    class Asking(FakeEngine):
        def turn(self, *arguments: object, **more: object):  # type: ignore[no-untyped-def, override]
            seen.append(visitor.get())
            return super().turn(*arguments, **more)  # type: ignore[arg-type]

    desk = Desk(lambda: Asking(word_seconds=0, step_seconds=0), store)
    for name in ("one", "other"):
        visitor.set(name)
        wait(ask(desk, "hello"))
    assert seen == ["one", "other"]


def test_a_model_that_cannot_be_loaded_says_why(store: FileStore) -> None:
    def load() -> FakeEngine:
        raise CheckpointError("weights are missing")

    loader = Loader(load, name="nano").start()
    job = wait(ask(Desk(loader.engine, store), "hello"))
    assert "nano could not be loaded: weights are missing" in job.answer.error and loader.state == "failed"


# rendering


@pytest.fixture()
def renderer(store: FileStore) -> Renderer:
    return Renderer(store)


def test_two_messages_per_turn_with_media_by_path(renderer: Renderer, desk: Desk, store: FileStore) -> None:
    job = wait(ask(desk, "a picture, a sound and a video"))
    messages = renderer.render(job.conversation, "en")
    assert [message["role"] for message in messages] == ["user", "assistant"]
    files = [part["value"] for part in messages[1]["content"] if part.get("component") in ("image", "audio", "video")]
    assert [file["mime_type"].split("/")[0] for file in files] == ["image", "audio", "video"]
    assert all(file["url"].startswith("gradio_api/file=/") for file in files)
    assert all(Path(file["path"]).is_file() for file in files)
    assert renderer.render(job.conversation, "en")[1] is messages[1]
    for file in job.conversation.files():
        store.delete(file)
    job.conversation.turns[0].rendered = None
    assert "This picture was deleted" in str(renderer.render(job.conversation, "en"))


def test_words_of_the_model_and_labels_of_files_are_escaped_in_our_own_html(renderer: Renderer) -> None:
    conversation = Conversation(turns=[Turn("x")])
    answer = conversation.turns[0].answer
    answer.status, answer.error = "failed", "<script>alert(1)</script>"
    assert "&lt;script&gt;" in str(renderer.render(conversation, "en"))
    answer.seconds = {"<i>": 1.0}
    assert "<i>" not in routing_panel(conversation.turns[0], "en").replace('<i style="', "")


def test_progress_tells_steps_and_the_remaining_time(desk: Desk) -> None:
    job = wait(ask(desk, "a picture"))
    piece = next(piece for piece in job.answer.pieces if piece.kind == "media")
    piece.step, piece.steps, piece.started = 5, 20, time.monotonic() - 2.0
    html = progress(piece, "en")
    assert "Making a picture · step 5 of 20 · about 6 s left" in html and 'value="5"' in html


def test_both_languages_have_every_sentence_with_the_same_places() -> None:
    for key, (english, chinese) in TEXTS.items():
        places = [sorted(part[1] for part in Formatter().parse(text) if part[1]) for text in (english, chinese)]
        assert english and chinese and places[0] == places[1], key
    assert say("ahead", "zh", count=2) == "前面还有 2 个"


def test_rendering_a_long_conversation_costs_no_more_per_update(renderer: Renderer, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = Conversation()
    for _ in range(3):
        wait(ask(desk, "a picture, a sound and a video", conversation))
    conversation.turns.append(Turn("and now"))
    conversation.turns[-1].answer.status = "running"
    renderer.render(conversation, "en")
    whole, rendered = Renderer._turn, []
    monkeypatch.setattr(Renderer, "_turn", lambda self, turn, *rest, **named: rendered.append(turn) or whole(self, turn, *rest, **named))
    for _ in range(3):
        renderer.render(conversation, "en")
    assert rendered == 3 * [conversation.turns[-1]]


@pytest.mark.parametrize("label", ["../../etc/passwd", "C:\\pictures\\me.PNG", "x" * 500 + ".png", "a.b/c.sh;rm", "", "holiday.png "])
def test_the_name_of_an_upload_never_reaches_a_path(label: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}(\.[a-z0-9]{2,4})?", nameless(label))


def test_an_upload_is_called_by_the_persons_own_name(tmp_path: Path) -> None:
    program = tmp_path / nameless("my holiday.png")
    program.write_bytes(b"MZ" * 100)
    looked = check(program)
    assert looked.label == "my holiday.png" and looked.problem.startswith("my holiday.png is not a picture")
    assert program.name not in looked.problem
