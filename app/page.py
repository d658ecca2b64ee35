"""Gradio's Blocks and queue without the work that this page has no use for.

Left to itself Gradio looks for new events a thousand times a second, takes every value of every event to a thread and back, makes a
component anew for each of its updates, searches all of a conversation for files at each word, and counts all events after each. None of it
is seen by anybody, and the model shares a processor with it.
"""

import asyncio
import contextlib
import copy
import time
from collections.abc import Iterable
from typing import Any

import gradio as gr
from gradio import processing_utils, utils
from gradio.blocks import Block
from gradio.components.base import FormComponent
from gradio.queueing import Queue

from app.files import FileStore


class Ready:
    """A new value in the form in which the browser gets it. What Gradio does to lists and dicts passes it by."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Page(gr.Blocks):
    """Blocks that change what an event changes, at once."""

    store: FileStore
    light: frozenset[Block] = frozenset()  # components whose updates change nothing but what the browser shows

    def queue(self, *arguments: Any, **named: Any) -> "Page":
        """As Gradio's, with the queue below."""
        utils.MatplotlibBackendMananger = contextlib.nullcontext  # type: ignore[assignment, misc] # nothing here draws with it
        super().queue(*arguments, **named)
        old: Any = self._queue
        values = old.live_updates, old.max_thread_count, old.update_intervals, old.max_size, self, old.default_concurrency_limit
        self._queue: Any = Line(*values)
        return self

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False) -> list[Any]:
        """As Gradio's, without a thread for each value of a form: there is nothing to wait for in it."""
        if not block_fn.preprocess or not all(one.stateful or isinstance(one, FormComponent) for one in block_fn.inputs):
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        function = copy.copy(block_fn)
        function.preprocess = False
        values = await super().preprocess_data(function, inputs, state, explicit_call)
        return [one if block.stateful else read(block, one) for block, one in zip(block_fn.inputs, values)]

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio's, for what an event changes alone, and without a thread for each value."""
        predictions = {} if predictions == gr.skip() else predictions
        if not isinstance(predictions, dict) or not all(isinstance(one, Block) for one in predictions):
            return await super().postprocess_data(block_fn, predictions, state)
        made = dict(predictions)
        for block, value in predictions.items():
            if isinstance(value, Ready):
                continue
            if utils.is_prop_update(value) and block not in self.light:
                function = copy.copy(block_fn)
                function.outputs = [block]
                made[block] = (await super().postprocess_data(function, value, state))[0]
            else:
                made[block] = await processing_utils.async_move_files_to_cache(written(block, value), block, postprocess=True)
        return [made.get(one, gr.skip()) for one in block_fn.outputs]

    def handle_streaming_diffs(self, block_fn: Any, data: list[Any], *arguments: Any, final: bool, **named: Any) -> list[Any]:
        """As Gradio's, but the end of an event says nothing once more: it would show a whole conversation anew that is shown already."""
        values = unpacked(data)
        told = super().handle_streaming_diffs(block_fn, list(values), *arguments, final=final, **named)
        if final:
            return [gr.skip() for _ in told]
        return [one if one is value else right(one, value) for one, value in zip(told, values)]

    async def process_api(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        output = await super().process_api(*arguments, **named)
        return {**output, "data": unpacked(output["data"])}


class Line(Queue):
    """Gradio's queue, which waits for the next event instead of looking whether there is one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.progress_update_sleep_when_free = 1.0  # for gr.Progress, which the page does not use
        self._news = asyncio.Event()

    async def push(self, *arguments: Any, **named: Any) -> Any:
        try:
            return await super().push(*arguments, **named)
        finally:
            self._news.set()

    async def process_events(self, *arguments: Any, **named: Any) -> None:
        try:
            await super().process_events(*arguments, **named)
        finally:
            self._news.set()  # another one may have waited for its place

    stopped: bool

    async def start_processing(self) -> None:
        """Gradio's loop, but for the waiting."""
        try:
            while not self.stopped:
                await self._news.wait()
                self._news.clear()
                while None in self.active_jobs and (found := self.get_events()) is not None:
                    self._begin(*found)
        finally:
            self.stopped = True
            self._cancel_asyncio_tasks()

    def _begin(self, events: list[Any], batch: bool, concurrency_id: str) -> None:
        self.active_jobs[self.active_jobs.index(None)] = events
        event, now = events[0], time.time()
        waiting = self.event_queue_per_concurrency_id[concurrency_id]
        waiting.current_concurrency += 1
        waiting.start_times_per_fn[event.fn].add(now)
        task = utils.run_coro_in_background(self.process_events, events, batch, now, event.fn)
        utils.set_task_name(task, event.session_hash, event.fn._id, event._id, batch)
        self._asyncio_tasks.add(task)
        task.add_done_callback(self._asyncio_tasks.discard)
        self.broadcast_estimations(concurrency_id)

    def compute_analytics_summary(self, records: Any) -> Any:
        """Gradio would make tables of all events after each one, for a view that this page does not have."""
        return self.cached_event_analytics_summary


def read(block: Any, value: Any) -> Any:
    """What a component makes of what the browser sent."""
    model = getattr(block, "data_model", None)
    return block.preprocess(model.model_validate(value) if model and value is not None else value)


def written(block: Any, value: Any) -> Any:
    """What the browser gets for a component's new value, or for an update that may hold one."""
    if utils.is_prop_update(value):
        return {**value, "value": written(block, value["value"])} if "value" in value else value
    made = block.postprocess(value)
    return made.model_dump() if hasattr(made, "model_dump") else made


def right(edits: list[Any], value: Any) -> list[Any]:
    """A difference as Gradio tells it, or all of the value where several items of lists are gone: it counts these wrongly."""
    gone = [path for kind, path, _ in edits if kind == "delete" and isinstance(path[-1], int)]
    return [["replace", [], value]] if len(gone) > 1 else edits


def unpacked(data: Iterable[Any]) -> list[Any]:
    return [one.value if isinstance(one, Ready) else one for one in data]
