"""The Dockerfile without Docker: linted, and what it copies is enough to start."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def instructions() -> list[tuple[str, str]]:
    """(name, rest) of each instruction, continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text())
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in text.replace("\\\n", " ").splitlines() if line.strip())]


def test_linter_has_no_complaint() -> None:
    beside = Path(sys.executable).parent / "hadolint"
    linter = str(beside) if beside.exists() else shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed (requirements-dev.txt)")
    found = subprocess.run([linter, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.slow
def test_what_it_copies_is_enough(tmp_path: Path) -> None:
    """Its COPY steps into an empty folder, then the program from there with its environment and nothing of ours."""
    image = tmp_path / "app"
    image.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for name, rest in instructions():
        if name == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif name == "COPY":
            *sources, target = [part for part in shlex.split(rest) if not part.startswith("--")]
            for source in sources:
                place = image / target / (Path(source).name if len(sources) > 1 else "")
                ignored = shutil.ignore_patterns("__pycache__", "nano")  # the weights are large and not needed for these commands
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=ignored, dirs_exist_ok=True)
                else:
                    shutil.copy(ROOT / source, place)
    assert (ROOT / "checkpoints" / environment["PRESET"] / "preset.json").is_file()
    for command in (["--help"], ["plan", "7b", "--vram", "12", "--precision", "4bit"]):
        done = subprocess.run([sys.executable, "launch.py", *command], cwd=image, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert not list(image.rglob("tests")) and not list(image.rglob(".venv"))


def test_the_program_is_started_as_it_expects() -> None:
    found = dict(instructions())
    command = json.loads(found["CMD"])
    assert command[:2] == ["sh", "-c"] and command[2].startswith("exec python3 launch.py chat --host 0.0.0.0 --port 7860")
    assert found["USER"] == "1000" and found["EXPOSE"] == "7860"
    assert "urlopen('http://127.0.0.1:7860/'" in found["HEALTHCHECK"]
    assert re.fullmatch(r"python:3\.1[12]-slim-bookworm", found["FROM"])
