"""A script that has to run before Gradio's: Gradio adds what is given as `head` only once its own script has begun."""

from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCRIPT = Path(__file__).with_name("first.js")


class FirstScript:
    """ASGI middleware: puts first.js at the top of the page's HTML."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._script = f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        held: list[dict[str, Any]] = []  # the start of an HTML answer, until its body is whole
        body = bytearray()

        async def with_script(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_html(message["headers"]):
                held.append({**message})
                return
            if not held or message["type"] != "http.response.body":
                return await send(message)
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            head, found, rest = bytes(body).partition(b"<head>")
            whole = head + found + self._script + rest if found else head
            headers = [(name, value) for name, value in held[0]["headers"] if name.lower() != b"content-length"]
            await send({**held.pop(), "headers": [*headers, (b"content-length", str(len(whole)).encode())]})
            await send({"type": "http.response.body", "body": whole})

        await self.app(scope, receive, with_script)


def _is_html(headers: list[tuple[bytes, bytes]]) -> bool:
    kinds = dict((name.lower(), value) for name, value in headers)
    return kinds.get(b"content-type", b"").startswith(b"text/html") and b"content-encoding" not in kinds
