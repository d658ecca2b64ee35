"""What every test run shares."""

import gc
import os

import pytest

os.environ.setdefault("NEXTGPT_BFLOAT16", "0")  # training tests compute the same on every processor
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # torch, which is not imported yet, would give each of them all cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))


def pytest_collection_finish() -> None:
    """Torch, transformers and diffusers are loaded now, some million objects: Python need not look for garbage among them each time."""
    gc.freeze()


@pytest.fixture
def counted_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions of training take ten steps for a CPU second: what is learnt is the same on every machine, whatever else it does."""
    from nextgpt_core.train.session import Session

    monkeypatch.setattr(Session, "seconds", property(lambda session: session.step / 10))
