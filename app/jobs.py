"""Answers are made by one worker thread, whoever watches: a reload, a lost connection or a second tab loses nothing."""

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.conversation import Answer, Conversation, Turn
from app.files import FileStore
from nextgpt_core.errors import NextGPTError
from nextgpt_core.messages import Event, Media, Message, TurnSettings

logger = logging.getLogger(__name__)


class TurnMaker(Protocol):
    """What the page needs of an engine."""

    def turn(self, messages: Sequence[Message], settings: TurnSettings, *, cancel: threading.Event, out_dir: Path) -> Iterator[Event]: ...


class ReadsAhead(Protocol):
    """nextgpt_core.modalities.ahead is one."""

    def prepare(self, files: Iterable[Media], *, cancelled: Callable[[], bool] | None = None) -> None: ...

    def forget(self, files: Iterable[Media]) -> None: ...


@dataclass
class Job:
    """One turn in the making. `version` counts its visible changes."""

    conversation: Conversation
    turn: Turn  # the one to answer: the conversation may have moved on when a stopped job comes up
    settings: TurnSettings
    cancel: threading.Event = field(default_factory=threading.Event)
    version: int = 0
    context: contextvars.Context = field(default_factory=contextvars.copy_context)  # of the request: ZeroGPU reads there whose turn it is

    @property
    def answer(self) -> Answer:
        return self.turn.answer

    def changed(self) -> None:
        self.version += 1


class Desk:
    """Takes turns in order of arrival and has the engine make them, one at a time."""

    def __init__(
        self, engine: Callable[[], TurnMaker], store: FileStore, *, max_waiting: int = 20, reader: ReadsAhead | None = None
    ) -> None:
        """`engine` is called for each turn; it may block while the model is loading and raises NextGPTError if that failed. `reader` reads
        a new message's files while others' turns are made, so that theirs do not wait for that."""
        self._engine = engine
        self._store = store
        self._max_waiting = max_waiting
        self._reader = reader
        self._queue: queue.Queue[Job] = queue.Queue()
        self._jobs: dict[str, Job] = {}  # by conversation, waiting or running, in order of arrival
        self._lock = threading.RLock()
        self._worker: threading.Thread | None = None

    def submit(self, conversation: Conversation, settings: TurnSettings) -> Job | None:
        """Have the conversation's last turn answered; None where too many wait already."""
        with self._lock:
            if len(self._jobs) > self._max_waiting:
                return None
            job = Job(conversation, conversation.turns[-1], settings)
            self._jobs[conversation.id] = job
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="answers", daemon=True)
                self._worker.start()
        if self._reader is not None and job.turn.files and len(job.turn.versions) == 1:
            threading.Thread(target=self._read_ahead, args=(job, self._reader), name="files", daemon=True).start()
        else:
            self._queue.put(job)
        return job

    def job(self, conversation_id: str) -> Job | None:
        return self._jobs.get(conversation_id)

    def ahead(self, job: Job) -> int:
        """How many turns are made before this one."""
        with self._lock:
            waiting = list(self._jobs.values())
        return waiting.index(job) if job in waiting else 0

    def stop(self, conversation_id: str) -> bool:
        """Stop a conversation's answer within one token or one step; what is there stays."""
        with self._lock:
            job = self._jobs.get(conversation_id)
            if job is None:
                return False
            job.cancel.set()
            if job.answer.status == "waiting":
                self._finish(job, "cancelled")
            return True

    def _files(self, job: Job) -> list[Media]:
        return [Media(file.modality, self._store.path(file)) for file in job.turn.files if self._store.has(file)]

    def _read_ahead(self, job: Job, reader: ReadsAhead) -> None:
        try:
            reader.prepare(self._files(job), cancelled=job.cancel.is_set)
        except NextGPTError:
            pass  # stopped
        except Exception:  # the engine reads them, and says what is wrong
            logger.exception("files could not be read ahead")
        self._queue.put(job)

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            self._answered(job)
            if self._reader is not None:
                self._reader.forget(self._files(job))

    def _answered(self, job: Job) -> None:
        if job.cancel.is_set():
            self._finish(job, "cancelled")
            return
        try:
            job.context.run(self._answer, job)
            self._finish(job, "cancelled" if job.cancel.is_set() else "done")
        except NextGPTError as error:
            self._finish(job, "failed", str(error))
        except MemoryError:
            self._finish(job, "failed", "There was not enough memory for this answer; try fewer or smaller files, or fewer frames.")
        except Exception:  # the page must go on; the reason is in the log
            logger.exception("a turn failed")
            self._finish(job, "failed", "Something went wrong while answering; press retry, and see the log if it happens again.")

    def _answer(self, job: Job) -> None:
        engine = self._engine()
        answer = job.answer
        with self._lock:  # a stop comes before, and ends the answer at once, or after, and the engine ends it
            if answer.finished:
                return
            answer.status = "running"
        job.changed()
        folder = self._store.folder(job.conversation.id)
        for event in engine.turn(job.conversation.messages(self._store), job.settings, cancel=job.cancel, out_dir=folder):
            answer.add(event, self._store)
            job.changed()

    def _finish(self, job: Job, status: str, error: str = "") -> None:
        with self._lock:
            if self._jobs.get(job.conversation.id) is not job:
                return
            if not job.answer.finished:
                job.answer.error, job.answer.status = error, status  # in this order: who sees it finished keeps how it looks
            job.conversation.updated = time.time()
            job.changed()
            del self._jobs[job.conversation.id]  # last: who sees it gone sees how it ended, and can send again
