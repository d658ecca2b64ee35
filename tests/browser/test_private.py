"""8. Private: a person's files are theirs, nothing goes out, passwords and limits hold."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin

import pytest

from tests.browser.conftest import PATIENCE, ROOT, Server, usable
from tests.browser.person import BOX, EXAMPLES, MEDIA, answered, choose, emptied, send

pytestmark = pytest.mark.browser


def media_address(page: Any) -> str:
    """The whole address of the picture in the last answer."""
    return urljoin(page.url, page.locator(MEDIA["picture"]).last.get_attribute("src"))


def status(address: str) -> int:
    """What a stranger without cookies is told at an address."""
    try:
        with urllib.request.urlopen(address) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_no_file_of_the_server_and_no_folder_is_shown(open_page: Callable, address: str) -> None:
    page = open_page()
    send(page, "a picture please", [EXAMPLES / "picture.png"])
    answered(page)
    file = Path(unquote(media_address(page)).partition("file=")[2])
    folder = file.parent
    guesses = ["/etc/passwd", ROOT / "launch.py", f"{ROOT}/app/../launch.py", folder, folder.parent, folder.parent.parent]
    guesses += [folder / "1.png", folder.parent / ("0" * 32) / file.name, folder.parent / "*" / file.name]
    for guess in guesses:
        assert status(f"{address}gradio_api/file={quote(str(guess))}") in (403, 404), guess


def test_no_file_is_named_by_a_person(open_page: Callable, tmp_path: Path) -> None:
    server, holiday = Server(tmp_path), tmp_path / "My holiday (München).png"
    try:
        page = open_page(at=server.start())
        holiday.write_bytes((EXAMPLES / "picture.png").read_bytes())
        choose(page, holiday)
        page.wait_for_selector(".nx-chosen li:has-text('My holiday (München).png')")
        send(page, "what is this?")
        answered(page)
        ours = {path.name for path in (ROOT / "assets").rglob("*.png")}  # the examples' icons
        names = [path.name for path in tmp_path.rglob("*.png") if path != holiday and path.name not in ours]
        assert len(names) == 1 and all(re.fullmatch(r"[0-9a-f-]+\.png", name) for name in names), names
    finally:
        server.stop()


def test_nothing_is_fetched_from_elsewhere(open_page: Callable, address: str) -> None:
    assert json.loads(urllib.request.urlopen(f"{address}config").read())["analytics_enabled"] is False
    assert status(f"{address}gradio_api/file=http://example.com/") == 403
    page = open_page()
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text) if "Content Security Policy" in message.text else None)
    send(page, f"a picture please ![x]({address.replace('127.0.0.1', 'localhost')}favicon.ico)", [EXAMPLES / "picture.png"])
    answered(page)
    assert [url for url in asked if "Content Security Policy" in url], "the picture in the words was not even tried"
    assert [url for url in asked if not url.startswith((address, "data:", "blob:")) and "Content Security Policy" not in url] == []


def test_media_are_really_shown_under_the_content_policy(open_page: Callable) -> None:
    page = open_page()
    send(page, "a slow picture, sound and video please", [EXAMPLES / "picture.png"])
    shown = "[...document.querySelectorAll({!r})].filter(image => image.naturalWidth > 0).length == {}"
    page.wait_for_function(shown.format(".nx-preview img", 1))
    answered(page)
    page.wait_for_function(shown.format("#nx-chat .image-container img", 2))
    page.wait_for_function("document.querySelector('#nx-chat video').readyState >= 2")
    page.wait_for_function("/0:0[23]/.test(document.querySelector('#nx-chat .minimal-audio-player').innerText)")


def test_delete_removes_the_files(open_page: Callable) -> None:
    page = open_page()
    send(page, "a picture please")
    answered(page)
    address = media_address(page)
    assert status(address) == 200
    page.click("#nx-delete")
    emptied(page)
    assert status(address) in (403, 404)


def test_a_password_keeps_others_out(chromium: Any, tmp_path: Path) -> None:
    server = Server(tmp_path, auth=True)
    context = chromium.new_context(locale="en-US")
    context.set_default_timeout(60_000 * PATIENCE)
    try:
        address = server.start()
        assert status(f"{address}gradio_api/file=/tmp/x") == 401
        page = context.new_page()
        page.goto(address)
        for password in ("wrong", "secret"):
            page.fill("input:not([type=password])", "ada")
            page.fill("input[type=password]", password)
            page.click("button:has-text('Login')")
            page.wait_for_selector("text=Incorrect" if password == "wrong" else BOX)
        usable(page)
        send(page, "a picture please")
        answered(page)
        assert status(media_address(page)) == 401
    finally:
        context.close()
        server.stop()
