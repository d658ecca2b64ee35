"""The list of the strangers' files, and the videos with an artificial camera; nothing is fetched."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextgpt_core.errors import CheckpointMismatch
from recipes.nano.evaluation.strangers import artificial_camera, files
from recipes.nano.evaluation.strangers.artificial_camera import Plan, frames, plans, write
from recipes.nano.evaluation.strangers.files import strangers_file, strangers_files
from recipes.nano.sources import PACKAGES


def test_the_final_part_has_nothing_that_training_uses():
    assert not {file.package for file in strangers_files()} & {package.name for package in PACKAGES.values()}
    assert all(file.row["overlap"] == "no" for file in strangers_files() if file.part == "final")


def test_a_source_is_in_one_part_only():
    parts = defaultdict(set)
    for file in strangers_files():
        parts[file.archive, file.member, file.row.get("icon")].add(file.part)
    assert {len(where) for where in parts.values()} == {1}


def test_ids_are_unique_and_every_row_says_what_it_shows():
    listed = strangers_files()
    assert len({file.id for file in listed}) == len(listed)
    assert all(file.shows and file.row["things"] and file.row["licence"] and len(file.sha256) == 64 for file in listed)


def test_a_changed_package_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SOURCES", tmp_path)
    monkeypatch.setattr(files, "MADE", tmp_path / "made")
    file = strangers_files()[0]
    (tmp_path / file.archive).write_bytes(b"another package")
    with pytest.raises(CheckpointMismatch, match="delete it and try again"):
        files.path(file.id)


def test_plans_are_seeded_and_keep_to_their_part():
    made = plans(24, part="final", seed=17)
    assert made == plans(24, part="final", seed=17) != plans(24, part="final", seed=18)
    assert {strangers_file(plan.background).part for plan in made} == {"final"}
    pairs = [(plan.background, plan.thing) for plan in made]
    assert len(set(pairs)) == len(pairs)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Every photograph is a grey gradient, every cut-out thing a red block with a green face on its right."""

    def drawn_path(file_id: str) -> Path:
        target = tmp_path / f"{file_id}.png"
        if "facing" in strangers_file(file_id).row:
            picture = Image.new("RGBA", (60, 40), (255, 0, 0, 255))
            picture.paste((0, 255, 0, 255), (40, 0, 60, 40))
        else:
            picture = Image.fromarray(np.tile(np.linspace(60, 200, 640, dtype=np.uint8), (360, 1))).convert("RGBA")
        picture.save(target)
        return target

    monkeypatch.setattr(artificial_camera, "path", drawn_path)


def centre(picture: np.ndarray, channel: int) -> float:
    """Mean column of what is red (0) or green (1)."""
    colours = picture.astype(int)
    return float(np.nonzero(colours[..., channel] - colours[..., 1 - channel] > 120)[1].mean())


@pytest.mark.parametrize("goes", ["left", "right"])
def test_the_thing_goes_where_the_plan_says_and_faces_it(drawn, goes):
    thing = next(file.id for file in strangers_files() if file.row.get("facing") == "right")
    ground = next(file.id for file in strangers_files() if "facing" not in file.row and file.kind == "photo")
    seen = list(frames(Plan("one", "dev", ground, thing, "still", goes, fps=5, seconds=2.0, height=0.3, line=0.8)))
    assert len(seen) == 10 and seen[0].shape == (270, 480, 3)
    sign = 1 if goes == "right" else -1
    assert sign * (centre(seen[7], 0) - centre(seen[2], 0)) > 100
    assert sign * (centre(seen[5], 1) - centre(seen[5], 0)) > 0


@pytest.mark.parametrize(("camera", "brighter"), [("pan right", True), ("pan left", False)])
def test_a_pan_moves_the_view(drawn, camera, brighter):
    ground = next(file.id for file in strangers_files() if "facing" not in file.row and file.kind == "photo")
    seen = list(frames(Plan("one", "dev", ground, None, camera, None, fps=5, seconds=1.0)))
    assert (seen[-1].mean() > seen[0].mean() + 5) == brighter


def test_a_clip_is_written(drawn, tmp_path):
    ground = next(file.id for file in strangers_files() if "facing" not in file.row and file.kind == "photo")
    clip = write(Plan("one", "dev", ground, None, "shake", None, fps=24, seconds=0.5), tmp_path / "clip.mp4")
    assert clip.stat().st_size > 1000
