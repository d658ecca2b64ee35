"""Copies of files that browsers cannot show: made one after the other while nobody waits, the first time that such a file is shown."""

import logging
import queue
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from app.files import FileStore, StoredFile
from nextgpt_core.errors import Cancelled, MediaError
from nextgpt_core.modalities.preview import preview
from nextgpt_core.modalities.reading import Stop

logger = logging.getLogger(__name__)
WAITING = 50  # files at most
REMEMBERED = 10_000  # files whose copy is in the making, or cannot be made


@dataclass(frozen=True)
class Order:
    """A copy to be made, unless `stopped()`."""

    file: StoredFile
    stopped: Stop


class Copies:
    """Of a store's files."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._states: OrderedDict[StoredFile, str] = OrderedDict()  # "making" or "failed"
        self._orders: queue.Queue[Order] = queue.Queue()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self.made = 0  # how often one was made, or turned out not to be possible

    def of(self, file: StoredFile, *, stopped: Stop = None) -> Path | None:
        """A file's copy. Where there is none yet it is ordered; the order ends once `stopped()` is true."""
        path = self._store.copy_path(file)
        if path.is_file():
            return path
        with self._lock:
            if file not in self._states and self._orders.qsize() < WAITING:
                self._states[file] = "making"
                while len(self._states) > REMEMBERED:
                    self._states.popitem(last=False)
                self._orders.put(Order(file, stopped))
                if self._worker is None:
                    self._worker = threading.Thread(target=self._work, name="copies", daemon=True)
                    self._worker.start()
        return None

    def making(self, *files: StoredFile) -> bool:
        """Whether a copy of any of them is still to come."""
        return any(self._states.get(file) == "making" for file in files)

    def _work(self) -> None:
        while True:
            order = self._orders.get()
            state = "failed"
            try:
                self._make(order)
                state = ""
            except Cancelled:
                pass
            except (MediaError, OSError) as error:
                logger.info("no copy for the browser: %s", error)
            except Exception:  # the next one must be made; the reason is in the log
                logger.exception("a copy for the browser could not be made")
            with self._lock:
                self._states.pop(order.file, None)
                if state:
                    self._states[order.file] = state
            self.made += 1

    def _make(self, order: Order) -> None:
        if order.stopped is not None and order.stopped():
            raise Cancelled("Stopped.")
        source, target = self._store.path(order.file), self._store.copy_path(order.file)
        content = preview(source, order.file.modality, cancelled=order.stopped).content
        if not self._store.has_room(len(content)):
            raise OSError("there is no room for it")
        unfinished = target.with_suffix(".tmp")
        unfinished.write_bytes(content)
        unfinished.replace(target)
        if not source.is_file():  # deleted meanwhile
            target.unlink(missing_ok=True)
