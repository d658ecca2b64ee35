"""A stand-in for the hub: the few answers of its protocol that fetching needs, on 127.0.0.1. Like the real one it keeps files elsewhere."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlparse

from tests.server import Handler, Server


class Hub(Server):
    """`files[repo][path]` is served at one commit. `cut` ends a transfer after so many bytes, once; `stall` lets it wait there, once,
    until `stalled` is set."""

    commit = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, files: dict[str, dict[str, bytes]]) -> None:
        self.files = files
        self.cut: int | None = None
        self.stall: int | None = None
        self.stalled = threading.Event()
        self.damage = False
        self.gets: list[tuple[str, str | None]] = []  # (path, range)
        hub = self

        class Asked(Handler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

        super().__init__(Asked)

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = urlparse(request.path).path
        for repo, files in self.files.items():
            if path.startswith(f"/api/models/{repo}"):
                revision = path.partition("/revision/")[2] or "main"
                if revision not in ("main", self.commit):
                    return self._fail(request, "RevisionNotFound")
                siblings = []
                for name, content in files.items():
                    large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 1}
                    siblings.append({"rfilename": name, "size": len(content), "lfs": large})
                return self._send(request, json.dumps({"id": repo, "sha": self.commit, "siblings": siblings}).encode(), {}, body)
            prefix = f"/{repo}/resolve/{self.commit}/"
            name = path.removeprefix("/store").removeprefix(prefix)
            if path.startswith(prefix) and name in files:
                return self._send(request, b"", {"Location": f"{self.url}/store{path}"}, body, status=302)
            if path.startswith(f"/store{prefix}") and name in files:
                return self._file(request, name, files[name], body)
        self._fail(request, "RepoNotFound")

    def _file(self, request: BaseHTTPRequestHandler, name: str, content: bytes, body: bool) -> None:
        digest = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": self.commit, "ETag": f'"{digest}"', "X-Linked-Size": str(len(content)), "Accept-Ranges": "bytes"}
        wanted = request.headers.get("Range")
        if body:
            self.gets.append((name, wanted))
        if self.damage:
            content = bytes(len(content))
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(request, content[start:], headers, body, status=206 if wanted else 200)

    def _send(self, request: BaseHTTPRequestHandler, content: bytes, headers: dict[str, str], body: bool, status: int = 200) -> None:
        request.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(key, value)
        request.end_headers()
        if not body:
            return
        if self.cut is not None and len(content) > self.cut:
            content, self.cut = content[: self.cut], None
            request.close_connection = True
        if self.stall is not None and len(content) > self.stall:
            content, self.stall = content[: self.stall], None
            request.wfile.write(content)
            self.stalled.wait(300)
            request.close_connection = True
            return
        request.wfile.write(content)

    def _fail(self, request: BaseHTTPRequestHandler, code: str) -> None:
        self._send(request, b"{}", {"X-Error-Code": code}, True, status=404)
