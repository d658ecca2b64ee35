"""What the documents point to is there: a file that moves takes its mentions along."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("checkpoints/*/README.md")] if path.name != "CHANGELOG.md"
)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
FILE = re.compile(r"\b((?:app|nextgpt_core|recipes|tests|benchmarks|docs|examples|assets)/[\w/.-]+\.(?:py|md|txt|jsonl|json|png|css|js))\b")
MODULE = re.compile(r"python3? -m ((?:app|nextgpt_core|recipes|benchmarks)(?:\.\w+)+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_files_and_modules_are_there(document: Path):
    text = document.read_text(encoding="utf-8")
    named = [document.parent / link for link in LINK.findall(text)]
    named += [ROOT / name for name in FILE.findall(text)]
    named += [ROOT / (name.replace(".", "/") + ".py") for name in MODULE.findall(text)]
    assert [str(path) for path in named if not path.exists()] == []


def test_comments_name_files_that_are_there():
    tracked = subprocess.run(["git", "ls-files", "*.py", "*.txt"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    gone = {}
    for name in tracked:
        if (ROOT / name).is_file() and (
            missing := [one for one in FILE.findall((ROOT / name).read_text(encoding="utf-8")) if not (ROOT / one).exists()]
        ):
            gone[name] = missing
    assert gone == {}
