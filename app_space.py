"""Entry point of a Hugging Face Space: the chat page with the preset that PRESET names (nano by default).

Works without a GPU and without the `spaces` package; where both are there (ZeroGPU), each turn runs in a GPU slot of the length it needs.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

try:
    import spaces  # must come before torch is imported
except ImportError:  # any machine but a ZeroGPU Space
    spaces = None

from app.chat import make_page, serve
from app.cli import load_engine
from app.jobs import TurnMaker
from app.settings import read_settings
from nextgpt_core.messages import Event, Message, TurnSettings

PRESET = os.environ.get("PRESET", "nano")
STEPS = {"image": 50, "video": 40, "audio": 50}  # what a decoder takes where the request does not say
STEP_SECONDS = {"image": 0.06, "video": 1.0, "audio": 0.06}


def slot_seconds(messages: Sequence[Message], settings: TurnSettings, *_: Any, **__: Any) -> int:
    """How long a GPU is asked for: the text, the files to look at, and the decoders that may run."""
    may = settings.answer_with if settings.answer_with is not None else frozenset({"image"})
    may = frozenset(may) - settings.forbid - {"text"}
    making = sum((settings.steps or STEPS[modality]) * STEP_SECONDS[modality] for modality in may)
    files = sum(len(message.media) for message in messages)
    return min(300, round(15 + settings.max_new_tokens * 0.05 + files + making))


class SlotEngine:
    """Runs each turn of an engine inside a ZeroGPU slot. A slot is a process of its own, which a cancel ends by closing it."""

    def __init__(self, engine: TurnMaker) -> None:
        def turn(messages: list[Message], settings: TurnSettings, out_dir: Path) -> Iterator[Event]:
            yield from engine.turn(messages, settings, cancel=threading.Event(), out_dir=out_dir)

        self._turn = spaces.GPU(duration=slot_seconds)(turn) if spaces is not None else turn

    def turn(
        self, messages: Sequence[Message], settings: TurnSettings, *, cancel: threading.Event, out_dir: Path
    ) -> Iterator[Event]:
        for event in self._turn(list(messages), settings, out_dir):
            yield event
            if cancel.is_set():
                return


def load() -> TurnMaker:
    """The engine of the preset, in slots where there are any."""
    engine: TurnMaker = load_engine(PRESET)
    return SlotEngine(engine) if spaces is not None and os.environ.get("SPACES_ZERO_GPU") else engine


def main() -> None:
    settings = read_settings()
    page = make_page(load, settings, name=PRESET)
    serve(page, settings, host="0.0.0.0", port=int(os.environ.get("PORT", "7860")))


if __name__ == "__main__":
    main()
