"""What the page adds to a turn of a real preset, and how soon a person sees something: python -m benchmarks.page_turn [--preset nano]

`--pretend 20` has no model: an engine that only waits writes and makes media for so many seconds a turn, as a large model on a GPU would.

Chromium is a process of its own, so that its time is not the server's. Processor time is told apart by thread: the engine runs in the
worker "answers" and in the decoders' threads, which end with each file; what all other threads spend is the page's. Shares of
processor time hardly depend on what else the machine does; the times that a person feels do, so state its load beside them.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # so that no thread of a library outlives the engine's work unnoticed
PROBES = 50  # requests whose cost is measured at the end: the benchmark itself asks one every quarter of a second of a turn
WISHES = ("Why is the sky blue?", "Draw a red apple.", "Let me hear a violin.", "Make a film of a rocket moving up.")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
TICKS = os.sysconf("SC_CLK_TCK")
WATCH = """() => {
    window.seen = {};
    const once = (name, there) => { if (!(name in window.seen) && there) window.seen[name] = performance.now(); };
    const rows = document.querySelectorAll('#nx-chat .user-row').length;
    const panels = document.querySelectorAll('.nx-routing').length;
    const look = () => {
        once('reaction', document.querySelectorAll('#nx-chat .user-row').length > rows);
        once('making', document.querySelector('.nx-making span')?.innerText.match(/\\d+ of \\d+|starting/));
        once('preview', document.querySelector('.nx-preview img'));
        once('done', document.querySelectorAll('.nx-routing').length > panels);
        if (!('done' in window.seen)) requestAnimationFrame(look);
    };
    window.trips = [];
    const ask = async () => {  // how soon the server answers something else meanwhile
        const start = performance.now();
        await (await fetch('/gradio_api/app_id')).text();
        window.trips.push(performance.now() - start);
        if (!('done' in window.seen)) setTimeout(ask, 250);
    };
    setTimeout(ask, 500);
    window.started = performance.now();
    document.querySelector('#nx-box .submit-button').click();
    look();
}"""


class Metered:
    """An engine that keeps account: seconds per turn, and the worker's processor time inside it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.worker = 0
        self.inside: list[float] = []
        self.wall: list[float] = []

    def turn(self, *arguments: Any, **named: Any) -> Iterator[Any]:
        self.worker = threading.get_native_id()
        events, inside, began = self._engine.turn(*arguments, **named), 0.0, time.monotonic()
        while True:
            start = time.thread_time()
            event = next(events, None)
            inside += time.thread_time() - start
            if event is None:
                break
            yield event
        self.inside.append(inside)
        self.wall.append(time.monotonic() - began)


class Waiting:
    """Half of `seconds` goes by with words, 25 a second, half with forty steps of a file that the message asks for, a
    preview at every second step."""

    def __init__(self, seconds: float) -> None:
        from tests.app.fake_engine import FakeEngine

        self._makes = FakeEngine(word_seconds=0.04, step_seconds=seconds / 80, steps=40)
        self._words = " long" * int(seconds / 2 / 0.04)

    def turn(self, messages: Any, settings: Any, *, cancel: threading.Event, out_dir: Path) -> Iterator[Any]:
        from nextgpt_core.messages import TextDelta

        for word in self._words.split():
            if cancel.wait(0.04):
                break
            yield TextDelta(word + " ")
        yield from self._makes.turn(messages, settings, cancel=cancel, out_dir=out_dir)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--repeat", type=int, default=3, help="turns per kind")
    parser.add_argument("--pretend", type=float, metavar="SECONDS", help="an engine that does nothing for so long, in place of a preset")
    parser.add_argument("--browse", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.browse:
        browse(options.browse, options.repeat)
    else:
        measure(options.preset, options.repeat, options.pretend)


def measure(preset: str, repeat: int, pretend: float | None = None) -> None:
    """Serve, let a browser in another process send the wishes, and print a line per turn and the medians."""
    os.environ["NEXTGPT_DATA_DIR"] = tempfile.mkdtemp()
    from app.chat import make_page, serve
    from app.cli import load_engine
    from app.settings import read_settings

    settings = read_settings()
    metered = Metered(Waiting(pretend) if pretend else load_engine(preset))
    address = serve(make_page(lambda: metered, settings, name=preset), settings, port=7999, wait=False)
    command = [sys.executable, "-m", "benchmarks.page_turn", "--browse", address, "--repeat", str(repeat)]
    browser = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert browser.stdin is not None and browser.stdout is not None
    kinds: dict[str, list[dict[str, float]]] = {wish: [] for wish in WISHES}
    browser.stdout.readline()  # the page is open
    for number in range(repeat * len(WISHES)):
        before, total = thread_seconds(), time.process_time()
        browser.stdin.write("go\n")
        browser.stdin.flush()
        seen = json.loads(browser.stdout.readline())
        after, total = thread_seconds(), time.process_time() - total
        page = sum(after[one] - before.get(one, 0.0) for one in after if one != metered.worker)
        page += max(0.0, after[metered.worker] - before.get(metered.worker, 0.0) - metered.inside[-1])
        engine = total - page
        wall = metered.wall[-1]  # of which a pretended engine takes no processor time, but a GPU would be busy
        figures = {"engine s": engine, "page s": page, "page %": 100 * page / (wall if pretend else engine), "engine wall s": wall, **seen}
        kinds[WISHES[number % len(WISHES)]].append(figures)
        print(f"{WISHES[number % len(WISHES)]:36}", "  ".join(f"{name} {value:.2f}" for name, value in figures.items()), flush=True)
    asking = time.process_time()
    browser.stdin.write("ask\n")
    browser.stdin.flush()
    browser.stdout.readline()
    each = (time.process_time() - asking) / PROBES
    browser.wait()
    print(f"the page's seconds hold {each:.4f} for each of the benchmark's own requests, in number under asked")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians:")
    for wish, turns in kinds.items():
        names = [name for name in turns[0] if all(name in turn for turn in turns)]
        print(f"{wish:36}", "  ".join(f"{name} {statistics.median(turn[name] for turn in turns):.2f}" for name in names))
    sys.stdout.flush()
    os._exit(0)  # the server's threads would keep the process


def browse(address: str, repeat: int) -> None:
    """The browser's side: one line of JSON per turn, in seconds after the click on send."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        page = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page(locale="en-US")
        page.set_default_timeout(600_000)
        page.goto(address)
        page.wait_for_selector(".nx-status.ready")
        page.wait_for_timeout(2000)
        print("open", flush=True)
        for wish in WISHES * repeat:
            sys.stdin.readline()
            page.fill("#nx-box textarea", wish)
            page.wait_for_timeout(1500)  # the box's own news have reached the server
            page.evaluate(WATCH)
            page.wait_for_function("'done' in window.seen")
            seen = {name: (value - page.evaluate("window.started")) / 1000 for name, value in page.evaluate("window.seen").items()}
            if "preview" in seen and "making" in seen:
                seen["preview after start"] = seen.pop("preview") - seen.pop("making")
            seen["asked"] = page.evaluate("window.trips.length")
            seen["other request"] = statistics.median(page.evaluate("window.trips") or [0.0]) / 1000
            page.wait_for_selector("#nx-box .submit-button")
            print(json.dumps(seen), flush=True)
        sys.stdin.readline()
        page.evaluate(f"(async () => {{ for (let one = 0; one < {PROBES}; one++) await (await fetch('/gradio_api/app_id')).text(); }})()")
        print("asked", flush=True)


def thread_seconds() -> dict[int, float]:
    """Processor time of each thread of this process that is alive."""
    seconds = {}
    for folder in Path("/proc/self/task").iterdir():
        fields = re.sub(r"^.*\) ", "", (folder / "stat").read_text()).split()
        seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


if __name__ == "__main__":
    main()
