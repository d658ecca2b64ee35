"""A tab's stream of events goes on for a moment after its last one, and a browser hears of its end before it hears of its next event."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import httpx
import pytest
from starlette.middleware import Middleware

from app.page import Page
from app.streams import KeptStreams, session_hash

TAB = {"session_hash": "tab"}
LONG = 60.0  # seconds that no test waits for


def told(**message: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": f"data: {json.dumps(message, separators=(',', ':'))}\n\n".encode(), "more_body": True}


class Server:
    """In Gradio's place: a stream tells of what has begun and ends; `log` has what reached the browser, in order."""

    def __init__(self, **seconds: float) -> None:
        self.streams = KeptStreams(self.answer, **seconds)
        self.begun: list[str] = []
        self.log: list[str] = []

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        joins = scope["path"].endswith("join")
        if joins:
            await receive()
            self.begun.append("event")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if not joins:
            while self.begun:
                await send(told(msg=self.begun.pop()))
            await send(told(msg="close_stream", event_id=None))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def ask(self, path: str, query: bytes = b"session_hash=tab") -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(TAB).encode(), "more_body": False}

        async def send(message: Any) -> None:
            body = message.get("body", b"").decode().strip()
            self.log.append(f"{path}: {json.loads(body.removeprefix('data: '))['msg'] if body else message['type'].rsplit('.')[-1]}")
            if not message.get("more_body", True):
                self.log.append(f"{path}: end")

        await self.streams({"type": "http", "path": f"/gradio_api/queue/{path}", "query_string": query}, receive, send)


async def until(condition: Callable[[], Any]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")


def test_a_stream_goes_on_with_an_event_that_begins_in_time() -> None:
    server = Server(kept=LONG)

    async def run() -> None:
        server.begun.append("first")
        stream = asyncio.create_task(server.ask("data"))
        await until(lambda: server.streams._waiting)
        assert server.log == ["data: start", "data: first"], "its end is held back"
        await server.ask("join")
        await until(lambda: "data: event" in server.log)
        assert server.log == ["data: start", "data: first", "join: start", "join: body", "join: end", "data: event"]
        await until(lambda: server.streams._waiting)
        stream.cancel()

    asyncio.run(run())
    assert server.streams._waiting == {}


def test_a_stream_ends_when_nothing_begins_and_a_browser_hears_of_that_before_its_next_event() -> None:
    server = Server(kept=0.0, ending=0.2)

    async def run() -> float:
        await server.ask("data")
        assert server.log == ["data: start", "data: close_stream", "data: end"]
        begun = time.monotonic()
        await server.ask("join")
        return time.monotonic() - begun

    assert asyncio.run(run()) >= 0.19, "until then the browser may not know that it is to connect again"


def test_an_event_long_after_the_end_is_not_held_up_and_nothing_is_remembered() -> None:
    server = Server(kept=0.0, ending=0.0)

    async def run() -> None:
        await server.ask("data")
        await until(lambda: not server.streams._ended)
        server.streams.ending = LONG
        await server.ask("join")

    asyncio.run(run())
    assert server.streams._waiting == {}


def test_another_tab_keeps_no_stream() -> None:
    server = Server(kept=0.05)

    async def run() -> None:
        stream = asyncio.create_task(server.ask("data", b"session_hash=another"))
        await until(lambda: server.streams._waiting)
        await server.ask("join")
        await stream

    asyncio.run(run())
    assert server.log[-2:] == ["data: close_stream", "data: end"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"1"])
def test_a_request_without_a_tab_is_nobodys(body: bytes) -> None:
    assert session_hash(body) == ""


@contextmanager
def served(*middleware: Middleware) -> Iterator[httpx.Client]:
    """A page of Gradio's with an event that grows."""

    async def answer() -> AsyncIterator[str]:
        yield "growing"
        yield "grown"

    with Page() as page:
        page.load(answer, None, [gr.Textbox()])
    page.queue()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    named: dict[str, Any] = {"server_name": "127.0.0.1", "server_port": port, "quiet": True, "prevent_thread_lock": True, "ssr_mode": False}
    _, address, _ = page.launch(**named, app_kwargs={"middleware": list(middleware)})
    with httpx.Client(base_url=address, timeout=LONG) as browser:
        yield browser
    page.close()


def begin(browser: httpx.Client) -> str:
    return str(browser.post("gradio_api/queue/join", json={"data": [], "fn_index": 0, **TAB}).json()["event_id"])


def heard(browser: httpx.Client) -> Iterator[tuple[str, str]]:
    with browser.stream("GET", "gradio_api/queue/data", params=TAB) as stream:
        for line in stream.iter_lines():
            if line:
                message = json.loads(line.removeprefix("data: "))
                yield message["msg"], message.get("event_id") or ""


def test_gradios_messages_are_those_that_this_is_written_for() -> None:
    with served() as browser:
        assert browser.get("config").json()["protocol"] == "sse_v3"


def test_gradio_alone_ends_a_stream_with_its_last_event() -> None:
    with served() as browser:
        first, messages = begin(browser), heard(browser)
        while next(messages) != ("process_completed", first):
            pass
        assert next(messages)[0] == "close_stream"


def test_a_page_of_gradios_tells_two_events_in_one_stream_and_then_ends_it() -> None:
    with served(Middleware(KeptStreams, kept=3.0, ending=0.0)) as browser:
        first, messages = begin(browser), heard(browser)
        while next(messages) != ("process_completed", first):
            pass
        second = begin(browser)
        names: list[str] = []
        while not names or names[-1] != "close_stream":
            message, event = next(messages)
            names += [message] if event in ("", second) and message != "heartbeat" else []
        assert names[-2:] == ["process_completed", "close_stream"] and "process_generating" in names
        assert next(messages, None) is None
        third, messages = begin(browser), heard(browser)
        assert ("process_completed", third) in messages
