"""What the documents point to is there: a file that moves takes its mentions along."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("*.md", "docs/*.md", "examples/*.md", "checkpoints/*/README.md")
DOCUMENTS = sorted(path for place in PLACES for path in ROOT.glob(place) if path.name != "CHANGELOG.md")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
FILE = re.compile(r"\b((?:app|nextgpt_core|recipes|tests|benchmarks|docs|examples|assets)/[\w/.-]+\.(?:py|md|txt|jsonl|json|png|css|js))\b")
QUOTED = re.compile(r"\b(test_\w+)(…?)")
DEFINED = re.compile(r"def (test_\w+)")
MODULE = re.compile(r"python3? -m ((?:app|nextgpt_core|recipes|benchmarks)(?:\.\w+)+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_files_and_modules_are_there(document: Path):
    text = document.read_text(encoding="utf-8")
    named = [document.parent / link for link in LINK.findall(text)]
    named += [ROOT / name for name in FILE.findall(text) if "NAME" not in name]  # where a new one would go
    named += [ROOT / (name.replace(".", "/") + ".py") for name in MODULE.findall(text)]
    assert [str(path) for path in named if not path.exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_are_quoted_are_there(document: Path):
    """`test_name`, or how it begins: `test_na…`; the name of a test file counts too."""
    sources = [path for path in (ROOT / "tests").rglob("test_*.py")]
    known = {path.stem for path in sources} | {name for path in sources for name in DEFINED.findall(path.read_text(encoding="utf-8"))}
    quoted = QUOTED.findall(document.read_text(encoding="utf-8"))
    assert [
        name for name, cut in quoted if name not in {*known, "test_NAME"} and not (cut and any(one.startswith(name) for one in known))
    ] == []


def test_every_document_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"]({path.name})" not in index and path.name != "README.md"] == []


def test_what_contributors_are_told_to_run_is_there():
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"check", "test", "format", "browser"} == set(re.findall(r"`make (\w+)`", told)) <= targets
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert [command for command in commands if command == ".ci/run" or "launch.py test" in command] == [".ci/run", "python launch.py test"]
    assert (ROOT / ".ci" / "run").is_file()


def test_comments_name_files_that_are_there():
    sources = tracked("*.py", "*.txt") or pytest.skip("not a git checkout")
    gone = {}
    for path in sources:
        if missing := [name for name in FILE.findall(path.read_text(encoding="utf-8")) if not (ROOT / name).exists()]:
            gone[str(path.relative_to(ROOT))] = missing
    assert gone == {}


def layout() -> set[Path]:
    """What README's Layout names: the names on a line end at a gap, and those of an indented line lie in the folder above it."""
    block = re.search(r"## Layout\s+```\n(.+?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block, "README's section Layout does not begin with a block"
    named: set[Path] = set()
    folder = ROOT
    for line in block[1].splitlines():
        names = re.split(r" {2,}", line.strip())[0].split(" ")
        if not line.startswith(" "):
            folder = ROOT / names[0]
        named |= {folder / name if line.startswith(" ") else ROOT / name for name in names}
    return named


def test_what_the_layout_names_is_there():
    assert sorted(str(path.relative_to(ROOT)) for path in layout() if not path.exists()) == []


def test_the_layout_names_every_room():
    """Folders at the top, of the core and of the recipe, and the core's own files."""
    places = [ROOT, ROOT / "nextgpt_core", ROOT / "recipes" / "nano"]
    ours = tracked() or pytest.skip("not a git checkout")
    rooms = {place / path.relative_to(place).parts[0] for place in places for path in ours if place in path.parents}
    rooms = {room for room in rooms if room.is_dir() or (room.parent.name == "nextgpt_core" and room.suffix == ".py")}
    hidden = {room for room in rooms if room.name.startswith((".", "__"))}
    missing = rooms - hidden - layout() - {ROOT / "nextgpt_core", ROOT / "recipes"}
    assert sorted(str(path.relative_to(ROOT)) for path in missing) == []


def tracked(*patterns: str) -> list[Path]:
    """The files in git; none where this is no checkout."""
    names = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    return [ROOT / name for name in names if (ROOT / name).is_file()]
