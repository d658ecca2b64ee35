"""A telephone line to the page that a test can cut or disturb: a TCP relay on a port of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class Line:
    """Relays connections to a server until it is cut; a cut line closes what is open and whatever comes, until it is mended."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname, parts.port)
        self._whole = True
        self.late: tuple[bytes, float] | None = None  # words of the server that are so many seconds late, and what follows them there
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole = False
        for one in self._open:
            self._hang_up(one)
        self._open.clear()

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self._door.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._door.accept()
                if not self._whole:
                    caller.close()
                    continue
                server = socket.create_connection(self._server)
            except OSError:
                return
            self._open += [caller, server]
            for source, sink in ((caller, server), (server, caller)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                late = data.find(self.late[0]) if self.late else -1
                if self.late and late >= 0:
                    sink.sendall(data[:late])
                    time.sleep(self.late[1])
                sink.sendall(data[max(late, 0) :])
        except OSError:
            pass
        self._hang_up(source)
        self._hang_up(sink)

    @staticmethod
    def _hang_up(one: socket.socket) -> None:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side did already
        one.close()


@contextmanager
def line_to(server: str) -> Iterator[Line]:
    line = Line(server)
    try:
        yield line
    finally:
        line.close()
