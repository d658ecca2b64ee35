"""The thread that deletes what is old: it outlives whatever goes wrong in a pass."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.chat import start_sweeping
from app.files import FileStore
from app.library import Library


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def old_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (1, 1))
    return path


def test_a_folder_that_vanishes_does_not_keep_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vanishing").mkdir()
    file, scandir = old_file(tmp_path / "z" / "old.png"), os.scandir

    def vanished(path: Any = ".") -> Any:
        if "vanishing" in str(path):
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanished)
    assert FileStore(tmp_path / "kept").sweep(within=tmp_path) == 1 and not file.exists()


def test_a_pass_that_fails_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path / "kept", keep_hours=1 / 3600)  # a pass each tenth of a second
    sweep, calls = store.sweep, []

    def fail_once(**named: Any) -> int:
        calls.append(named)
        if len(calls) == 1:
            raise OSError("the disk is away")
        return sweep(**named)

    monkeypatch.setattr(store, "sweep", fail_once)
    file = old_file(tmp_path / "a" / "old.png")
    start_sweeping(store, tmp_path, Library(store))
    until(lambda: not file.exists())
