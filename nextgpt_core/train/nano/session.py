"""A resumable stretch of training: a budget in CPU seconds, a checkpoint, and a CSV of the curve. Shared by all of nano's trainers."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


class Session:
    """Counts CPU seconds over restarts; everything registered in `state` (name -> object with state_dict) is saved and restored."""

    def __init__(self, folder: Path, *, cpu_seconds: float, state: dict[str, Any], save_every: float = 300) -> None:
        """`folder` holds state.pt and log.csv. `save_every` is in CPU seconds."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.limit, self.save_every, self._state = folder, cpu_seconds, save_every, state
        self.step, self._before = 0, 0.0
        if (folder / "state.pt").exists():
            saved = torch.load(folder / "state.pt", weights_only=False)
            self.step, self._before = saved["step"], saved["seconds"]
            for name, part in state.items():
                part.load_state_dict(saved[name])
        self._start = self._saved = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds used so far, earlier runs included."""
        return self._before + time.process_time() - self._start

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is used up."""
        return min(1.0, self.seconds / self.limit)

    def steps(self) -> Iterator[int]:
        """Step numbers until the budget is used up; saves on the way and at the end."""
        while self.seconds < self.limit:
            yield self.step
            self.step += 1
            if time.process_time() - self._saved > self.save_every:
                self.save()
        self.save()

    def save(self) -> None:
        """Write state.pt through a temporary file."""
        saved = {name: part.state_dict() for name, part in self._state.items()}
        torch.save({"step": self.step, "seconds": self.seconds, **saved}, self.folder / "state.partial")
        (self.folder / "state.partial").replace(self.folder / "state.pt")
        self._saved = time.process_time()

    def log(self, **values: float) -> None:
        """One line of the curve: step, CPU seconds and the values."""
        row = {"step": self.step, "seconds": round(self.seconds, 1), **{name: round(value, 5) for name, value in values.items()}}
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def learning_rate(progress: float, *, peak: float, warmup: float = 0.02, cooldown: float = 0.3) -> float:
    """Trapezoid over the budget: up within `warmup`, flat, then linearly down to 5 % over the last `cooldown`."""
    if progress < warmup:
        return peak * (progress + 1e-3) / (warmup + 1e-3)
    return peak * min(1.0, 0.05 + 0.95 * (1 - progress) / cooldown)
