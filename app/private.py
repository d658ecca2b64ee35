"""What keeps a person's things private beyond Gradio's defaults: nothing fetched on anybody's behalf, nothing loaded from elsewhere,
nothing cached, nothing on disk under a person's own name for it. What of Gradio is replaced for that is listed in replaced.py."""

import asyncio
import re
from typing import NoReturn

from gradio import processing_utils, route_utils
from gradio.exceptions import Error
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.files import FileStore, nameless
from app.i18n import language_of, say

# Gradio would fetch these addresses, or talk to Hugging Face, for whoever asks (server-side request forgery).
REMOTE = re.compile(r"/file[=/]\s*https?:|/proxy=|/run-history(/|$)", re.IGNORECASE)
READ_ANYWAY = 64 * 2**20  # bytes of a refused request that are read so that its sender sees the answer
HEADERS = (
    # Words of the model are Markdown: a picture in them must not call anybody.
    (
        b"content-security-policy",
        b"img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self' ws: wss: data: blob:; "
        b"form-action 'self'; base-uri 'self'; object-src 'none'",  # nor must a form or a frame in them act
    ),
    (b"referrer-policy", b"no-referrer"),  # the address of a file is the key to it
    (b"x-content-type-options", b"nosniff"),
)


class Private:
    """ASGI middleware: refuses requests for other addresses and what is too large, adds the headers above, and lets nobody between keep a
    copy of a person's files."""

    def __init__(self, app: ASGIApp, *, store: FileStore, max_bytes: int) -> None:
        """`max_bytes` bounds the body of every request but an upload, which the store must have room for."""
        self.app = app
        self.store = store
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        if REMOTE.search(path):
            return await refuse(send, 403, "This server fetches nothing from elsewhere.")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            request = Request(scope)
            language = language_of(request)
            told = request.headers.get("content-length", "")
            length = int(told) if told.isdecimal() else 0
            if path.endswith("/upload"):
                if not await asyncio.to_thread(self.store.has_room, length):
                    return await refuse(send, 507, say("no_room", language), receive)
            elif "transfer-encoding" in request.headers:  # some proxies pass a request on in pieces, and do not tell how many
                length, receive = await read_up_to(self.max_bytes, receive)
            if length > self.max_bytes and not path.endswith("/upload"):
                return await refuse(send, 413, say("too_large", language, limit=self.max_bytes // 2**20), receive)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(b"cache-control", b"private, max-age=3600")] if "/file=" in path else []
                message["headers"] = [*message["headers"], *HEADERS, *more]
            await send(message)

        await self.app(scope, receive, with_headers)


async def read_up_to(limit: int, receive: Receive) -> tuple[int, Receive]:
    """Read a body until its end or until it is longer than `limit`: the bytes read, and what gives them, and the rest, once more."""
    pieces: list[Message] = []
    length, more = 0, True
    while more and length <= limit:
        pieces.append(await receive())
        length, more = length + len(pieces[-1].get("body", b"")), pieces[-1].get("more_body", False)

    async def again() -> Message:
        return pieces.pop(0) if pieces else await receive()

    return length, again


async def refuse(send: Send, status: int, sentence: str, receive: Receive | None = None) -> None:
    """Answer a request with a sentence, where it has a body after that: a browser reads the answer only when it has sent everything. A body
    that does not come to its end is cut off."""
    length, more = 0, receive is not None
    while receive is not None and more and length <= READ_ANYWAY:
        piece = await receive()
        length, more = length + len(piece.get("body", b"")), piece.get("more_body", False)
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *([(b"connection", b"close")] if more else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})


class NamelessUploads(route_utils.GradioMultiPartParser):
    """Gradio's reader of uploads, which would name files on disk after a cleaned form of the person's name for them."""

    def on_part_end(self) -> None:
        super().on_part_end()
        if self._current_part.file is not None:
            self._current_part.file.filename = nameless(self._current_part.file.filename or "")


async def no_download(url: str) -> NoReturn:
    """In place of Gradio's request for an address that stands where an uploaded file is expected."""
    raise Error("Only uploaded files are read here, no addresses.")


def generate_upload_names() -> None:
    """Have Gradio write uploads under generated names."""
    route_utils.GradioMultiPartParser = NamelessUploads


def refuse_downloads() -> None:
    """Have Gradio refuse an address where it expects an uploaded file, instead of downloading it."""
    processing_utils.async_ssrf_protected_get = no_download
