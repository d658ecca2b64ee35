"""What Page and Line leave out of Gradio's work, and that the rest of it stays."""

import asyncio
import copy
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio.data_classes import PredictBodyInternal
from gradio.exceptions import Error
from gradio.state_holder import SessionState

from app import page as page_module
from app.page import Line, Page, Ready


def test_an_event_does_not_make_anew_what_it_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    with Page() as page:
        words, other = gr.Textbox("a"), gr.Textbox("b")
        page.load(lambda: {words: "c"}, None, [words, other])
    made: list[Any] = []
    monkeypatch.setattr(gr.Textbox, "postprocess", lambda self, value: made.append(value) or value)
    function, state = page.fns[0], SessionState(page)
    assert asyncio.run(page.postprocess_data(function, {words: "c"}, state)) == ["c", gr.skip()]
    assert asyncio.run(page.postprocess_data(function, {}, state)) == [gr.skip(), gr.skip()]
    assert asyncio.run(page.postprocess_data(function, gr.skip(), state)) == [gr.skip(), gr.skip()]
    assert made == ["c"]


def test_a_growing_answer_is_sent_as_its_difference_and_not_once_more_at_the_end() -> None:
    with Page() as page:
        chat, words = gr.Chatbot(), gr.Textbox()
        page.load(lambda: {}, None, [chat, words])
    function, state = page.fns[0], SessionState(page)
    long = [{"role": "user", "content": [{"type": "text", "text": f"turn {number}"}]} for number in range(60)]

    async def wire(growing: str, final: bool = False) -> list[Any]:
        last = {"role": "assistant", "content": [{"type": "text", "text": growing}]}
        data = await page.postprocess_data(function, {chat: Ready([*long, last])}, state)
        assert data[0].value[0] is long[0], "what stays the same is neither searched nor copied"
        return page.handle_streaming_diffs(function, data, session_hash="a", run="b", final=final)

    assert len(asyncio.run(wire("one"))[0]) == 61
    assert asyncio.run(wire("one two"))[0] == [["append", [60, "content", 0, "text"], " two"]]
    assert asyncio.run(wire("one two", final=True)) == [gr.skip(), gr.skip()]


def patched(value: Any, edits: list[Any]) -> Any:
    """What a browser makes of a value and a difference."""
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


def test_another_conversation_with_fewer_messages_is_told_right() -> None:
    with Page() as page:
        chat = gr.Chatbot()
        page.load(lambda: {}, None, [chat])
    function = page.fns[0]

    def told(*lengths: int) -> list[Any]:
        shown = [{"role": "user", "content": [f"{lengths} {number}" for number in range(length)]} for length in lengths]
        return page.handle_streaming_diffs(function, [Ready(shown)], session_hash="a", run="b", final=False)

    shown = copy.deepcopy(told(1, 4, 1, 3)[0])
    shown = patched(shown, told(1, 2)[0])
    assert shown == [{"role": "user", "content": [f"(1, 2) {number}" for number in range(length)]} for length in (1, 2)]


def test_an_update_that_the_browser_has_not_shown_yet_stays_what_it_is() -> None:
    """Messages that are there before the browser knows of their event are taken all at once, and shown after that."""
    with Page() as page:
        box = gr.MultimodalTextbox()
        page.load(lambda: {}, None, [box])
    function, emptied = page.fns[0], gr.update(value={"text": "", "files": []}, stop_btn=True)

    def told(update: Any) -> Any:
        return page.handle_streaming_diffs(function, [dict(update)], session_hash="a", run="b", final=False)[0]

    first = copy.deepcopy(told(emptied))
    second = patched(first, told(gr.skip()))
    third = patched(second, told(gr.update(stop_btn=False)))
    assert [first, second, third] == [emptied, gr.skip(), gr.update(stop_btn=False)]


def test_a_light_update_is_sent_as_it_is_and_others_make_their_component_anew() -> None:
    with Page() as page:
        box, radio = gr.MultimodalTextbox(), gr.Radio(["a"])
        page.load(lambda: {}, None, [box, radio])
    page.light = frozenset((box,))
    function, state = page.fns[0], SessionState(page)
    update = {box: gr.update(value={"text": "x", "files": []}, stop_btn=True), radio: gr.update(choices=["b"])}
    data = asyncio.run(page.postprocess_data(function, update, state))
    assert data[0] == {"__type__": "update", "value": {"text": "x", "files": []}, "stop_btn": True}
    assert [tuple(one) for one in data[1]["choices"]] == [("b", "b")] and state[radio._id].choices == [("b", "b")]


def test_what_a_browser_sends_is_still_checked() -> None:
    with Page() as page:
        steps, answer = gr.Slider(0, 100), gr.Radio(["text"])
        box = gr.MultimodalTextbox()
        page.load(lambda *values: None, [steps, answer, box], None)
    function, message = page.fns[0], {"text": "hello", "files": []}

    def sent(*values: Any) -> list[Any]:
        return asyncio.run(page.preprocess_data(function, list(values), SessionState(page)))

    assert sent(20, "text", message) == [20, "text", message]
    for wrong in ([101, "text", message], [20, "film", message], [20, "text", {"text": "", "files": [{"path": "/etc/passwd"}]}]):
        with pytest.raises((Error, ValueError)):
            sent(*wrong)


def test_the_queue_begins_at_once_and_rests_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with Page() as page:
        page.load(lambda: None)
    page.queue()
    line: Any = page._queue
    looks, done = [0], []

    async def process_events(self: Any, events: list[Any], *_: Any) -> None:
        done.append(events)
        self.active_jobs[self.active_jobs.index(events)] = None

    find = Line.get_events
    monkeypatch.setattr("gradio.queueing.Queue.process_events", process_events)
    monkeypatch.setattr(Line, "get_events", lambda self: (looks.__setitem__(0, looks[0] + 1), find(self))[1])

    async def push() -> None:
        await line.push(PredictBodyInternal(data=[], fn_index=0, session_hash="a"), request=None, username=None)

    async def run() -> None:
        line.start()
        await asyncio.sleep(0.3)
        assert looks[0] == 1
        await push()
        for _ in range(20):  # turns of the loop, not time: nothing waits for a clock
            await asyncio.sleep(0)
        assert len(done) == 1
        for _ in range(49):  # more than run at once
            await push()
        for _ in range(200):
            await asyncio.sleep(0)

    line.default_concurrency_limit = 64
    asyncio.run(run())
    assert len(done) == 50
    assert looks[0] < 200


def test_a_connection_does_not_end_just_when_the_next_message_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that is connected, as far as it knows, does not connect once more for its next event."""
    monkeypatch.setattr(page_module, "KEPT", 2.5)
    monkeypatch.setattr(page_module, "ENDING", 1.0)

    async def answer() -> AsyncIterator[str]:
        yield "growing"
        yield "grown"

    with Page() as page:
        page.load(answer, None, [gr.Textbox()])
    page.queue()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    _, address, _ = page.launch(server_name="127.0.0.1", server_port=port, quiet=True, prevent_thread_lock=True, ssr_mode=False)

    def sent() -> tuple[str, float]:
        """An event's name, and how many seconds it took until the browser knew it."""
        begun = time.monotonic()
        answer = browser.post("gradio_api/queue/join", json={"data": [], "fn_index": 0, "session_hash": "tab"})
        return answer.json()["event_id"], time.monotonic() - begun

    def connected() -> Iterator[dict[str, Any]]:
        with browser.stream("GET", "gradio_api/queue/data", params={"session_hash": "tab"}) as stream:
            yield from (json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line)

    def until(heard: Iterator[dict[str, Any]], message: str) -> dict[str, Any]:
        return next(one for one in heard if one["msg"] == message)

    with httpx.Client(base_url=address, timeout=10) as browser:
        first, _ = sent()
        heard = connected()
        assert until(heard, "process_completed")["event_id"] == first
        time.sleep(0.1)
        second, took = sent()
        assert until(heard, "process_completed")["event_id"] == second and took < 0.9
        until(heard, "close_stream")
        third, took = sent()
        assert took > 0.5, "until then the browser may not know that it is to connect anew"
        heard = connected()
        assert until(heard, "process_completed")["event_id"] == third
        until(heard, "close_stream")
    line: Any = page._queue
    assert line._rests == {} and line.pending_event_ids_session["tab"] == set()
    page.close()


def test_the_queue_ends_when_it_is_closed_and_can_begin_again() -> None:
    with Page() as page:
        page.load(lambda: None)
    page.queue()
    line: Any = page._queue

    async def run() -> None:
        line.stopped = False
        task = asyncio.create_task(line.start_processing())
        await asyncio.sleep(0.05)
        assert not task.done()
        threading.Thread(target=line.close).start()  # as a page is closed
        await asyncio.wait_for(task, 1)

    for _ in range(2):
        asyncio.run(run())
