"""Curves: a resumed step counts once, empty cells are left out, and the picture is drawn."""

from pathlib import Path

from PIL import Image

from recipes.nano.evaluation.curves import draw, read_log


def test_a_log_is_read_and_drawn(tmp_path: Path) -> None:
    log = tmp_path / "some_stage" / "log.csv"
    log.parent.mkdir()
    log.write_text("step,cpu_seconds,next_token,caption,norm\n0,30,2.0,,9\n1,60,9.0,,9\n1,90,1.0,,9\n")
    minutes, columns = read_log(log)
    assert minutes == [0.5, 1.5]
    assert columns == {"next_token": [2.0, 1.0]}
    draw([log], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 800
