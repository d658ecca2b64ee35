"""launch.py: the environment is prepared once, repaired when it has to be, left alone where it is not ours. pip is a stub."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app import cli

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture()
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """launch.py with its folder in tmp_path; `launch.ran` lists the commands that it ran instead of running them."""
    spec = importlib.util.spec_from_file_location("launch_under_test", ROOT / "launch.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT, module.VENV = tmp_path, tmp_path / ".venv"
    module.ran = []
    (tmp_path / "requirements.txt").write_text("surely-not-installed==1.0\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\nneither-is-this==2.0\n")

    def run(command: list[str], complaint: str) -> None:
        module.ran.append(command)
        if "venv" in command:
            python = tmp_path / ".venv" / "bin" / "python"
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
            (tmp_path / ".venv" / module.BEGUN).unlink(missing_ok=True)
            (tmp_path / ".venv" / module.STAMP).unlink(missing_ok=True)

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "works", lambda python: True)
    monkeypatch.delenv("NEXTGPT_NO_VENV", raising=False)
    return module


def test_the_first_start_makes_an_environment_and_later_ones_ask_pip_for_nothing(launch: ModuleType) -> None:
    files = launch.requirement_files([])
    assert not launch.satisfied(files)
    python = launch.prepared(files)
    assert ["--clear" in command for command in launch.ran] == [True, False]
    assert launch.ran[1][:4] == [str(python), "-m", "pip", "install"]
    launch.ran.clear()
    assert launch.prepared(files) == python
    assert launch.ran == []


def test_a_changed_file_is_installed_again_into_the_same_environment(launch: ModuleType) -> None:
    files = launch.requirement_files([])
    launch.prepared(files)
    launch.ran.clear()
    (launch.ROOT / "requirements.txt").write_text("surely-not-installed==1.1\n")
    launch.prepared(files)
    assert [command[3] for command in launch.ran] == ["install"]


def test_test_and_chat_keep_each_others_stamp(launch: ModuleType) -> None:
    launch.prepared(launch.requirement_files([]))
    launch.prepared(launch.requirement_files(["test"]))
    launch.ran.clear()
    launch.prepared(launch.requirement_files([]))
    launch.prepared(launch.requirement_files(["test"]))
    assert launch.ran == []


def test_the_published_preset_brings_its_requirements(launch: ModuleType) -> None:
    def names(*arguments: str) -> list[str]:
        return [file.name for file in launch.requirement_files(list(arguments))]

    assert names("--preset", "7b") == ["requirements.txt"]  # a copy without the file
    (launch.ROOT / "requirements-7b.txt").write_text("-r requirements.txt\nnor-is-this==3.0\n")
    wanted = ["requirements.txt", "requirements-7b.txt"]
    assert names("--preset", "7b") == names("ask", "hello", "--preset=7b") == names("chat", "--preset", "/data/7b") == wanted
    assert names("--preset", "nano") == names("ask", "--preset") == names("plan", "7b") == ["requirements.txt"]
    launch.prepared(launch.requirement_files([]))
    launch.ran.clear()
    launch.prepared(launch.requirement_files(["--preset", "7b"]))
    assert [command[3] for command in launch.ran] == ["install"] and str(launch.ROOT / "requirements-7b.txt") in launch.ran[0]
    launch.ran.clear()
    launch.prepared(launch.requirement_files(["--preset", "7b"]))
    assert launch.ran == []


def test_an_interrupted_install_is_begun_anew(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    files, run = launch.requirement_files([]), launch.run

    def cut_off(command: list[str], complaint: str) -> None:
        run(command, complaint)
        if "pip" in command:
            raise KeyboardInterrupt

    monkeypatch.setattr(launch, "run", cut_off)
    with pytest.raises(KeyboardInterrupt):
        launch.prepared(files)
    monkeypatch.setattr(launch, "run", run)
    launch.ran.clear()
    launch.prepared(files)
    assert ["--clear" in command for command in launch.ran] == [True, False]
    assert launch.read_stamp()


def test_a_failing_pip_is_one_sentence(launch: ModuleType) -> None:
    spec = importlib.util.spec_from_file_location("launch_plain", ROOT / "launch.py")
    assert spec and spec.loader
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    with pytest.raises(plain.InstallFailed, match="nothing could be done"):
        plain.run([sys.executable, "-c", "raise SystemExit(3)"], "nothing could be done")


def test_nothing_is_installed_where_it_is_not_ours_to_do(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    (launch.ROOT / "requirements.txt").write_text(f"pytest=={pytest.__version__}  # comment\nnot-for-us==1; sys_platform == 'amiga'\n")
    assert launch.satisfied([launch.ROOT / "requirements.txt"])
    (launch.ROOT / "requirements.txt").write_text("pytest==0.0.1\n")
    assert not launch.satisfied([launch.ROOT / "requirements.txt"])
    monkeypatch.setenv("NEXTGPT_NO_VENV", "1")
    assert launch.satisfied([launch.ROOT / "requirements.txt"])


@pytest.mark.parametrize(
    ("found", "wanted", "fits"),
    [
        ("2.13.0", "", True),
        ("2.13.0+cpu", "==2.13.0", True),
        ("2.13.0+cpu", "==2.13", True),
        ("2.13.0+cpu", "==2.13.0+cpu", True),
        ("2.13.0", "==2.13.0+cpu", False),
        ("2.13.0+cpu", ">=2.8,<=2.13.0", True),
        ("2.13.0+cpu", "!=2.13.0", False),
        ("2.11.0", ">=2.8, <=2.13.0", True),
        ("2.8", ">=2.8.0,<=2.13.0", True),
        ("2.7.1", ">=2.8,<=2.13.0", False),
        ("2.13.1", ">=2.8,<=2.13.0", False),
        ("2.9.0", ">2.8,<2.9", False),
        ("2.10.0", ">2.9", True),  # numbers, not letters
        ("2.8.5", "~=2.8.1", True),
        ("2.9.0", "~=2.8.1", False),
        ("2.9.0", "~=2.8", True),
        ("3.0", "~=2.8", False),
        ("2.8.3", "==2.8.*", True),
        ("2.8.3", "!=2.8.*", False),
        ("2.14.0.dev20260101", "<2.14", False),
        ("2.8rc1", ">=2.8", False),
        ("2.8.post1", ">2.8", False),
        ("2.8", "=>2.8", False),  # what cannot be read is left to pip
        ("unknown", ">=2.8", False),
    ],
)
def test_versions_are_compared_by_pythons_rules(launch: ModuleType, found: str, wanted: str, fits: bool) -> None:
    assert launch.version_fits(found, wanted) is fits


def test_versions_are_compared_as_pip_does(launch: ModuleType) -> None:
    specifiers = pytest.importorskip("packaging.specifiers")
    versions = ["2.13.0", "2.13.0+cpu", "2.8", "2.8.1", "2.8.post1", "2.8rc1", "2.8.dev3", "1!1.0", "2.10", "3", "2.8.1rc1.post1.dev2"]
    for found in versions:
        for sign in ("==", "!=", ">=", "<=", ">", "<", "~="):
            for constant in [*versions, "2.8.*", "2.*"]:
                try:
                    theirs = specifiers.Specifier(sign + constant).contains(found, prereleases=True)
                except specifiers.InvalidSpecifier:
                    continue
                assert launch.version_fits(found, sign + constant) is theirs, (found, sign + constant)


def test_a_range_is_met_by_what_is_installed(launch: ModuleType) -> None:
    here = pytest.__version__
    assert launch.installed(f"pytest>=1.0,<={here}") and launch.installed(f"pytest[extra] == {here}") and launch.installed("pytest")
    assert not launch.installed(f"pytest<{here}") and not launch.installed("pytest @ file:///somewhere")


def test_an_old_python_is_told_so(launch: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(launch, "OLDEST", (99, 0))
    assert launch.main([]) == 2
    assert "Python 99.0 or newer is needed" in capsys.readouterr().out


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
        (["chat", "--preset", "nonesuch"], "There is no preset nonesuch; known are"),
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
    import json

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
