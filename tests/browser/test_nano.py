"""The real thing: the page with the bundled nano weights. A picture is uploaded and named; a picture, a sound and a film are asked for."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE, ROOT
from tests.browser.test_page import EXAMPLES, MEDIA, answered, last_answer, send

pytestmark = [pytest.mark.browser, pytest.mark.bundled]
NANO = ROOT / "checkpoints" / "nano"
NEEDED = ("encoder/image.safetensors", "lora.safetensors", "decoders/image", "decoders/audio", "decoders/video")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`launch.py chat` as a person starts it, waited for until the page answers."""
    if missing := [name for name in NEEDED if not (NANO / name).exists()]:
        pytest.skip(f"the bundled weights are not complete: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("nano")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "NEXTGPT_DATA_DIR": str(folder), "NEXTGPT_NO_VENV": "1"}
    command = [sys.executable, str(ROOT / "launch.py"), "--port", str(port)]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=(folder / "log").open("w"), stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}/"
    while process.poll() is None and time.monotonic() - started < 120 * PATIENCE:
        try:
            urllib.request.urlopen(url, timeout=20 * PATIENCE).close()
            break
        except OSError:
            time.sleep(0.2)
    print(f"page up {time.monotonic() - started:.1f} s after the start")
    assert process.poll() is None, (folder / "log").read_text()
    yield url
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()


def test_a_picture_is_named_and_every_medium_is_made(chromium: Any, address: str) -> None:
    shots = ROOT / "docs" / "screenshots"
    shots.mkdir(parents=True, exist_ok=True)
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    context.set_default_timeout(180_000 * PATIENCE)
    try:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector(".nx-status.ready")
        send(page, "What is in this picture?", [EXAMPLES / "picture.png"])
        answered(page)
        named = last_answer(page)
        assert len(named.split()) >= 2
        wishes = {"picture": "Draw a red apple.", "sound": "Let me hear a violin.", "film": "Make a film of a rocket moving up."}
        for number, (name, wish) in enumerate(wishes.items()):
            send(page, wish)
            page.wait_for_selector(f".nx-making:has-text('Making a {name}')")
            answered(page, number + 2)
            page.wait_for_selector(MEDIA[name])
            assert page.locator(".nx-notice.problem").count() == 0
            page.wait_for_timeout(700)
            page.screenshot(path=shots / f"nano-{name}.png")
        print(f"the picture was called: {named.splitlines()[0]}")
    finally:
        context.close()
