"""The scorecard of the nano preset: its measures with fixed seeds, each with its 95 % interval and the floor it should pass.

`python3 launch.py eval nano [--quick] [--out DIR] [--only NAME …]` prints it as a table and writes scorecard.json and contact sheets.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nextgpt_core.build import build, build_template
from nextgpt_core.config import load_preset
from nextgpt_core.errors import NextGPTError
from recipes.nano.evaluation import measures
from recipes.nano.evaluation.judges.accuracy import judge_accuracies
from recipes.nano.evaluation.measures import Bench, Outcome
from recipes.nano.paths import ROOT

log = logging.getLogger(__name__)
OUT = ROOT / "outputs" / "scorecard"
JUDGE_FLOOR = 0.9  # a judge that is worse on reference items does not count


@dataclass(frozen=True)
class Measure:
    """One row: what it is called, how it is measured, the floor, the number of cases in full and in quick runs, whose judge it needs."""

    name: str
    trial: Callable[[Bench, int], Outcome]
    floor: float
    cases: int
    quick: int
    judge: str = ""
    at_most: bool = False  # the value should stay below the floor (perplexity)


MEASURES: tuple[Measure, ...] = (
    Measure("routing", measures.routing, 0.95, 400, 64),
    Measure("routing, others' words", measures.routing_of_others, 0.95, 600, 50),
    Measure("pictures named", measures.pictures_named, 0.60, 600, 96),
    Measure("photos named", measures.photos_named, 0.40, 348, 60),
    Measure("sounds named", measures.sounds_named, 0.80, 362, 60),
    Measure("videos named", measures.videos_named, 0.60, 264, 48),
    Measure("pictures made", measures.pictures_made, 0.50, 280, 24, judge="image"),
    Measure("pictures made to order", measures.pictures_to_order, 0.60, 280, 24, judge="attributes"),
    Measure("sounds made", measures.sounds_made, 0.70, 240, 24, judge="audio"),
    Measure("videos made", measures.videos_made, 0.50, 270, 12, judge="video"),
    Measure("chat kept (perplexity ratio)", measures.chat_kept, 1.10, 1000, 30, at_most=True),
)


@dataclass
class Row:
    """A measured row of the scorecard; `value` is None where it could not be measured, and `note` says why."""

    name: str
    floor: float
    at_most: bool
    value: float | None = None
    interval: tuple[float, float] | None = None
    cases: int = 0
    judge: str = ""
    judge_accuracy: float | None = None
    seconds: float = 0.0
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        if self.value is None or (self.judge and (self.judge_accuracy or 0.0) < JUDGE_FLOOR):
            return False
        return self.value <= self.floor if self.at_most else self.value >= self.floor


@dataclass
class Scorecard:
    """All rows of a run."""

    preset: str
    quick: bool
    seed: int
    rows: list[Row]
    seconds: float

    def table(self) -> str:
        """The rows as text, one line each."""
        lines = [f"{'measure':<30}{'value':>8}  {'95 % interval':<17}{'floor':>7}{'cases':>7}{'judge':>8}  result"]
        for row in self.rows:
            value, interval, judge = "-", "", "" if row.judge_accuracy is None else f"{row.judge_accuracy:.1%}"
            if row.value is not None and row.interval is not None:
                shown = "{:.3f}" if row.at_most else "{:.1%}"
                value, interval = shown.format(row.value), f"{shown} - {shown}".format(*row.interval)
            floor = f"{row.floor:.2f}" if row.at_most else f"{row.floor:.0%}"
            result = row.note or ("passed" if row.passed else "missed")
            lines.append(f"{row.name:<30}{value:>8}  {interval:<17}{floor:>7}{row.cases:>7}{judge:>8}  {result}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        rows = [{**asdict(row), "passed": row.passed} for row in self.rows]
        return {"preset": self.preset, "quick": self.quick, "seed": self.seed, "seconds": round(self.seconds, 1), "rows": rows}


def run(
    quick: bool,
    out: Path,
    *,
    preset: str = "nano",
    only: Collection[str] = (),
    seed: int = 2026,
    report: Callable[[Row], None] = lambda row: None,
) -> Scorecard:
    """Measure everything (or the measures whose names begin with one of `only`); `report` sees each row as soon as it is done.

    Writes scorecard.json, pictures.png, orders.png, sounds.png and videos.png into `out`. What cannot be measured (a part or a judge is
    not there) says so in its row. Raises CheckpointError where the model itself cannot be built.
    """
    begin = time.perf_counter()
    torch.manual_seed(seed)
    found = load_preset(preset)
    model = build(found)
    bench = Bench(model, build_template(found, model), found, out, seed)
    chosen = [measure for measure in MEASURES if not only or any(measure.name.startswith(name) for name in only)]
    accuracies = judge_accuracies({measure.judge for measure in chosen if measure.judge})
    rows = []
    for measure in chosen:
        rows.append(_measured(measure, bench, quick=quick, accuracies=accuracies))
        report(rows[-1])
    card = Scorecard(found.name, quick, seed, rows, time.perf_counter() - begin)
    out.mkdir(parents=True, exist_ok=True)
    (out / "scorecard.json").write_text(json.dumps(card.as_dict(), indent=1, ensure_ascii=False, default=_plain), encoding="utf-8")
    return card


def _measured(measure: Measure, bench: Bench, *, quick: bool, accuracies: dict[str, float]) -> Row:
    row = Row(measure.name, measure.floor, measure.at_most, judge=measure.judge, judge_accuracy=accuracies.get(measure.judge))
    begin = time.perf_counter()
    try:
        outcome = measure.trial(bench, measure.quick if quick else measure.cases)
        row.value, row.interval, row.cases, row.details = outcome.value, outcome.interval, outcome.cases, outcome.details
    except NextGPTError as error:
        row.note = f"not measured: {error}"
    row.seconds = round(time.perf_counter() - begin, 1)
    return row


def _plain(value: Any) -> Any:
    """NumPy numbers and sets as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `eval`; returns 0 where every floor is passed, else 1."""
    parser = argparse.ArgumentParser(prog="launch.py eval", description="Print the scorecard of a preset.")
    parser.add_argument("preset", nargs="?", default="nano")
    parser.add_argument("--quick", action="store_true", help="a sample of every measure, in about five minutes")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for scorecard.json and the contact sheets (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="only measures whose names begin so")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)

    def report(row: Row) -> None:
        sys.stderr.write(f"{row.name}: {'-' if row.value is None else f'{row.value:.3f}'} ({row.seconds:.0f} s) {row.note}\n")

    card = run(options.quick, options.out, preset=options.preset, only=tuple(options.only), report=report)
    sys.stdout.write(f"{card.table()}\n\n{card.seconds / 60:.1f} minutes; details and contact sheets are in {options.out}\n")
    return 0 if all(row.passed for row in card.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
