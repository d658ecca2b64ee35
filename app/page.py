"""Gradio's Blocks with three things put right. What of Gradio is replaced or set here, and why, is listed in replaced.py."""

import copy
from typing import Any

import gradio as gr
from gradio.blocks import Block

from app.files import FileStore

LOOK = 0.05  # seconds between two looks of Gradio's queue for a new event, as it has on Windows; its 0.001 elsewhere takes 8 % of a core
PROGRESS = 1.0  # seconds between two looks for news of gr.Progress, which the page does not use


class Page(gr.Blocks):
    """Blocks whose updates reach the browser as they were meant."""

    store: FileStore

    def queue(self, *arguments: Any, **named: Any) -> "Page":
        """As Gradio's, with more rest between its looks for a new event."""
        super().queue(*arguments, **named)
        self._queue.sleep_when_free = LOOK
        self._queue.progress_update_sleep_when_free = PROGRESS
        return self

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio's, for what an event changes alone: Gradio builds every other component among its outputs again, at every update."""
        changes = {} if predictions == gr.skip() else predictions
        if not isinstance(changes, dict) or not all(isinstance(one, Block) for one in changes):
            return await super().postprocess_data(block_fn, predictions, state)
        function = copy.copy(block_fn)
        function.outputs = list(changes)
        changed = await super().postprocess_data(function, changes, state) if changes else []
        values = dict(zip(function.outputs, changed, strict=True))
        return [values.get(block, gr.skip()) for block in block_fn.outputs]

    def handle_streaming_diffs(self, block_fn: Any, data: list[Any], *arguments: Any, final: bool, **named: Any) -> list[Any]:
        """As Gradio's, but some values are sent whole, not as their difference from the last one (`whole_if_wrong`)."""
        values = list(data)
        sent = super().handle_streaming_diffs(block_fn, data, *arguments, final=final, **named)
        if final:
            return sent
        return [value if one is value else whole_if_wrong(one, value) for one, value in zip(sent, values, strict=True)]


def whole_if_wrong(edits: list[Any], value: Any) -> list[Any]:
    """A difference as Gradio tells it, [[kind, path, new], ...], or all of the value where a browser would make something else of it.

    A browser applies a difference in its place, also to what it has not shown yet: the first update of an answer empties the message box,
    the second says nothing of the box, and the difference takes the empty value out of the first. And where several items of lists within
    lists are gone, as in a conversation with fewer messages, Gradio counts them wrongly."""
    gone = [path for kind, path, _ in edits if kind == "delete"]
    items = [path for path in gone if isinstance(path[-1], int)]
    return [["replace", [], value]] if len(items) > 1 or (gone and isinstance(value, dict)) else edits
