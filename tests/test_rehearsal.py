"""The rehearsal of the 7b preset, narrow and shallow: every structure, one turn, all three media. The full one is docs/rehearsal_7b.md."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_rehearsal_runs(tmp_path):
    options = ["--small", "--steps", "1", "--tokens", "2", "--out", str(tmp_path / "table.md")]
    done = subprocess.run([sys.executable, "-m", "benchmarks.rehearsal_7b", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "table.md").read_text()
    assert "files made: image, video, audio" in table
    assert sum(line.startswith("| ") for line in table.splitlines()) == 1 + 7  # a head, the language model, three towers, three decoders


def test_the_full_rehearsal_stayed_under_twenty_gigabytes():
    text = (ROOT / "docs" / "rehearsal_7b.md").read_text().replace("\n", " ")
    peak = float(text.partition("Peak memory of the process: ")[2].split()[0])
    rows = [line.split("|") for line in (ROOT / "docs" / "rehearsal_7b.md").read_text().splitlines() if " GB |" in line]
    assert len(rows) == 7 and peak < 20
    assert "files made: image, video, audio" in text
