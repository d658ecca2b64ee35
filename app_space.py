"""Entry point of a Hugging Face Space: the chat page with the preset that PRESET names (nano by default). docs/spaces.md says how.

Works without a GPU and without the `spaces` package. On ZeroGPU each turn runs in a GPU slot of the length it needs. Three things follow
from how ZeroGPU works (package `spaces` 0.51): the function that asks for a slot is decorated when this module is imported, since the
slots are announced at launch; the model is loaded in the main thread before that, since only there is CUDA stood in for until a slot is
given; and a slot is another process, a copy of this one, from which values come back but no exceptions of ours.
"""

import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.threads import openmp_settings

os.environ.update(openmp_settings())  # OpenMP reads them once, when torch is loaded

try:
    import spaces  # must come before torch is imported
except ImportError:  # any machine but a Space
    spaces = None

import gradio as gr

from app.chat import make_page, serve
from app.cli import load_engine
from app.jobs import TurnMaker
from app.settings import read_settings
from nextgpt_core.config import PRESET_FILE, load_preset
from nextgpt_core.errors import GenerationError, NextGPTError
from nextgpt_core.messages import Event, Message, TurnSettings
from nextgpt_core.published.fetch import SOURCES_FILE, fetch

log = logging.getLogger(__name__)
PRESET = os.environ.get("PRESET", "nano")
PRECISION = os.environ.get("PRECISION")  # of the language model; empty: what fits
STORAGE = Path(os.environ.get("NEXTGPT_STORAGE", "/data"))  # where a Space keeps files over restarts, if it has such a place
ZERO_GPU = spaces is not None and bool(os.environ.get("SPACES_ZERO_GPU"))
STEPS = 25  # what a decoder of the published preset takes where the request does not say
STEP_SECONDS = {"image": 0.06, "video": 1.0, "audio": 0.06}  # a video of FRAMES frames, a sound of SECONDS seconds
FRAMES, SECONDS = 24, 9.0
MARGIN = 1.25  # a turn that outlives its slot is lost, and what is left of a slot costs its visitor nothing
LONGEST = 120  # seconds; a visitor's day has few minutes, and a slot longer than what is left of them is refused


def slot_seconds(messages: Sequence[Message], settings: TurnSettings, *_: Any) -> int:
    """How long a GPU is asked for: the text, the files to look at, and each file that is asked for; one of each kind where the model
    chooses."""
    asked = settings.answer_with
    longer = {"video": (settings.frames or FRAMES) / FRAMES, "audio": (settings.seconds or SECONDS) / SECONDS}
    may = [name for name in STEP_SECONDS if name not in settings.forbid and (asked is None or name in asked)]
    making = sum(STEP_SECONDS[name] * longer.get(name, 1.0) for name in may) * (settings.steps or STEPS)
    tokens = settings.max_new_tokens or load_preset(PRESET).sampling.max_new_tokens
    files = sum(len(message.media) for message in messages)
    return min(LONGEST, round(MARGIN * (10 + tokens * 0.05 + files + making)))


class SlotEngine:
    """An engine whose turns run in slots. What a slot's copy of it remembers (prefixes, files looked at) is gone with the slot."""

    engine: TurnMaker | None = None  # the slots' own; set before the page is served

    def __init__(self, engine: TurnMaker) -> None:
        SlotEngine.engine = engine

    def turn(self, messages: Sequence[Message], settings: TurnSettings, *, cancel: threading.Event, out_dir: Path) -> Iterator[Event]:
        """As the engine's own. A cancel ends the slot at its next event. No slot to be had is a GenerationError that says why."""
        try:
            for event in turn_in_slot(list(messages), settings, out_dir):
                if isinstance(event, NextGPTError):
                    raise event
                yield event
                if cancel.is_set():
                    return
        except gr.Error as error:  # out of quota, no GPU free, the slot was taken away
            raise GenerationError(str(error.message)) from error


def turn_in_slot(messages: list[Message], settings: TurnSettings, out_dir: Path) -> Iterator[Event | NextGPTError]:
    """A turn of the engine; what it raises on purpose comes out as the last value, since ZeroGPU would keep only the error's name."""
    assert SlotEngine.engine is not None
    try:
        yield from SlotEngine.engine.turn(messages, settings, cancel=threading.Event(), out_dir=out_dir)
    except NextGPTError as error:
        yield error


if spaces is not None:
    turn_in_slot = spaces.GPU(duration=slot_seconds)(turn_in_slot)


def preset_with_weights(name: str) -> str:
    """A preset whose weights are there: bundled ones by their name, others as the folder they are fetched to. Raises CheckpointError."""
    bundled = load_preset(name).folder
    if not (bundled / SOURCES_FILE).is_file():
        return name
    folder = bundled
    if os.access(STORAGE, os.W_OK):
        folder = STORAGE / bundled.name
        folder.mkdir(exist_ok=True)
        for file in (PRESET_FILE, SOURCES_FILE):
            shutil.copy(bundled / file, folder / file)
    fetch(load_preset(folder), say=log.warning)
    return str(folder)


def load() -> TurnMaker:
    """The engine of the preset, fetched first where it has to be."""
    return load_engine(preset_with_weights(PRESET), PRECISION or None)


def main() -> None:
    settings = read_settings()
    if ZERO_GPU:
        os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"  # transformers would load in threads
    loaded = SlotEngine(load()) if ZERO_GPU else None  # here and now: see above; elsewhere the page is there while the model loads
    page = make_page(lambda: loaded or load(), settings, name=PRESET, sampling=load_preset(PRESET).sampling)
    serve(page, settings, host="0.0.0.0", port=int(os.environ.get("PORT", "7860")))


if __name__ == "__main__":
    main()
