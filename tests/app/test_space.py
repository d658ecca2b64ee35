"""The Space's entry point: without a GPU, without `spaces`, and in the slots of the real `spaces` package."""

import json
import os
import re
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import launch
from nextgpt_core.messages import Message, TextDelta, TurnDone, TurnSettings
from tests.app.fake_engine import FakeEngine
from tests.app.zero_gpu import Scheduler
from tests.hub import Hub

ROOT = Path(__file__).parents[2]
needs_spaces = pytest.mark.skipif(find_spec("spaces") is None, reason="spaces is not installed (requirements-dev.txt)")


def test_it_imports_and_answers_without_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)
    sys.modules.pop("app_space", None)
    import app_space

    assert app_space.spaces is None and not app_space.ZERO_GPU
    engine = app_space.SlotEngine(FakeEngine(word_seconds=0, step_seconds=0))
    events = list(engine.turn([Message("user", ("hello",))], TurnSettings(), cancel=threading.Event(), out_dir=tmp_path))
    assert isinstance(events[0], TextDelta) and isinstance(events[-1], TurnDone)


def in_slots(tmp_path: Path, *messages: str, quota: bool = True) -> tuple[dict, Scheduler]:
    """What tests/app/zero_gpu.py prints, and the scheduler that it ran against."""
    scheduler = Scheduler()
    scheduler.quota = quota
    environment = {**os.environ, "SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": scheduler.url}
    command = [sys.executable, "-m", "tests.app.zero_gpu", str(tmp_path), *messages]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    scheduler.close()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), scheduler


@pytest.mark.slow
@needs_spaces
def test_turns_run_in_slots(tmp_path: Path) -> None:
    """Announced at launch; asked for by their length; events, an error's sentence and a cancel cross the border of the process."""
    found, scheduler = in_slots(tmp_path, "draw a picture", "crash", "an endless picture")
    assert found["zero_gpu"] and found["on_gpu"] == "cuda"
    made, failed, cancelled = found["turns"]
    assert made[-1] == "TurnDone" and "MediaReady" in made
    assert failed == ["GenerationError: The engine fell over on purpose."]
    assert "TurnDone" not in cancelled and len(cancelled) < len(made)
    assert [path for path in tmp_path.iterdir() if path.stat().st_size]
    paths = [path for path, _ in scheduler.calls]
    assert paths[0] == "/startup-report" and paths.count("/schedule") == 3
    assert {query["durationSeconds"][0] for path, query in scheduler.calls if path == "/schedule"} == {"60"}


@pytest.mark.slow
@needs_spaces
def test_no_slot_to_be_had_is_a_sentence(tmp_path: Path) -> None:
    found, _ = in_slots(tmp_path, "draw a picture", quota=False)
    (refused,) = found["turns"]
    assert len(refused) == 1 and refused[0].startswith("GenerationError: ") and "GPU" in refused[0]


def test_a_slot_is_as_long_as_the_request_needs() -> None:
    import app_space

    def seconds(**settings) -> int:
        return app_space.slot_seconds([Message("user", ("x",))], TurnSettings(**settings))

    text = seconds(answer_with=frozenset({"text"}))
    picture = seconds(answer_with=frozenset({"text", "image"}))
    video = seconds(answer_with=frozenset({"text", "video"}))
    assert 10 <= text < picture < video < app_space.LONGEST
    assert seconds() == seconds(answer_with=frozenset({"text", "image", "video", "audio"})) > video  # the model may choose one of each
    assert seconds(forbid=frozenset({"video", "audio"})) == picture
    assert seconds(forbid=frozenset(app_space.STEP_SECONDS)) == text
    assert seconds(steps=100) == app_space.LONGEST
    assert (
        seconds(answer_with=frozenset({"text", "video"}), frames=32) > video > seconds(answer_with=frozenset({"text", "video"}), frames=8)
    )
    assert seconds(answer_with=frozenset({"audio"}), seconds=10.0, steps=100) > seconds(answer_with=frozenset({"audio"}), steps=100)
    assert seconds(answer_with=frozenset({"text"}), max_new_tokens=20) < text
    assert seconds(answer_with=frozenset({"text", "video"}), steps=8) < video


def test_weights_that_are_not_bundled_are_fetched_to_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import app_space

    storage, checkpoints = tmp_path / "data", tmp_path / "checkpoints"
    storage.mkdir()
    source = {"repo": "someone/parts", "revision": "main", "licence": "free", "files": ["config.json"]}
    for name, extra in (("small", {}), ("large", {"sources.json": json.dumps({"imagebind": source})})):
        (checkpoints / name).mkdir(parents=True)
        for file, content in {"preset.json": (ROOT / "checkpoints" / "7b" / "preset.json").read_text(), **extra}.items():
            (checkpoints / name / file).write_text(content)
    monkeypatch.setattr(app_space, "STORAGE", storage)
    hub = Hub({"someone/parts": {"config.json": b"{}"}})
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert app_space.preset_with_weights(str(checkpoints / "small")) == str(checkpoints / "small")
    for _ in range(2):  # the second start finds everything there
        assert app_space.preset_with_weights(str(checkpoints / "large")) == str(storage / "large")
    hub.close()  # and a start while the hub is away uses what is there
    assert app_space.preset_with_weights(str(checkpoints / "large")) == str(storage / "large")
    assert (storage / "large" / "imagebind" / "config.json").read_bytes() == b"{}"
    assert [name for name, _ in hub.gets] == ["config.json"]


@pytest.mark.parametrize(("zero_gpu", "order"), [(True, ["load in MainThread", "page", "launch"]), (False, ["page", "launch"])])
def test_on_zero_gpu_the_model_is_loaded_before_the_launch(zero_gpu: bool, order: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import app_space

    seen: list[str] = []
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "0")
    monkeypatch.setattr(app_space, "ZERO_GPU", zero_gpu)
    monkeypatch.setattr(app_space, "load", lambda: seen.append(f"load in {threading.current_thread().name}") or FakeEngine())
    monkeypatch.setattr(app_space, "make_page", lambda load, settings, name, sampling: seen.append("page"))
    monkeypatch.setattr(app_space, "serve", lambda page, settings, host, port: seen.append("launch"))
    app_space.main()
    assert seen == order
    assert (os.environ["HF_DEACTIVATE_ASYNC_LOAD"] == "1") == zero_gpu


def test_the_front_matter_is_one_that_a_space_takes() -> None:
    """What https://huggingface.co/docs/hub/spaces-config-reference allows, and the versions that the requirements name."""
    head = (ROOT / "README.md").read_text().split("---\n")[1]
    said = {key: value.strip().strip('"') for key, _, value in (line.partition(":") for line in head.splitlines())}
    wanted = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert said["sdk"] == "gradio" and said["sdk_version"] == wanted["gradio"]
    assert (ROOT / said["app_file"]).is_file() and len(said["short_description"]) <= 60
    assert {said["colorFrom"], said["colorTo"]} <= {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert tuple(map(int, said["python_version"].split("."))) >= launch.OLDEST


def test_the_requirements_admit_the_torch_of_zero_gpu() -> None:
    line = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("torch"))
    versions = Requirement(line.partition("#")[0]).specifier
    assert all(version in versions for version in ("2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.13.0+cpu"))
    assert "2.7.1" not in versions
