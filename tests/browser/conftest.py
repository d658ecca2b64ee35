"""The page with the fake engine behind it, in Debian's Chromium."""

import multiprocessing
import os
import shutil
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.serve_fake import serve_fake

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def patience() -> float:
    """How much slower than a free machine this one may be now: by its load, if nobody says."""
    return float(os.environ.get("NEXTGPT_TEST_PATIENCE") or max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0))))


PATIENCE = patience()
SLOW = 6.0 * min(PATIENCE, 4.0)  # "slow" media must stay long enough in the making for a busy browser to be seen showing them
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a microphone that beeps, a webcam with a test picture
    "--use-fake-ui-for-media-stream",
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


# Servers are forked from one process that imports the page once, when the first of them starts.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.browser.serve_fake"])


class Server:
    """tests/browser/serve_fake.py in a process of its own. The port stays the same when it is started again."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, **options: Any) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/"
        self._log = folder / "server.log"
        self._arguments = (port, self._log, {"NEXTGPT_DATA_DIR": str(folder), **(environment or {})})
        self._options = {"slow": SLOW, **options}
        self._process: Any = None

    def start(self) -> str:
        """Start it and wait until it answers; returns the address."""
        self._process = FORKS.Process(target=serve_fake, args=self._arguments, kwargs=self._options, daemon=True)
        self._process.start()
        if not answers(self.address, self._process.is_alive):
            self.stop()
            raise RuntimeError("the page did not start:\n" + self._log.read_text())
        return self.address

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str, alive: Callable[[], bool]) -> bool:
    """Wait until a server answers; False where it ended instead, or takes too long."""
    end = time.monotonic() + 120 * PATIENCE
    while alive() and time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=20 * PATIENCE).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Server(tmp_path_factory.mktemp("page"), {"NEXTGPT_TURNS_PER_MINUTE": "1000"})
    yield server.start()
    server.stop()


class People:
    """Browser contexts, one per person. A context that was left clean is used again: its cache has the page's scripts already."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium
        self._free: list[tuple[dict[str, Any], Any]] = []

    def enter(self, options: dict[str, Any]) -> Any:
        for entry in self._free:
            if entry[0] == options:
                self._free.remove(entry)
                return entry[1]
        context = self._chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **options})
        context.set_default_timeout(60_000 * PATIENCE)
        return context

    def leave(self, options: dict[str, Any], context: Any, address: str) -> None:
        for page in context.pages:
            if not page.url.startswith(address):
                context.close()
                return
        for page in context.pages[1:]:
            page.close()
        page = context.pages[0]
        page.goto(address + "gradio_api/app_id")  # away from the page, which might still note something
        page.evaluate("localStorage.clear()")
        page.close()
        self._free.append((options, context))


@pytest.fixture(scope="session")
def people(chromium: Any) -> People:
    return People(chromium)


@pytest.fixture()
def open_page(people: People, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page as a new person; keyword arguments go to the browser's context. Fails on an error in the page's scripts."""
    here: list[tuple[dict[str, Any], Any]] = []
    errors: list[str] = []

    def open_one(*, at: str = address, state: str = "ready", **options: Any) -> Any:
        context = people.enter(options)
        here.append((options, context))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        ready(page, at, state)
        return page

    yield open_one
    errors = [error for error in errors if error != "signal is aborted without reason"]  # Gradio's recorder, when it is put away
    for options, context in here:
        people.leave(options, context, address)
    assert errors == []


def ready(page: Any, address: str, state: str = "ready") -> None:
    """Open or reload the page and wait until it can be used."""
    page.goto(address)
    usable(page, state)


def usable(page: Any, state: str = "ready") -> None:
    """Wait until the page shows what was there and takes messages."""
    page.wait_for_selector("#nx-box textarea")
    page.wait_for_selector(f".nx-status.{state}")
    page.wait_for_function("sessionStorage.getItem('nextgpt-place')")  # the page knows whose it is


def settled(page: Any) -> None:
    """Wait until nothing fades or slides any more."""
    page.wait_for_function(
        "document.getAnimations().every(one => one.playState != 'running' || one.effect.getTiming().iterations == Infinity)"
    )


LARGEST = 300_000  # bytes of a screenshot


@pytest.fixture()
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: with NEXTGPT_SCREENSHOTS=1 to docs/screenshots, else they are thrown away."""
    folder = ROOT / "docs" / "screenshots" if os.environ.get("NEXTGPT_SCREENSHOTS") else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def take(page: Any, path: Path) -> None:
    """A screenshot of the page at rest."""
    settled(page)
    page.wait_for_function("[...document.images].every(one => one.complete)")
    page.screenshot(path=path)
    assert path.stat().st_size < LARGEST
