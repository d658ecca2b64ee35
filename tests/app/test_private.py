"""The page's server, asked as a stranger would ask it: it fetches nothing, has no files of others, and has limits."""

import asyncio
import json
import re
import select
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import pytest
from gradio import processing_utils, route_utils
from gradio.processing_utils import async_ssrf_protected_get as gradios_get  # as long as no page was served

from app import private
from app.chat import make_page, serve
from app.files import FileStore
from app.private import NamelessUploads, refuse_downloads
from app.settings import Settings
from tests.app.fake_engine import FakeEngine

REFUSAL = "This server fetches nothing from elsewhere."


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("page")
    settings = Settings(data_dir=str(data), max_request_mb=1, max_store_gb=10 / 1024)
    page = make_page(FakeEngine, settings, name="fake")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield serve(page, settings, port=port, wait=False)
    page.close()


def asked(address: str, data: Any = None, kind: str = "application/json") -> tuple[int, str]:
    """What the server says to a GET, or to a POST of `data`."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, {"content-type": kind})) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    "path",
    [
        "file=http://127.0.0.1/",
        "file=https%3A//127.0.0.1/",
        "file/http://127.0.0.1/",  # Gradio's older form of the same
        "file/http%3A%2F%2F127.0.0.1/",
        "proxy=https://a.hf.space/",
        "run-history/buckets",
    ],
)
def test_the_server_fetches_nothing_for_a_stranger(address: str, path: str) -> None:
    assert asked(f"{address}gradio_api/{path}") == (403, REFUSAL)


def test_gradio_keeps_no_history_of_its_own(address: str) -> None:
    assert json.loads(asked(f"{address}config")[1])["run_history"] is False


def test_an_address_in_place_of_an_uploaded_file_is_refused(tmp_path: Path) -> None:
    refuse_downloads()
    picture, there = gr.Image(), {"path": "http://127.0.0.1/x.png", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(gr.Error, match="no addresses"):
        asyncio.run(processing_utils.async_move_files_to_cache(there, picture))
    with pytest.raises(gr.Error, match="no addresses"):
        processing_utils.save_url_to_cache("http://127.0.0.1/x.png", str(tmp_path))
    with pytest.raises(gr.Error, match="no addresses"):
        asyncio.run(processing_utils.async_ssrf_protected_get("http://127.0.0.1/x.png"))


def test_gradio_alone_fetches_an_address_for_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fetched(Exception):
        pass

    async def get(url: str, **_: Any) -> None:
        raise Fetched(url)

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_get", gradios_get)
    monkeypatch.setattr("safehttpx.get", get)
    with pytest.raises(Fetched, match="example"):
        processing_utils.save_url_to_cache("http://example.com/x.png", str(tmp_path))


def test_a_request_is_not_too_large_however_it_comes(address: str) -> None:
    assert asked(f"{address}gradio_api/queue/join", b" " * (2**20 + 1)) == (413, "This request is too large; at most 1 MB are read.")
    assert asked(f"{address}gradio_api/queue/join", b"{}")[0] == 422
    assert asked(f"{address}gradio_api/queue/join", iter([b"{", b"}"]))[0] == 422
    assert asked(f"{address}gradio_api/queue/join", iter([b" " * 2**20, b"{}"]))[0] == 413


def test_uploads_are_taken_while_there_is_room(address: str) -> None:
    def upload(size: int) -> tuple[int, str]:
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        return asked(f"{address}gradio_api/upload", head + b"0" * size + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")

    assert upload(4 * 2**20)[0] == 200
    assert upload(4 * 2**20)[0] == 200
    status, sentence = upload(4 * 2**20)
    assert status == 507 and sentence.startswith("This server has no room for more files at the moment")
    assert upload(10)[0] == 200


def uploaded(address: str, name: str) -> str:
    """The name that an upload gets on the server's disk."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    status, told = asked(f"{address}gradio_api/upload", f"{head}0\r\n--x--\r\n".encode(), "multipart/form-data; boundary=x")
    assert status == 200
    return Path(json.loads(told)[0]).name


def test_an_upload_gets_a_generated_name(address: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}\.png", uploaded(address, "my holiday.png"))


def test_gradio_alone_keeps_a_persons_name_for_a_file(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_utils, "GradioMultiPartParser", NamelessUploads.__base__)
    assert "holiday" in uploaded(address, "my holiday.png")


def test_a_refused_request_without_an_end_is_cut_off(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As somebody sends it who has nothing to lose: it is not read for ever, and the server answers others meanwhile and after."""
    monkeypatch.setattr(private, "READ_ANYWAY", 2**20)
    where = urlsplit(address)
    for path, kind in (("upload", "multipart/form-data; boundary=x"), ("queue/join", "application/json")):
        head = f"POST /gradio_api/{path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        if path == "upload":
            monkeypatch.setattr(FileStore, "has_room", lambda self, size: False)
        with socket.create_connection((where.hostname, where.port), timeout=30) as line:
            line.sendall(head.encode())
            piece, sent, told = b"10000\r\n" + b" " * 2**16 + b"\r\n", 0, b""
            try:
                while sent < 200 and not select.select([line], [], [], 0)[0]:
                    line.sendall(piece)
                    sent += 1
                told = line.recv(2**16)
            except ConnectionError:
                pass  # it was cut off while we wrote
        assert sent < 200
        assert not told or b" 507 " in told or b" 413 " in told
        assert asked(f"{address}config")[0] == 200
