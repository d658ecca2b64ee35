"""What every test run shares."""

import os

import pytest

os.environ.setdefault("NEXTGPT_BFLOAT16", "0")  # training tests compute the same on every processor


@pytest.fixture
def counted_seconds(monkeypatch: pytest.MonkeyPatch) -> int:
    """Sessions of training count steps instead of CPU seconds, this many in each: their tests learn as long on every machine."""
    from nextgpt_core.train.session import Session

    steps = 10
    monkeypatch.setattr(Session, "seconds", property(lambda session: session.step / steps))
    return steps
