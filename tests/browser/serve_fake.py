"""The page over the fake engine, as a process of its own. Runs in a fork of a process that has imported everything already."""

import os
import time
from pathlib import Path

from app.chat import make_page, serve
from app.settings import read_settings
from tests.app.fake_engine import FakeEngine


def serve_fake(
    port: int, log: Path, environment: dict[str, str], *, slow: float, auth: bool = False, loaded_when: Path | None = None
) -> None:
    """Serve until killed. The model has loaded when the file `loaded_when` is there; `slow` is the pace of "slow" media."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    os.environ.update(environment)

    def load() -> FakeEngine:
        while loaded_when and not loaded_when.exists():
            time.sleep(0.05)
        return FakeEngine(word_seconds=0.01, step_seconds=0.03, steps=10, slow=slow)

    settings = read_settings()
    page = make_page(load, settings, name="fake")
    serve(page, settings, port=port, auth=[("ada", "secret")] if auth else None)
