"""The scorecard's arithmetic, table and files, with trials that need no weights."""

import json

import numpy as np
import pytest

from nextgpt_core.errors import CheckpointMissing
from nextgpt_core.modalities import AudioClip, VideoClip
from recipes.nano.evaluation import scorecard
from recipes.nano.evaluation.measures import CHAT, counted, uploaded, wilson
from recipes.nano.evaluation.scorecard import MEASURES, Measure, Row, Scorecard
from recipes.nano.evaluation.sheets import Cell, save_sheet, spectrogram, strip


def test_wilson_intervals_are_the_textbooks():
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
    assert wilson(380, 400) == pytest.approx((0.9241, 0.9673), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)


def test_full_runs_are_within_six_points_of_their_floor():
    for measure in MEASURES:
        if measure.at_most:
            continue
        low, high = wilson(round(measure.floor * measure.cases), measure.cases)
        assert (high - low) / 2 <= 0.061, measure.name


def row(**values):
    return Row(**{"name": "x", "floor": 0.5, "at_most": False, "value": 0.6, "interval": (0.5, 0.7), "cases": 10, **values})


def test_a_weak_judge_does_not_count():
    assert row().passed and not row(value=0.4).passed and not row(value=None).passed
    assert row(judge="image", judge_accuracy=0.95).passed
    assert not row(judge="image", judge_accuracy=0.85).passed and not row(judge="image").passed
    assert row(at_most=True, floor=1.1, value=1.05).passed and not row(at_most=True, floor=1.1, value=1.2).passed


def test_the_table_tells_every_row():
    rows = [row(name="routing"), row(name="videos made", value=None, interval=None, note="not measured: no decoder")]
    table = Scorecard("nano", True, 0, rows, 1.0).table()
    assert "60.0%" in table and "50.0% - 70.0%" in table and "passed" in table and "not measured: no decoder" in table


def test_what_cannot_be_measured_says_so(tmp_path, monkeypatch):
    def missing(bench, cases):
        raise CheckpointMissing("The preset has no decoder of a video.")

    def right(bench, cases):
        return counted([True] * cases, missed=[], numbers=np.float32(1.5))

    monkeypatch.setattr(scorecard, "MEASURES", (Measure("one", right, 0.5, 9, 3), Measure("two", missing, 0.5, 9, 3)))
    monkeypatch.setattr(scorecard, "load_preset", lambda name: type("P", (), {"name": name}))
    monkeypatch.setattr(scorecard, "build", lambda preset: None)
    monkeypatch.setattr(scorecard, "build_template", lambda preset, model: None)
    seen = []
    card = scorecard.run(True, tmp_path / "out", report=seen.append)
    assert [found.name for found in seen] == ["one", "two"] and card.rows[0].cases == 3
    written = json.loads((tmp_path / "out" / "scorecard.json").read_text())
    assert written["rows"][0]["passed"] and written["rows"][0]["details"]["numbers"] == 1.5
    assert written["rows"][1]["note"] == "not measured: The preset has no decoder of a video."


def test_uploads_go_through_files():
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    assert (uploaded("image", picture) == picture).all()
    clip = AudioClip(np.sin(np.arange(8000) / 10).astype(np.float32) * 0.5)
    assert np.abs(uploaded("audio", clip).samples - clip.samples).max() < 1e-3
    video = uploaded("video", VideoClip(np.zeros((8, 64, 64, 3), np.uint8)))
    assert video.frames.shape == (8, 64, 64, 3)


def test_contact_sheets(tmp_path):
    cells = [
        Cell(np.zeros((64, 64, 3), np.uint8), "a dog", "dog", True),
        Cell(strip(np.zeros((8, 20, 16, 3), np.uint8)), "a video", "cat", False),
        Cell(spectrogram(np.sin(np.arange(16_000) / 5)), "a violin"),
    ]
    save_sheet(cells, tmp_path / "sheet.png", columns=2)
    save_sheet([], tmp_path / "none.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000 and not (tmp_path / "none.png").exists()


def test_held_out_chat_is_there():
    rows = [json.loads(line) for line in CHAT.read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 50 and all(row["prompt"] and row["reply"] for row in rows)
