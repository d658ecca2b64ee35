"""The model is loaded in the background while the page is already there."""

import logging
import threading
import time
from collections.abc import Callable

from app.jobs import TurnMaker
from nextgpt_core.errors import CheckpointError, NextGPTError

logger = logging.getLogger(__name__)


class Loader:
    """Calls `load` once, in its own thread. `state` is loading, ready or failed."""

    def __init__(self, load: Callable[[], TurnMaker], *, name: str) -> None:
        self.name = name
        self.state = "loading"
        self.problem = ""
        self.seconds = 0.0
        self._load = load
        self._engine: TurnMaker | None = None
        self._done = threading.Event()

    def start(self) -> "Loader":
        threading.Thread(target=self._run, name="loading", daemon=True).start()
        return self

    def engine(self) -> TurnMaker:
        """The engine, waited for. Raises CheckpointError where it could not be loaded."""
        self._done.wait()
        if self._engine is None:
            raise CheckpointError(f"The model {self.name} could not be loaded: {self.problem}")
        return self._engine

    def _run(self) -> None:
        started = time.monotonic()
        try:
            self._engine = self._load()
            self.state = "ready"
        except (NextGPTError, ImportError, OSError) as error:
            logger.exception("loading %s failed", self.name)
            self.problem, self.state = str(error), "failed"
        except Exception as error:  # the page stays up and says so
            logger.exception("loading %s failed", self.name)
            self.problem, self.state = f"{type(error).__name__}: {error}", "failed"
        finally:
            self.seconds = time.monotonic() - started
            self._done.set()
