"""Gradio's inner parts are what they were when app/replaced.py was written. That each still has its fault is shown where it is replaced:
tests named test_gradio_alone_… in test_page_events.py, test_streams.py and test_private.py."""

import hashlib
import inspect
import pkgutil
from typing import Any

import gradio as gr
import pytest

from app.replaced import INNER, Inner

SOURCES = {inner: inspect.getsource(pkgutil.resolve_name(inner.source)) for inner in INNER}  # read before any test serves a page


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: inner.name)
def test_an_inner_part_is_as_it_was(inner: Inner) -> None:
    digest = hashlib.sha256(SOURCES[inner].encode()).hexdigest()[:16]
    assert digest == inner.digest, (
        f"{inner.source} is another one in Gradio {gr.__version__}. Read it and {inner.here}, run the tests that this file names, in the "
        f"browser too, and note {digest} in app/replaced.py."
    )
    pkgutil.resolve_name(inner.here)


@pytest.mark.parametrize("name", [inner.name for inner in INNER])
def test_what_is_replaced_is_there(name: str) -> None:
    """Nothing is set that nobody reads."""
    owner, _, part = name.rpartition(".")
    found: Any = pkgutil.resolve_name(owner)
    assert hasattr(found, part) or f"self.{part}" in inspect.getsource(found)
