"""The thread that deletes what is old: it outlives whatever goes wrong in a pass."""

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from app.chat import drop_sessions, start_sweeping
from app.files import FileStore
from app.library import Library


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
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
    start_sweeping(store, tmp_path, Library(store), gr.Blocks())
    until(lambda: not file.exists())


def test_closed_tabs_are_forgotten_and_open_ones_only_after_the_set_time() -> None:
    with gr.Blocks() as page:
        gr.State(1)
    drop_sessions(page, 86_400)  # not served yet
    holder = StateHolder()
    holder.set_blocks(page)
    for name, closed, hours in (("open", False, 2), ("closed", True, 2), ("just closed", True, 0.5), ("old", False, 30)):
        holder[name].is_closed = closed
        holder.time_last_used[name] = datetime.now() - timedelta(hours=hours)
    drop_sessions(page, 86_400)
    assert set(holder.session_data) == set(holder.time_last_used) == {"open", "just closed"}
