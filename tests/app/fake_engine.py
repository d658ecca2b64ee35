"""An engine without a model: it emits every kind of event, with small made media and previews, at a pace that a test sets."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nextgpt_core.errors import GenerationError
from nextgpt_core.messages import (
    Event,
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
from nextgpt_core.modalities import MODALITIES, AudioClip, VideoClip

WORDS = {"image": ("picture", "draw", "photo"), "audio": ("sound", "hear"), "video": ("video", "film", "move")}
SPAN = 4


class FakeEngine:
    """Answers "Here you are." and makes what the message names.

    In a message, "slow" and "endless" slow the steps down, "long" makes the text long, "endless story" has to be stopped, "broken" makes
    a decoder fail, "crash" the turn ("crash once": the first time)."""

    def __init__(self, *, word_seconds: float = 0.01, step_seconds: float = 0.02, steps: int = 10, slow: float = 6.0) -> None:
        self.word_seconds = word_seconds
        self.step_seconds = step_seconds
        self.steps = steps
        self.slow = slow
        self.turns: list[tuple[list[Message], TurnSettings]] = []

    def turn(self, messages: Sequence[Message], settings: TurnSettings, *, cancel: threading.Event, out_dir: Path) -> Iterator[Event]:
        self.turns.append((list(messages), settings))
        started = time.monotonic()
        text, heard = messages[-1].text, messages[-1].media
        seed = settings.seed if settings.seed is not None else len(self.turns)
        again = any(earlier[-1].text == text for earlier, _ in self.turns[:-1])
        if "crash" in text and not ("once" in text and again):
            raise GenerationError("The engine fell over on purpose.")
        step_seconds = self.step_seconds * (10 * self.slow if "endless" in text else self.slow if "slow" in text else 1)
        seconds = {"perceive": 0.05 * len(heard), "prompt": 0.02, "read": 0.1}
        reply = f"I see {', '.join(f'a {MODALITIES[m.modality].noun}' for m in heard)}. " if heard else ""
        reply += "long " * (100_000 if "endless story" in text else 400) if "long" in text or "endless story" in text else "Here you are."
        said = ""
        for word in re.findall(r"\S+\s*", reply):
            if cancel.wait(self.word_seconds):
                break
            said += word
            yield TextDelta(word)
        made, spans, position = [], [], len(said.split())
        for index, modality in enumerate(wanted(text, settings)):
            if cancel.is_set():
                break
            spans.append(SignalSpan(modality, position, SPAN))
            position += SPAN
            yield spans[-1]
            steps = settings.steps or self.steps
            yield MediaStarted(index, modality, steps)
            begun = time.monotonic()
            for step in range(1, steps + 1):
                if cancel.wait(step_seconds):
                    break
                yield MediaProgress(index, modality, step, steps, preview(modality, step / steps) if step % 2 == 0 else None)
            if cancel.is_set():
                break
            if "broken" in text:
                yield MediaFailed(index, modality, "this decoder is broken on purpose")
                continue
            spec = MODALITIES[modality]
            provenance = {"preset": "fake", "seed": seed, "settings": {"steps": steps, "guidance": 5.0}}  # the real engine's form
            media = spec.save(content(modality, seed), out_dir / f"{time.time_ns():x}-{index}{spec.save_suffix}", provenance=provenance)
            seconds[modality] = time.monotonic() - begun
            made.append(media)
            yield MediaReady(index, media)
        finish: Literal["stop", "cancelled"] = "cancelled" if cancel.is_set() else "stop"
        if spans:
            seconds["project"] = 0.01
        seconds["write"] = time.monotonic() - started
        yield TurnDone(Message("assistant", (said, *made)), tuple(spans), seconds, seed, finish, 40, position)


def wanted(text: str, settings: TurnSettings) -> list[str]:
    if settings.answer_with is not None:
        return [name for name in MODALITIES if name in settings.answer_with]
    named = [name for name, words in WORDS.items() if any(word in text.lower() for word in words)]
    return [name for name in named if name not in settings.forbid]


def content(modality: str, seed: int) -> Any:
    if modality == "image":
        return picture(seed % 7 / 7, 128)
    if modality == "video":
        return VideoClip(np.stack([picture((seed % 7 + step) / 8, 64) for step in range(8)]), 8.0)
    at = np.arange(int(2.5 * 16_000)) / 16_000
    wave = 0.4 * np.sin(2 * np.pi * (220 + 40 * (seed % 7)) * at) * np.exp(-at) * (1 + 0.5 * np.sin(2 * np.pi * 3 * at))
    return AudioClip(wave.astype(np.float32), 16_000)


def preview(modality: str, done: float) -> np.ndarray:
    if modality == "audio":
        pixels = np.zeros((64, 160, 3), np.uint8)
        pixels[:, : int(160 * done)] = np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None]
        return pixels
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3))
    return (picture(0.3, 64) * done + noise * (1 - done)).astype(np.uint8)


def picture(hue: float, size: int) -> np.ndarray:
    """A sun over hills, uint8 [size, size, 3]."""
    y, x = np.mgrid[0:size, 0:size] / size
    sky = np.stack([0.55 + 0.4 * y, 0.7 + 0.2 * y, 0.95 - 0.1 * y], -1)
    sky[(x - 0.2 - 0.6 * hue) ** 2 + (y - 0.3) ** 2 < 0.015] = (1.0, 0.85, 0.3)
    sky[y > 0.7 + 0.08 * np.sin(7 * x + hue)] = (0.35, 0.65, 0.4)
    sky[y > 0.82 + 0.05 * np.sin(9 * x + 2)] = (0.25, 0.5, 0.35)
    return (sky * 255).astype(np.uint8)
