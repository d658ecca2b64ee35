"""The page with the fake engine behind it, in Debian's Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PATIENCE = float(os.environ.get("NEXTGPT_TEST_PATIENCE", "1"))  # how much slower than a free machine this one may be
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if not Path(CHROMIUM).exists() and shutil.which(CHROMIUM) is None:
        pytest.skip(f"{CHROMIUM} is not there; install chromium (apt install chromium) to run the browser tests")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements-dev.txt)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        yield browser
        browser.close()


def start_server(tmp: Path, *arguments: str, **environment: str) -> tuple[subprocess.Popen, str]:
    """tests/browser/serve_fake.py in a process of its own, waited for until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {**os.environ, "NEXTGPT_DATA_DIR": str(tmp), "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "tests.browser.serve_fake", "--port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=(tmp / "server.log").open("w"), stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}/"
    end = time.monotonic() + 120 * PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=20 * PATIENCE).close()
            return process, address
        except OSError:
            time.sleep(0.25)
    process.kill()
    raise RuntimeError("the page did not start:\n" + (tmp / "server.log").read_text())


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, address = start_server(tmp_path_factory.mktemp("page"))
    yield address
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture()
def open_page(chromium: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page as a new person; keyword arguments go to the browser's context. Fails on an error in the page's scripts."""
    contexts, errors = [], []

    def open_one(*, at: str = address, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **options})
        context.set_default_timeout(30_000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        ready(page, at)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


def ready(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#nx-box textarea")
    page.wait_for_selector(".nx-status.ready")
    page.wait_for_timeout(300)
