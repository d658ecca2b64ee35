"""A resumable stretch of training: a budget, a checkpoint, and the curve as CSV. Every training in this project runs in one."""

import csv
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from nextgpt_core.train.parallel import furthest, rank

log = logging.getLogger(__name__)
STATE_FILE = "state.pt"
LOG_FILE = "log.csv"


class Stateful(Protocol):
    """What can be saved and restored: networks, optimizers, averages."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Training ends at the first of these limits. CPU seconds count over restarts."""

    steps: int | None = None
    cpu_seconds: float | None = None

    def used(self, step: int, seconds: float) -> float:
        """The share of the budget that is used up, 0 to 1."""
        shares = [step / self.steps] if self.steps else []
        shares += [seconds / self.cpu_seconds] if self.cpu_seconds else []
        return min(1.0, max(shares, default=1.0))


class Session:
    """Counts steps and CPU seconds over restarts; everything in `state` (name -> object) is saved and restored.

    In parallel processes (parallel.py) all of them agree on when it ends, and the first one writes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        budget: Budget,
        state: Mapping[str, Stateful],
        columns: Sequence[str] = (),
        save_every: float = 240.0,
        on_save: Callable[[], None] | None = None,
    ) -> None:
        """`folder` holds state.pt and log.csv. `columns` of the log: as its first row has them unless they are given. `on_save` follows
        each save (every `save_every` CPU seconds). Raises KeyError where the folder's state is another training's."""
        self.folder, self.budget, self.save_every = folder, budget, save_every
        self.step, self.progress = 0, 0.0
        self._state, self._columns, self._on_save, self._before = state, tuple(columns), on_save, 0.0
        if (folder / STATE_FILE).is_file():
            saved = torch.load(folder / STATE_FILE, weights_only=True)
            self.step, self._before = saved["step"], saved["seconds"]
            for name, part in state.items():
                part.load_state_dict(saved[name])
            log.info("going on from step %d of %s", self.step, folder)
        self._start = self._saved = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds used so far, earlier runs included."""
        return self._before + time.process_time() - self._start

    def steps(self) -> Iterator[int]:
        """Step numbers until the budget is used up, with `progress` from 0 to 1 beside them; saves on the way and at the end."""
        while (progress := furthest(self.budget.used(self.step, self.seconds))) < 1.0:
            self.progress = progress
            yield self.step
            self.step += 1
            if time.process_time() - self._saved > self.save_every:
                self.save()
        self.progress = 1.0
        self.save()

    def save(self) -> None:
        """Write state.pt through a temporary file."""
        if rank():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {name: part.state_dict() for name, part in self._state.items()}
        partial = self.folder / "state.partial"
        torch.save({"step": self.step, "seconds": self.seconds, **parts}, partial)
        partial.replace(self.folder / STATE_FILE)
        self._saved = time.process_time()
        if self._on_save is not None:
            self._on_save()

    def log(self, **values: float) -> None:
        """One line of the curve: step, CPU seconds and the values. A value that is not known is left empty."""
        if rank():
            return
        path = self.folder / LOG_FILE
        known = self._columns or _columns_of(path) or tuple(values)
        self.folder.mkdir(parents=True, exist_ok=True)
        new = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ("step", "cpu_seconds", *known), restval="")
            if new:
                writer.writeheader()
            rounded = {name: round(value, 5) for name, value in values.items()}
            writer.writerow({"step": self.step, "cpu_seconds": round(self.seconds, 1), **rounded})


def _columns_of(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(next(csv.reader(file), ())[2:])
