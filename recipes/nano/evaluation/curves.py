"""The curves of all trainings as one picture: `python -m recipes.nano.evaluation.curves [--out docs/curves.png]`."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from recipes.nano.paths import ROOT, RUNS

_COLUMNS = 3
_POINTS = 120  # a curve is averaged to about so many


def read_log(path: Path) -> tuple[list[float], dict[str, list[float]]]:
    """A training's log.csv -> CPU minutes and the columns of losses; of a step that was done twice (after a resume) the last one."""
    rows: dict[str, dict[str, str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["step"]] = row
    columns = [name for name in next(iter(rows.values())) if name not in ("step", "cpu_seconds", "norm")]
    values = {name: [float(row[name]) if row[name] else float("nan") for row in rows.values()] for name in columns}
    return [float(row["cpu_seconds"]) / 60 for row in rows.values()], {name: column for name, column in values.items() if _known(column)}


def draw(logs: Sequence[Path], out: Path) -> None:
    """One panel a training, named by its folder below `RUNS`; all axes start at the beginning of their training."""
    rows = -(-len(logs) // _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(4.2 * _COLUMNS, 2.6 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(logs) :]:
        axis.set_axis_off()
    for axis, log in zip(axes.flat[: len(logs)], logs, strict=True):
        minutes, columns = read_log(log)
        for name, values in columns.items():
            axis.plot(_thin(minutes), _thin(values), label=name.replace("_", " "))
        axis.set_title(str(log.parent.relative_to(RUNS) if log.is_relative_to(RUNS) else log.parent.name), fontsize=10)
        axis.set_xlabel("CPU minutes", fontsize=8)
        axis.set_yscale("log")
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)
    plt.close(figure)


def _thin(values: Sequence[float]) -> list[float]:
    """Means of neighbours, what is not known left out."""
    size = max(1, len(values) // _POINTS)
    groups = [[value for value in values[i : i + size] if value == value] for i in range(0, len(values), size)]
    return [sum(group) / len(group) if group else float("nan") for group in groups]


def _known(column: Sequence[float]) -> bool:
    return any(value == value for value in column)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draw the curves of all trainings below runs/nano.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "curves.png")
    options = parser.parse_args(arguments)
    logs = sorted(RUNS.rglob("log.csv"))
    if not logs:
        parser.error(f"there is no log.csv below {RUNS}; run `python3 launch.py train nano` first.")
    draw(logs, options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
