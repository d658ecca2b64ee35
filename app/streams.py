"""Keeps a tab's event stream open for a moment after its last event, so that no message is lost between two streams.

Gradio tells a browser of its events in one stream per tab (GET /queue/data) and ends it with the last of them. A browser that is told of
its next event (the answer to POST /queue/join) before it hears of that end opens no new stream: its client takes the old one for open, and
then its end for the end of all (close_stream in Gradio's client/js/src/utils/stream.ts, 6.31). Nothing of the event is shown until the page
is loaded again. That is just when an answer is there and the next message is sent. Gradio has had other races of this end:
https://github.com/gradio-app/gradio/pull/6556 and https://github.com/gradio-app/gradio/pull/7926

This stands between browser and Gradio and needs its messages only (protocol "sse_v3"), nothing of its queue.
"""

import asyncio
import json
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEPT = 1.0  # seconds for which a stream outlives its last event; not longer, since browsers have six connections for all tabs of a page
ENDING = 0.5  # seconds after which a browser knows for sure that its stream was ended
END = b'"msg":"close_stream"'  # inside the words of a message its quotation marks would be escaped


class KeptStreams:
    """ASGI middleware: the end of a tab's stream is held back for `kept` seconds. Where another event of the tab begins in that time the
    stream goes on; one that begins within `ending` seconds after an end is told to the browser when these are over."""

    def __init__(self, app: ASGIApp, *, kept: float = KEPT, ending: float = ENDING) -> None:
        self.app = app
        self.kept = kept
        self.ending = ending
        self._waiting: dict[str, asyncio.Event] = {}  # by tab: set when another event begins before its stream was ended
        self._ended: set[str] = set()  # tabs that may not know yet that their stream was ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.endswith("/queue/data"):
            await self._stream(scope, receive, send)
        elif path.endswith("/queue/join"):
            await self._join(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        tab = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        started = False
        end: Message | None = None

        async def forward(message: Message) -> None:
            nonlocal started, end
            if message["type"] == "http.response.start":
                if not started:
                    started = True
                    await send(message)
            elif end is None and END in message.get("body", b""):
                end = message
            elif end is None:
                await send(message)

        await self.app(dict(scope), receive, forward)
        while end is not None and await self._goes_on(tab):
            end = None
            await self.app(dict(scope), receive, forward)
        if end is not None:
            await send({**end, "more_body": False})

    async def _goes_on(self, tab: str) -> bool:
        """Wait for the tab's next event; False where none begins in time, and the end is to be told now."""
        begun = self._waiting[tab] = asyncio.Event()
        try:
            await asyncio.wait_for(begun.wait(), self.kept)
        except TimeoutError:
            pass
        finally:
            if self._waiting.get(tab) is begun:
                del self._waiting[tab]
        if not begun.is_set():
            self._ended.add(tab)
            asyncio.get_running_loop().call_later(self.ending, self._ended.discard, tab)
        return begun.is_set()

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""

        async def read() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:  # the event has begun, and waits in Gradio's queue
                tab = session_hash(body)
                if tab in self._waiting:
                    self._waiting[tab].set()
                elif tab in self._ended:
                    await asyncio.sleep(self.ending)
            await send(message)

        await self.app(scope, read, tell)


def session_hash(body: bytes) -> str:
    """The tab's name in a request that begins an event."""
    try:
        return str(json.loads(body)["session_hash"])
    except (ValueError, KeyError, TypeError):
        return ""
