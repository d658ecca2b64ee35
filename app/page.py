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
from gradio.server_messages import ProcessCompletedMessage

from app.files import FileStore

KEPT = 1.0  # seconds after its last event for which a tab's connection is kept: browsers have few of them for all tabs of a page
ENDING = 0.5  # seconds in which a browser knows for sure that its connection was ended
REST = "rest"  # the event that keeps it


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
        utils.MatplotlibBackendMananger = contextlib.nullcontext  # nothing here draws with it
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
        return [one if block.stateful else read(block, one) for block, one in zip(block_fn.inputs, values, strict=True)]

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
        return [one if one is value else right(one, value) for one, value in zip(told, values, strict=True)]

    async def process_api(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        output = await super().process_api(*arguments, **named)
        return {**output, "data": unpacked(output["data"])}


class Line(Queue):
    """Gradio's queue, which waits for the next event instead of looking whether there is one, and keeps a tab's connection for a moment.

    Gradio ends a tab's connection with its last event. A browser that is told so after it was told of another event, which began meanwhile,
    would never hear of that one: it believed that it was connected. And just when an answer is there the next message is sent."""

    stopped: bool

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.progress_update_sleep_when_free = 1.0  # for gr.Progress, which the page does not use
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rests: dict[str, asyncio.TimerHandle] = {}  # by tab: when its connection ends
        self._ending: set[str] = set()  # tabs whose connection was just ended

    async def push(self, body: Any, *arguments: Any, **named: Any) -> Any:
        try:
            told = await super().push(body, *arguments, **named)
        finally:
            self._news.set()
        self._keep(body.session_hash)
        if body.session_hash in self._ending:  # the event begins, but the browser hears of it only when it knows of that end
            await asyncio.sleep(ENDING)
        return told

    async def process_events(self, events: list[Any], *arguments: Any, **named: Any) -> None:
        try:
            await super().process_events(events, *arguments, **named)
        finally:
            self._news.set()  # another one may have waited for its place
            for event in events:
                self._keep(event.session_hash)

    def _keep(self, tab: str) -> None:
        """Keep a tab's connection: to Gradio it is one more event, which ends when there was no other one for a while."""
        if tab in self.pending_event_ids_session:
            self.pending_event_ids_session[tab].add(REST)
            if tab in self._rests:
                self._rests[tab].cancel()
            self._rests[tab] = asyncio.get_running_loop().call_later(KEPT, self._end, tab)

    def _end(self, tab: str) -> None:
        del self._rests[tab]
        if tab not in self.pending_messages_per_session:  # the browser has gone
            self.pending_event_ids_session.pop(tab, None)
        elif self.pending_event_ids_session.get(tab) == {REST}:
            self.pending_messages_per_session[tab].put_nowait(ProcessCompletedMessage(event_id=REST, output={}, success=True))
            self._ending.add(tab)
            asyncio.get_running_loop().call_later(ENDING, self._ending.discard, tab)
        else:  # its last event has not come to its end
            self._keep(tab)

    async def start_processing(self) -> None:
        """Gradio's loop, but for the waiting."""
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        try:
            while not self.stopped:
                while None in self.active_jobs and (found := self.get_events()) is not None:
                    self._begin(*found)
                await self._news.wait()
                self._news.clear()
        finally:
            self.stopped = True
            self._cancel_asyncio_tasks()

    def close(self) -> None:
        super().close()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.set)  # it is another thread that closes

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
    """A difference as Gradio tells it, or all of the value. A browser changes an update in its place, perhaps before it has shown it: the
    message box would not be emptied. And where several items of lists are gone Gradio counts these wrongly."""
    gone = [path for kind, path, _ in edits if kind == "delete" and isinstance(path[-1], int)]
    return [["replace", [], value]] if len(gone) > 1 or (edits and isinstance(value, dict)) else edits


def unpacked(data: Iterable[Any]) -> list[Any]:
    return [one.value if isinstance(one, Ready) else one for one in data]
