"""Gradio's Blocks with two things put right. What of Gradio is replaced or set here, and why, is listed in replaced.py."""

from typing import Any

import gradio as gr

from app.files import FileStore

LOOK = 0.02  # seconds between two looks of Gradio's queue for a new event; its own 0.001 takes 8 % of a core for nothing
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

    def handle_streaming_diffs(self, block_fn: Any, data: list[Any], *arguments: Any, final: bool, **named: Any) -> list[Any]:
        """As Gradio's, but where something is gone since the last value the new one is sent whole, not as its difference.

        A browser applies a difference in its place, also to what it has not shown yet: the first update of an answer empties the message
        box, the second says nothing of the box, and the difference takes the empty value out of the first. And where several items of
        nested lists are gone, as in a conversation with fewer messages, Gradio counts them wrongly."""
        values = list(data)
        sent = super().handle_streaming_diffs(block_fn, data, *arguments, final=final, **named)
        if final:
            return sent
        return [value if one is value else whole_where_gone(one, value) for one, value in zip(sent, values, strict=True)]


def whole_where_gone(edits: list[Any], value: Any) -> list[Any]:
    """A difference as Gradio tells it, [[kind, path, new], ...], or all of the value where it deletes anything."""
    return [["replace", [], value]] if any(kind == "delete" for kind, *_ in edits) else edits
