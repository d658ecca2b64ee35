"""What Gradio does at each event of the page: what app/page.py puts right of it, what is left to it, and what that costs."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr
import pytest
from gradio.exceptions import Error
from gradio.state_holder import SessionState

from app.chat import read_saved
from app.page import LOOK, Page

EMPTIED = gr.update(value={"text": "", "files": []}, stop_btn=True)
BUTTONS = gr.update(stop_btn=False)


def patched(value: Any, edits: list[Any]) -> Any:
    """What a browser makes of a value and a difference, in its place (apply_edit in Gradio's client/js/src/utils/stream.ts)."""
    for kind, path, new in edits:
        if not path:
            value = value + new if kind == "append" else new
            continue
        place = value
        for step in path[:-1]:
            place = place[step]
        if kind == "delete":
            place.pop(path[-1])
        elif kind == "add" and isinstance(place, list):
            place.insert(path[-1], new)
        else:
            place[path[-1]] = place[path[-1]] + new if kind == "append" else new
    return value


def received(blocks: type[gr.Blocks], values: list[Any]) -> list[Any]:
    """What a browser has of one event's values for one component when all of them have come, and none was shown yet."""
    with blocks() as page:
        part = gr.HTML()
        page.load(lambda: None, None, [part])

    def sent(value: Any) -> Any:
        return copy.deepcopy(page.handle_streaming_diffs(page.fns[0], [copy.deepcopy(value)], session_hash="a", run="b", final=False)[0])

    got = [sent(values[0])]
    for value in values[1:]:
        got.append(patched(got[-1], sent(value)))
    return got


def shown(*lengths: int) -> list[Any]:
    """Messages with so many parts each."""
    return [{"role": "user", "content": [f"{lengths} {number}" for number in range(length)]} for length in lengths]


def after(updates: list[dict[str, Any]]) -> dict[str, Any]:
    """What a component has become when a browser shows these updates, one after the other."""
    return {key: value for update in updates for key, value in update.items()}


def test_a_message_box_is_emptied_although_the_browser_is_late() -> None:
    updates = received(Page, [EMPTIED, gr.skip(), BUTTONS])
    assert after(updates) == {**EMPTIED, **BUTTONS}


def test_gradio_alone_takes_back_an_update_that_was_not_shown_yet() -> None:
    updates = received(gr.Blocks, [EMPTIED, gr.skip(), BUTTONS])
    assert "value" not in after(updates)


def test_another_conversation_with_fewer_messages_is_told_right() -> None:
    assert received(Page, [shown(1, 4, 1, 3), shown(1, 2)])[-1] == shown(1, 2)


def test_gradio_alone_tells_a_conversation_with_fewer_messages_wrongly() -> None:
    try:
        assert received(gr.Blocks, [shown(1, 4, 1, 3), shown(1, 2)])[-1] != shown(1, 2)
    except (IndexError, KeyError):
        pass  # or an edit goes to a place that is not there


def told(blocks: type[gr.Blocks], update: Callable[[gr.Textbox], Any], monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], int]:
    """What an event that may change two boxes tells the browser, and how many components Gradio builds for that."""
    with blocks() as page:
        words, other = gr.Textbox("a"), gr.Textbox("b")
        page.load(lambda: None, None, [words, other])
    built: list[Any] = []
    build = gr.Textbox.__init__
    monkeypatch.setattr(gr.Textbox, "__init__", lambda self, *more, **named: (built.append(self), build(self, *more, **named))[1])
    data = asyncio.run(page.postprocess_data(page.fns[0], update(words), SessionState(page)))
    monkeypatch.undo()
    return data, len(built)


def test_what_an_event_does_not_change_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(Page, lambda words: {words: "c"}, monkeypatch) == (["c", gr.skip()], 0)
    assert told(Page, lambda words: gr.skip(), monkeypatch) == ([gr.skip(), gr.skip()], 0)
    data, built = told(Page, lambda words: {words: gr.update(value="c", lines=2)}, monkeypatch)
    assert data == [gr.update(value="c", lines=2), gr.skip()] and built == 1
    assert told(Page, lambda words: ("c", "d"), monkeypatch) == (["c", "d"], 0)


def test_gradio_alone_builds_again_what_an_event_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(gr.Blocks, lambda words: {words: "c"}, monkeypatch) == (["c", gr.skip()], 1)


def test_a_growing_answer_is_sent_as_its_difference() -> None:
    with Page() as page:
        chat, words = gr.Chatbot(), gr.Textbox()
        page.load(lambda: {}, None, [chat, words])
    function, state = page.fns[0], SessionState(page)
    long = [{"role": "user", "content": [{"type": "text", "text": f"turn {number}"}]} for number in range(60)]

    async def wire(growing: str) -> list[Any]:
        last = {"role": "assistant", "content": [{"type": "text", "text": growing}]}
        data = await page.postprocess_data(function, {chat: [*long, last]}, state)
        return page.handle_streaming_diffs(function, data, session_hash="a", run="b", final=False)

    assert len(asyncio.run(wire("one"))[0]) == 61
    assert asyncio.run(wire("one two")) == [[["append", [60, "content", 0, "text"], " two"]], []]


def test_gradio_asks_the_page_for_what_it_sends() -> None:
    """Nothing here would matter if Gradio took its differences elsewhere."""

    async def answer() -> AsyncIterator[Any]:
        for update in (EMPTIED, gr.skip(), BUTTONS):
            yield {box: update, words: "x"}

    with Page() as page:
        box, words = gr.MultimodalTextbox(), gr.Textbox()
        page.load(answer, None, [box, words])

    async def run() -> list[Any]:
        sent: list[Any] = []
        state, iterator = SessionState(page), None
        for _ in range(3):
            output = await page.process_api(page.fns[0], [], state, None, iterator, session_hash="a", event_id="b")
            iterator = output["iterator"]
            sent.append(output["data"][0])
        return sent

    sent = asyncio.run(run())
    assert sent[0]["value"] == {"text": "", "files": []}
    assert sent[1:] == [[["replace", [], gr.skip()]], [["add", ["stop_btn"], False]]]


@pytest.mark.parametrize("blocks", [Page, gr.Blocks])
def test_the_queue_rests_between_its_looks_for_events_and_gradio_alone_hardly(
    blocks: type[gr.Blocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    with blocks() as page:
        page.load(lambda: None)
    queue: Any = page.queue()._queue
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        queue.stopped = True

    monkeypatch.setattr("gradio.queueing.asyncio.sleep", rest)
    for loop in (queue.start_processing, queue.start_progress_updates):
        queue.stopped = False
        asyncio.run(loop())
    assert len(rests) == 2 and all((one >= LOOK) == (blocks is Page) for one in rests)


def test_what_a_browser_sends_is_checked() -> None:
    with Page() as page:
        steps, answer = gr.Slider(0, 100), gr.Radio(["text"])
        box = gr.MultimodalTextbox()
        page.load(lambda *values: None, [steps, answer, box], None)
    function, message = page.fns[0], {"text": "hello", "files": []}

    def sent(*values: Any) -> list[Any]:
        return asyncio.run(page.preprocess_data(function, list(values), SessionState(page)))

    assert sent(20, "text", message) == [20, "text", message]
    for wrong in ([101, "text", message], [20, "video", message], [20, "text", {"text": "", "files": [{"path": "/etc/passwd"}]}]):
        with pytest.raises((Error, ValueError)):
            sent(*wrong)


def test_what_a_browser_kept_is_read_in_both_forms_and_never_trusted() -> None:
    assert read_saved('{"key": "é"}') == read_saved({"key": "é"}) == {"key": "é"}
    assert read_saved(None) is read_saved("{") is read_saved("[" * 100_000) is None
