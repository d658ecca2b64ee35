"""Files from outside are read in a helper process (helper.py): whatever a library does with them there ends within a limit of time and
memory, and never takes this process along. `read` is the one way in."""

import atexit
import json
import logging
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from nextgpt_core.errors import Cancelled, MediaError, MediaTooLarge, UnsupportedMedia
from nextgpt_core.modalities.limits import Limits, check_size, display_name

log = logging.getLogger(__name__)

Stop = Callable[[], bool] | None
# What each task may take: seconds of processor time (where the system can limit that), and seconds on the clock.
SECONDS: dict[str, tuple[int, float]] = {"look": (10, 40.0), "describe": (10, 40.0), "load": (60, 180.0), "preview": (60, 180.0)}
MEMORY = 2**30  # bytes of a helper, beyond what it starts with
HELPERS, SHORT = 6, ("sniff", "look", "describe", "provenance")  # at work together at most; two of them only for short tasks
SPARE = 2  # kept for the next files
PATIENCE = 60.0  # seconds that a file waits for a helper
BEAT = 0.05  # seconds between two looks at whether to go on
MAX_FACTS, MAX_ARRAY = 2**20, 2**28  # bytes of an answer
KINDS = ("uint8", "float32")
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")  # of our environment
CANNOT_START = "Files cannot be read here: `python -m nextgpt_core.modalities.helper` does not start, and says why."
ANYTHING = Limits(max_bytes=2**63)  # each modality has its own bound; here only: is there anything


class ReadersBusy(MediaError):
    """All helpers are at work; the file may be fine."""


@dataclass(frozen=True)
class Answer:
    """What a helper says: facts as JSON holds them, and perhaps an array of uint8 or float32. Nothing of it can run."""

    facts: dict[str, Any]
    array: np.ndarray


def read(task: str, path: Path, *, modality: str = "", limits: Limits | None = None, cancelled: Stop = None) -> Answer:
    """Have a helper do `task` (a key of helper.TASKS) with a file.

    Raises UnsupportedMedia or MediaTooLarge with what to do about the file, ReadersBusy, or Cancelled once `cancelled()` is true.
    """
    path = Path(path).absolute()
    check_size(path, limits or ANYTHING)
    stop = cancelled or _never
    processor, clock = SECONDS.get(task, SECONDS["look"])
    request = {"task": task, "path": str(path), "modality": modality, "limits": limits and asdict(limits), "seconds": processor}
    helper = _pool.borrow(path, stop, HELPERS if task in SHORT else HELPERS - 2)
    try:
        answer = helper.ask(json.dumps(request).encode() + b"\n", clock, stop)
    except _TookTooLong as error:
        raise MediaTooLarge(f"{display_name(path)} takes too long to read; please send a smaller or shorter copy.") from error
    except _Fell as error:
        raise UnsupportedMedia(
            f"{display_name(path)} cannot be read: it is damaged or needs too much memory; please send it smaller or in another format."
        ) from error
    finally:
        _pool.take_back(helper)
    if "error" in answer.facts:
        raise _refusal(answer.facts)
    return answer


def warm() -> None:
    """Start a helper ahead, so that the first file does not wait for it. Returns at once."""
    with suppress(MediaError):  # the first file says so
        _pool.warm()


def _never() -> bool:
    return False


def _refusal(facts: dict[str, Any]) -> MediaError:
    if facts.get("unexpected"):
        log.warning("a file could not be read: %.500s", facts["unexpected"])
    sentence = "".join(one for one in str(facts.get("sentence"))[:400] if one.isprintable())
    return (MediaTooLarge if facts["error"] == "MediaTooLarge" else UnsupportedMedia)(sentence)


class _TookTooLong(Exception):
    """The helper was ended for its time."""


class _Fell(Exception):
    """The helper ended by itself, or for its memory, or answered what it cannot have meant."""


class _Helper:
    """One process that reads one file after the other, until it is ended."""

    def __init__(self) -> None:
        # It finds the code where this process did, not where somebody started it, and nothing secret of ours goes along.
        environment = {name: value for name, value in os.environ.items() if name.upper() in PASSED_ON}
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(place).absolute()) for place in sys.path if place)
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nextgpt_core.modalities.helper", str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=tempfile.gettempdir(),
            start_new_session=True,  # Ctrl+C is for us
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._greeted = False
        self._at_rest = 0  # bytes

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: bytes, clock: float, cancelled: Callable[[], bool]) -> Answer:
        """Send a request and wait for its answer. Whatever is raised, MediaError and Cancelled among it, the helper is then ended."""
        answer: Future[Answer] = Future()
        threading.Thread(target=self._exchange, args=(request, answer), name="reading", daemon=True).start()
        end = time.monotonic() + clock
        try:
            while not wait([answer], BEAT).done:
                if cancelled():
                    raise Cancelled("Stopped.")
                if time.monotonic() > end:
                    raise _TookTooLong
                if self._greeted and self._memory() - self._at_rest > MEMORY:
                    raise _Fell
            return answer.result()
        except (MediaError, Cancelled, _TookTooLong, _Fell):
            self.end()
            raise
        except Exception as error:  # what came is no answer, or the process is gone: how?
            out_of_time = self._returncode() == -getattr(signal, "SIGXCPU", math.inf)
            self.end()
            raise (_TookTooLong if out_of_time else _Fell) from error

    def end(self) -> None:
        self._process.kill()
        self._returncode()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()

    def _returncode(self) -> int | None:
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return None

    def _exchange(self, request: bytes, answer: "Future[Answer]") -> None:
        """Runs in a thread of its own, which ends with the answer or the process."""
        sink, source = self._process.stdin, self._process.stdout
        assert sink is not None and source is not None
        try:
            if not self._greeted and source.read(1) != b"!":
                raise MediaError(CANNOT_START)
            if not self._greeted:
                self._greeted, self._at_rest = True, self._memory()
            sink.write(request)
            sink.flush()
            (size,) = struct.unpack("<I", _exactly(source, 4))
            if size > MAX_FACTS:
                raise ValueError("these facts are too long")
            facts = json.loads(_exactly(source, size))
            array = _empty(*facts.pop("array"))
            _fill(source, array)
            answer.set_result(Answer(facts, array))
        except BaseException as error:
            answer.set_exception(error)

    def _memory(self) -> int:
        """Bytes in use; RLIMIT_AS, which the helper sets itself, bounds them sooner where there is such a thing."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0


def _exactly(source: IO[bytes], size: int) -> bytes:
    found = source.read(size)
    if len(found) < size:
        raise EOFError
    return found


def _empty(kind: str, shape: list[int]) -> np.ndarray:
    """Room for an array that was announced. Raises ValueError where none of that kind or size can be meant."""
    if kind not in KINDS or len(shape) > 4 or not all(isinstance(one, int) and 0 <= one <= MAX_ARRAY for one in shape):
        raise ValueError("this is no array of ours")
    if math.prod(shape) * np.dtype(kind).itemsize > MAX_ARRAY:
        raise ValueError("this array is too large")
    return np.empty(shape, kind)


def _fill(source: IO[bytes], array: np.ndarray) -> None:
    left = memoryview(array.reshape(-1).view(np.uint8).data)
    while left:
        count = source.readinto(left)  # type: ignore[attr-defined]  # a BufferedReader has it
        if not count:
            raise EOFError
        left = left[count:]


class _Pool:
    """The helpers that there are. Each reads one file at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[_Helper] = []
        self._count = 0  # idle or at work

    def borrow(self, path: Path, cancelled: Callable[[], bool], most: int) -> _Helper:
        """A helper, once fewer than `most` are at work."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                while self._idle and not self._idle[-1].alive:
                    self._idle.pop()
                    self._count -= 1
                if self._count - len(self._idle) < most:
                    if self._idle:
                        return self._idle.pop()
                    self._count += 1
                    break
                if cancelled():
                    raise Cancelled("Stopped.")
                if time.monotonic() > end:
                    raise ReadersBusy(
                        f"{display_name(path)} was not read, as many other files are being read; please try again in a minute."
                    )
                self._changed.wait(BEAT)
        return self._started()

    def take_back(self, helper: _Helper) -> None:
        with self._changed:
            keep = helper.alive and len(self._idle) < SPARE
            if keep:
                self._idle.append(helper)
            else:
                self._count -= 1
            self._changed.notify()
        if not keep:
            helper.end()
            with suppress(MediaError):  # whoever needs the next one is told
                self.warm()

    def warm(self) -> None:
        with self._changed:
            if self._idle or self._count >= HELPERS:
                return
            self._count += 1
        helper = self._started()
        with self._changed:
            self._idle.append(helper)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            idle, self._idle = self._idle, []
            self._count -= len(idle)
        for helper in idle:
            helper.end()

    def _started(self) -> _Helper:
        """A new helper, which was counted already."""
        try:
            return _Helper()
        except OSError as error:
            with self._changed:
                self._count -= 1
            raise MediaError(CANNOT_START) from error


_pool = _Pool()
atexit.register(lambda: _pool.close())  # those at work end with their pipes


def _forget() -> None:
    """In a fork: the helpers are the other process's."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
