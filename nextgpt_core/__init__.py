"""NExT-GPT: an any-to-any multimodal chat model (arXiv 2309.05519).

    engine = Engine.load("nano")
    for event in engine.turn([Message("user", ("draw a cat",))], out_dir=Path("made")): ...

Importing this package loads nothing; its names are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nextgpt_core.engine import Engine
    from nextgpt_core.errors import NextGPTError
    from nextgpt_core.messages import (
        Event,
        Media,
        MediaFailed,
        MediaProgress,
        MediaReady,
        MediaStarted,
        Message,
        SignalSpan,
        TextDelta,
        TurnDone,
        TurnSettings,
    )

_EVENTS = ("Event", "TextDelta", "SignalSpan", "MediaStarted", "MediaProgress", "MediaReady", "MediaFailed", "TurnDone")
_PLACES = {
    "Engine": "nextgpt_core.engine",
    "NextGPTError": "nextgpt_core.errors",
    **dict.fromkeys(("Message", "Media", "TurnSettings", *_EVENTS), "nextgpt_core.messages"),
}

__all__ = [
    "Engine",
    "Event",
    "Media",
    "MediaFailed",
    "MediaProgress",
    "MediaReady",
    "MediaStarted",
    "Message",
    "NextGPTError",
    "SignalSpan",
    "TextDelta",
    "TurnDone",
    "TurnSettings",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
