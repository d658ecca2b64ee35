"""launch.py: the environment is prepared once, repaired when it has to be, left alone where it is not ours. pip is a stub, except in the
story at the end, where the real one installs a package made on the spot."""

import ast
import base64
import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from app import cli
from tests.server import Handler, Server

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture()
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """launch.py with its folder in tmp_path. `launch.did` lists what it would have done: "venv", or what it asked of pip."""
    module = loaded()
    shutil.copy(ROOT / "launch.py", tmp_path)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "launch.py"))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    module.did = []
    (tmp_path / "requirements.txt").write_text("surely-not-installed==1.0\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\nneither-is-this==2.0\n")

    def make_environment() -> None:
        module.did.append("venv")
        shutil.rmtree(module.VENV, ignore_errors=True)
        python = interpreter(module)
        python.parent.mkdir(parents=True)
        python.touch()

    monkeypatch.setattr(module, "make_environment", make_environment)
    monkeypatch.setattr(module, "pip", lambda python, log, *arguments: module.did.append(arguments))
    monkeypatch.setattr(module, "works", lambda python: python.exists())
    monkeypatch.setattr(module, "torch_index", lambda: "")
    monkeypatch.delenv("NEXTGPT_NO_VENV", raising=False)
    return module


def loaded() -> ModuleType:
    """launch.py as a module of its own."""
    spec = importlib.util.spec_from_file_location("launch_under_test", ROOT / "launch.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def interpreter(launch: ModuleType) -> Path:
    """Where Python lies in an environment."""
    return launch.VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def asked(launch: ModuleType, *names: str) -> tuple[str, ...]:
    """What pip is asked for when these files are to be installed."""
    return tuple(part for name in names for part in ("-r", str(launch.ROOT / name)))


def test_the_first_start_makes_an_environment_and_later_ones_ask_pip_for_nothing(launch: ModuleType) -> None:
    python = launch.prepared(["requirements.txt"])
    assert launch.did == ["venv", asked(launch, "requirements.txt")] and python == interpreter(launch)
    launch.did.clear()
    assert launch.prepared(["requirements.txt"]) == python
    assert launch.did == []


def test_a_changed_file_is_asked_of_pip_in_the_same_environment(launch: ModuleType) -> None:
    launch.prepared(["requirements.txt", "requirements-dev.txt"])
    launch.did.clear()
    before = (launch.ROOT / "requirements.txt").read_text()
    (launch.ROOT / "requirements.txt").write_text("surely-not-installed==1.1\n")
    launch.prepared(["requirements.txt"])
    assert launch.did == [asked(launch, "requirements.txt")]
    (launch.ROOT / "requirements.txt").write_text(before)  # what is installed belongs to the other version
    launch.did.clear()
    launch.prepared(["requirements.txt"])
    assert launch.did == [asked(launch, "requirements.txt")]


def test_test_and_chat_keep_each_others_stamp(launch: ModuleType) -> None:
    launch.prepared(launch.requirement_files([]))
    launch.prepared(launch.requirement_files(["test"]))
    launch.did.clear()
    launch.prepared(launch.requirement_files([]))
    launch.prepared(launch.requirement_files(["test"]))
    assert launch.did == []


def test_each_command_brings_its_requirements(launch: ModuleType) -> None:
    def names(*arguments: str) -> list[str]:
        return launch.requirement_files(list(arguments))

    assert names("--preset", "7b") == ["requirements.txt"]  # a copy without the file
    (launch.ROOT / "requirements-7b.txt").write_text("-r requirements.txt\nnor-is-this==3.0\n")
    (launch.ROOT / "requirements-train.txt").write_text("-r requirements.txt\n")
    wanted = ["requirements.txt", "requirements-7b.txt"]
    assert names("--preset", "7b") == names("ask", "hello", "--preset=7b") == names("chat", "--preset", "/data/7b") == wanted
    assert names("--preset", "nano") == names("ask", "--preset") == names("plan", "7b") == names() == ["requirements.txt"]
    assert names("test", "-k", "x", "-p", "no:cacheprovider") == ["requirements.txt", "requirements-dev.txt"]
    assert names("train", "nano") == names("eval", "nano") == ["requirements.txt", "requirements-train.txt"]
    launch.prepared(names())
    launch.did.clear()
    launch.prepared(names("--preset", "7b"))
    assert launch.did == [asked(launch, *wanted)]
    launch.did.clear()
    launch.prepared(names("--preset", "7b"))
    assert launch.did == []


@pytest.mark.parametrize("ending", [KeyboardInterrupt, "InstallFailed"])
def test_an_unfinished_install_begins_again_from_an_empty_environment(
    launch: ModuleType, monkeypatch: pytest.MonkeyPatch, ending: type[BaseException] | str, capsys: pytest.CaptureFixture
) -> None:
    error = launch.InstallFailed if ending == "InstallFailed" else ending

    def cut_off(*_: object) -> None:
        raise error

    pip = launch.pip
    monkeypatch.setattr(launch, "pip", cut_off)
    with pytest.raises(error):
        launch.prepared(["requirements.txt"])
    monkeypatch.setattr(launch, "pip", pip)
    launch.did.clear()
    launch.prepared(["requirements.txt"])
    assert launch.did == ["venv", asked(launch, "requirements.txt")]
    assert "did not finish; starting again" in capsys.readouterr().out


def test_an_environment_whose_python_is_gone_is_made_again(launch: ModuleType) -> None:
    launch.prepared(["requirements.txt"])
    interpreter(launch).unlink()
    launch.did.clear()
    launch.prepared(["requirements.txt"])
    assert launch.did[0] == "venv"


def test_an_environment_made_by_hand_is_taken_over(launch: ModuleType) -> None:
    launch.make_environment()
    launch.did.clear()
    launch.prepared(["requirements.txt"])
    assert launch.did == [asked(launch, "requirements.txt")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no lock on Windows")
def test_two_starts_do_not_install_at_once(tmp_path: Path) -> None:
    shutil.copy(ROOT / "launch.py", tmp_path)
    code = "import launch, sys\nwith launch.one_at_a_time(): print('mine', flush=True); sys.stdin.read()"
    starts = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdin=-1, stdout=-1, text=True) for _ in range(2)]
    try:
        waiting = "Another start is preparing the environment; waiting for it.\n"
        first = [one.stdout.readline() for one in starts if one.stdout]
        assert sorted(first) == [waiting, "mine\n"]
        one, other = sorted(starts, key=lambda start: first[starts.index(start)] == waiting)
        assert one.communicate(timeout=120)[0] == "" and other.communicate(timeout=120)[0] == "mine\n"
    finally:
        for start in starts:
            start.kill()
            start.wait()


def test_torch_comes_from_its_own_index_alone(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "torch_index", lambda: "https://wheels.example/cpu")
    launch.prepared(["requirements.txt"])
    _, torch, others = launch.did
    assert torch[:3] == ("--no-deps", "--index-url", "https://wheels.example/cpu") and torch[-1] == "torch"
    assert others == asked(launch, "requirements.txt")


def test_where_the_index_has_no_torch_the_plain_one_has(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = launch.pip

    def refuse(python: Path, log: Path, *arguments: str) -> None:
        pip(python, log, *arguments)
        if "--index-url" in arguments:
            raise launch.InstallFailed("no torch")

    monkeypatch.setattr(launch, "torch_index", lambda: "https://wheels.example/cpu")
    monkeypatch.setattr(launch, "pip", refuse)
    launch.prepared(["requirements.txt"])
    assert launch.did[-1] == asked(launch, "requirements.txt") and launch.stamp()[0] == launch.fingerprint()


def test_the_cpu_index_is_for_linux_without_an_nvidia_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = loaded()
    monkeypatch.delenv("NEXTGPT_TORCH_INDEX", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(launch, "nvidia", lambda: False)
    monkeypatch.setattr(launch, "answers", lambda address: True)
    assert launch.torch_index() == launch.CPU_WHEELS
    monkeypatch.setattr(launch, "answers", lambda address: False)
    assert launch.torch_index() == ""
    monkeypatch.setattr(launch, "answers", lambda address: True)
    monkeypatch.setattr(launch, "nvidia", lambda: True)
    assert launch.torch_index() == ""
    monkeypatch.setattr(launch, "nvidia", lambda: False)
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        assert launch.torch_index() == ""
    monkeypatch.setattr(sys, "platform", "linux")
    for wish in ("https://wheels.example/rocm", ""):  # empty: pip's own index
        monkeypatch.setenv("NEXTGPT_TORCH_INDEX", wish)
        assert launch.torch_index() == wish


@pytest.mark.parametrize("sign", ["proc/driver/nvidia/version", "dev/nvidiactl", "usr/lib/wsl/lib/nvidia-smi"])
def test_signs_of_an_nvidia_gpu(sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = loaded()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not launch.nvidia(tmp_path)
    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).touch()
    assert launch.nvidia(tmp_path)


def test_an_index_that_does_not_answer_is_not_waited_for() -> None:
    launch, released = loaded(), []

    class Silent(Handler):
        def do_GET(self) -> None:
            if self.path == "/never/":
                while not released:
                    time.sleep(0.05)
            self.send_response(200 if self.path == "/torch/" else 404)
            self.end_headers()

    server = Server(Silent)
    try:
        assert launch.answers(f"{server.url}/torch/", 60)
        assert not launch.answers(f"{server.url}/other/", 60)
        assert not launch.answers(f"{server.url}/never/", 4)
    finally:
        released.append(True)
        server.close()
    assert not launch.answers(f"{server.url}/torch/", 60)  # nobody listens


DOWNLOADING = """Collecting torch<=2.13.0,>=2.8 (from -r requirements.txt (line 2))
  Downloading torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (29 kB)
  Downloading torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl (191.5 MB)
Collecting resvg-py==0.5.0 (from -r requirements-train.txt (line 5))
  Using cached resvg_py-0.5.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl (1.4 MB)
Collecting tiny
  Downloading tiny-0.1.tar.gz (500 kB)
"""


def test_progress_is_read_from_what_pip_says() -> None:
    launch = loaded()
    assert launch.progress("", 0) == "looking for the packages"
    assert launch.progress(DOWNLOADING, 0) == "tiny (500 kB), 193 MB in 3 packages so far"
    said = DOWNLOADING + "Installing collected packages: tiny, resvg-py, torch\n"
    assert launch.progress(said, 2) == "unpacking 2 of 3 packages"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            DOWNLOADING
            + "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n\n[notice] A new release\n",
            "Could not install packages due to an OSError: [Errno 28] No space left on device",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1, 2)\n"
            "ERROR: No matching distribution found for x==9\n",
            "No matching distribution found for x==9",
        ),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'ConnectTimeoutError(<HTTPSConnection object at "
            "0x7f>, 'Connection to pypi.org timed out. (connect timeout=15)')': /simple/x/\n"
            "ERROR: No matching distribution found for x\n",
            "the package index cannot be reached (Connection to pypi.org timed out.)",
        ),
        (
            "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by "
            "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: "
            "[Errno -2] Name or service not known')': /simple/x/\n"
            "ERROR: Could not find a version that satisfies the requirement x (from versions: none)\n"
            "ERROR: No matching distribution found for x\n",
            "the package index cannot be reached ([Errno -2] Name or service not known)",
        ),
        ("Traceback (most recent call last):\nMemoryError\n\n", "MemoryError"),
        ("", "no reason was given"),
    ],
)
def test_the_reason_is_one_line_of_pips(said: str, found: str) -> None:
    assert loaded().reason(said, 1) == found
    assert loaded().reason(said, -9) == "it was stopped from outside by signal 9 (memory may have run out)"


def test_progress_stays_on_one_line_of_a_terminal_and_is_sparse_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    launch = loaded()
    monkeypatch.setattr(launch.time, "monotonic", iter([0.0, *(float(second) for second in range(1, 41))]).__next__)
    line = launch.ProgressLine()
    for _ in range(40):
        line.show("torch")
    line.clear()
    assert capsys.readouterr().out == "Installing: torch, 15 s\nInstalling: torch, 30 s\n"

    monkeypatch.setattr(launch.time, "monotonic", lambda: 75.0)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    line.show("a long name " * 9)
    line.show("short")
    line.clear()
    shown = capsys.readouterr().out
    assert "\n" not in shown and all(len(one) <= 29 for one in shown.split("\r"))
    assert "Installing: short, 1 min 15 s".ljust(29) in shown.split("\r") and shown.endswith("\r")


@pytest.fixture()
def started(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """The command and environment that launch.py hands over to, instead of its doing so."""
    found: list[tuple[list[str], dict[str, str]]] = []

    def hand_over(command: list[str], env: dict[str, str]) -> int:
        found.append((command, env))
        return 0

    if os.name == "posix":
        monkeypatch.setattr(launch.os, "name", "another: execve would end the tests")
    monkeypatch.setattr(launch.subprocess, "call", hand_over)
    monkeypatch.setenv("NEXTGPT_NO_VENV", "1")
    return found


def test_with_no_venv_nothing_is_installed(
    launch: ModuleType,
    started: list[tuple[list[str], dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    assert launch.main(["ask", "hello"]) == 0
    assert started[0][0] == [sys.executable, "-m", "app.cli", "ask", "hello"] and launch.did == []
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    assert launch.main(["ask", "hello"]) == 1
    assert "has no torch" in capsys.readouterr().err and len(started) == 1


def test_threads_are_set_before_the_program_starts(
    launch: ModuleType, started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    launch.main([])
    assert started[0][1]["OMP_NUM_THREADS"] == "5" and started[0][1]["GOMP_SPINCOUNT"].isdigit()


def test_an_old_python_is_told_so(tmp_path: Path) -> None:
    """By the first lines: what comes after them, an old Python cannot read."""
    text = (ROOT / "launch.py").read_text(encoding="utf-8")
    copy = tmp_path / "launch.py"
    copy.write_text(text.replace("OLDEST = (3, 11)", "OLDEST = (99, 0)"), encoding="utf-8")
    done = subprocess.run([sys.executable, str(copy)], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("Python 99.0 or newer is needed and this is 3.") and not done.stdout
    imports = text.partition("OLDEST = ")[0]
    assert "pairwise" not in imports and "__future__" not in imports  # newer than the Pythons that should read up to there
    ast.parse(text, feature_version=(3, 7))


def publish(index: Path, name: str, version: str, code: str) -> None:
    """A package of one module, made on the spot, in an index of packages on the disk."""
    file, inside = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": code,
        f"{inside}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{inside}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for member, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{member},sha256={digest},{len(text.encode())}\n")
    (index / name).mkdir(parents=True)
    (index / name / "index.html").write_text(f'<a href="{file.replace("+", "%2B")}">{file}</a>')
    with zipfile.ZipFile(index / name / file, "w") as archive:
        for member, text in {**members, f"{inside}/RECORD": "".join([*rows, f"{inside}/RECORD,,\n"])}.items():
            archive.writestr(member, text)


@pytest.fixture()
def copy(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Starts a copy of launch.py, in a folder whose name has a blank, that needs two packages; app.cli prints these packages' words."""
    folder, plain, cpu = tmp_path / "a place", tmp_path / "plain", tmp_path / "cpu"
    (folder / "app").mkdir(parents=True)
    shutil.copy(ROOT / "launch.py", folder)
    shutil.copy(ROOT / "app" / "threads.py", folder / "app")
    (folder / "app" / "__init__.py").touch()
    (folder / "app" / "cli.py").write_text("import sys, tinything, torch; print(tinything.WORD, torch.WORD, *sys.argv[1:])")
    (folder / "requirements.txt").write_text("torch>=0.8,<=1.0  # a range\ntinything==1.0\n")
    publish(plain, "tinything", "1.0", "WORD = 'tiny'")
    publish(plain, "torch", "1.0", "WORD = 'cuda'")
    publish(cpu, "torch", "1.0+cpu", "WORD = 'cpu'")
    publish(cpu, "tinything", "1.0", "WORD = 'from the wrong index'")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "NEXTGPT_"))}
    indexes = {"PIP_INDEX_URL": plain.as_uri(), "PIP_CONFIG_FILE": os.devnull, "NEXTGPT_TORCH_INDEX": cpu.as_uri()}

    def start(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(folder / "launch.py"), *arguments]
        return subprocess.run(command, env={**kept, **indexes, **more}, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    return start


@pytest.mark.slow
def test_the_real_pip_from_nothing_to_a_failure(copy: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    folder = tmp_path / "a place"
    first = copy("ask", "two words")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "tiny cpu ask two words"
    assert "Making an environment in" in first.stdout and "The environment is ready:" in first.stdout
    log = folder / ".venv" / "nextgpt-install.log"
    assert "Collecting" not in first.stdout and "Successfully installed tinything-1.0" in log.read_text()
    assert copy("again").stdout == "tiny cpu again\n"

    (folder / "requirements.txt").write_text("torch>=0.8,<=1.0\ntinything==9.9\n")
    failed = copy()
    assert failed.returncode == 1 and "No matching distribution found for tinything==9.9" in failed.stderr
    assert str(log) in failed.stderr and "Traceback" not in failed.stderr


def test_a_place_where_nothing_can_be_written_is_a_sentence(copy: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    (tmp_path / "a place" / ".venv").write_text("in the way")
    failed = copy()
    assert failed.returncode == 1 and "The environment could not be made: " in failed.stderr and "Traceback" not in failed.stderr
    assert "NEXTGPT_NO_VENV=1" in failed.stderr


def test_only_the_standard_library_is_needed_to_begin() -> None:
    code = "import sys; sys.path.insert(0, '.'); import launch; print([m for m in ('gradio', 'torch', 'numpy', 'app') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_cli_starts_light() -> None:
    code = "import sys, app.cli; print([m for m in ('gradio', 'torch', 'diffusers', 'transformers') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_taken_port_is_a_sentence(capsys: pytest.CaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["--port", str(port)]) == 1
    assert f"Port {port} on 127.0.0.1 cannot be had" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chat", "--preset", "nonesuch"], "There is no preset 'nonesuch'; known are"),
        (["chat", "--auth", "nameonly"], "--auth wants NAME:PASSWORD"),
        (["chat", "--port", "70000"], "--port must be between"),
        (["ask"], "There is nothing to answer"),
        (["ask", "hello", "--precision", "int3"], "llm.precision is 'int3'; known are"),
        (["plan", "7b", "--vram", "nan"], "GiB above 0"),
        (["convert", "launch.py", "7b"], "could run code; it was not loaded"),
        (["ask", "x" * 30_000], "This message has 30,000 characters"),
        (["ask", "draw", "--answer", "video", "--forbid", "video"], "both asked for and forbidden"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error


def test_ask_prints_json_with_media_and_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from tests.app.fake_engine import FakeEngine

    engine = FakeEngine(word_seconds=0, step_seconds=0)
    asked = []
    monkeypatch.setattr(cli, "load_engine", lambda *one: asked.append(one) or engine)
    picture = ROOT / "assets" / "examples" / "picture.png"
    arguments = ["ask", "a sound of it", "--file", str(picture), "--file", str(ROOT / "launch.py"), "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--json", "--seed", "5", "--quality", "fast", "--precision", "8bit"]) == 0
    assert asked == [("nano", "8bit")]
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["text"].startswith("I see a picture.")
    assert [(one["modality"], one["seed"], os.path.exists(one["path"])) for one in answer["media"]] == [("audio", 5, True)]
    assert answer["spans"][0]["modality"] == "audio" and answer["seconds"]
    assert "launch.py is not a picture" in said.err and len(answer["left_out"]) == 1
    assert engine.turns[0][1].steps == 8


def test_plan_takes_sizes(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["plan", "7b", "--vram", "8"]) == 0 and "slower: video" in capsys.readouterr().out
    assert cli.main(["plan", "7b", "--vram", "8", "--frames", "8"]) == 0 and "slower" not in capsys.readouterr().out
    assert cli.main(["plan", "7b", "--vram", "8", "--precision", "float16"]) == 1


def test_every_command_explains_itself(capsys: pytest.CaptureFixture) -> None:
    for command in ("chat", "ask", "plan", "convert"):
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0
        assert "usage: launch.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "shared"),
    [
        ([], True),
        (["--durations=9", "-m", "not browser"], True),
        (["-k", "launch"], True),
        (["-m", "browser"], False),
        (["tests/test_docs.py"], False),
        (["-x", "tests/test_docs.py::test_tests_that_are_quoted_are_there"], False),
    ],
)
def test_two_processes_share_the_whole_suite(arguments: list[str], shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(cli.subprocess, "call", lambda command, **_: called.append(command) or 0)
    assert cli.main(["test", *arguments]) == 0
    assert ("-n2" in called[0]) is shared and called[0][len(called[0]) - len(arguments) :] == arguments
