"""Runs one decoder in a thread of its own and hands out its progress as events, so that a turn stays a plain iterator."""

import logging
import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nextgpt_core.config import SamplingConfig
from nextgpt_core.decoders.base import Decoder, DecoderSettings
from nextgpt_core.errors import Cancelled
from nextgpt_core.messages import MediaProgress, TurnSettings

log = logging.getLogger(__name__)
PREVIEWS = 6  # pictures of what is unfinished per generation


def generate_with_progress(
    decoder: Decoder,
    condition: Tensor,
    *,
    index: int,
    settings: DecoderSettings,
    generator: torch.Generator,
    cancelled: Callable[[], bool],
) -> Generator[MediaProgress, None, Any]:
    """Condition [L, D] -> the file's content (as the generator's return value), with an event per denoising step.

    Raises what the decoder raises, and Cancelled within one step.
    """

    def work(emit: Callable[[MediaProgress], None]) -> Any:
        def on_step(step: int, steps: int, latents: Tensor) -> None:
            if cancelled():
                raise Cancelled("Stopped.")
            shown = decoder.preview(latents) if step < steps and step % max(1, steps // PREVIEWS) == 0 else None
            emit(MediaProgress(index, decoder.modality, step, steps, shown))

        return decoder.generate(condition, settings=settings, generator=generator, on_step=on_step)

    return (yield from _in_background(work))


def decoder_settings(settings: TurnSettings, defaults: DecoderSettings) -> DecoderSettings:
    """The turn's settings where it has some, the decoder's own elsewhere."""
    return replace(defaults, **_said(settings, ("steps", "guidance", "seconds", "frames")))


def sampling_settings(settings: TurnSettings, defaults: SamplingConfig) -> SamplingConfig:
    """The turn's settings where it has some, the preset's elsewhere."""
    return replace(defaults, **_said(settings, ("temperature", "top_p", "max_new_tokens")))


def _said(settings: TurnSettings, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(settings, name)) is not None}


def _in_background(work: Callable[[Callable[[MediaProgress], None]], Any]) -> Generator[MediaProgress, None, Any]:
    """Run `work(emit)` in a thread; yields what it emits and returns what it returns. Closing the generator stops it at its next emit."""
    items: queue.SimpleQueue[MediaProgress | None] = queue.SimpleQueue()
    results: list[Any] = []
    failures: list[BaseException] = []
    abandoned = threading.Event()

    def emit(item: MediaProgress) -> None:
        if abandoned.is_set():
            raise Cancelled("Nobody is waiting any more.")
        items.put(item)

    def run() -> None:
        try:
            results.append(work(emit))
        except BaseException as error:
            failures.append(error)  # raised again in the waiting thread
        finally:
            items.put(None)

    thread = threading.Thread(target=run, name="decoder", daemon=True)
    thread.start()
    try:
        while (item := items.get()) is not None:
            yield item
    finally:
        abandoned.set()
        thread.join()
    if failures:
        raise failures[0]
    return results[0]
