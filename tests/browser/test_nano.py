"""The real thing: the page with the bundled nano weights. A picture is answered in words; a picture, a sound and a video are made."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import PATIENCE, ROOT, answers, free_port, patience, take
from tests.browser.person import EXAMPLES, MEDIA, answered, last_answer, send

pytestmark = [pytest.mark.browser, pytest.mark.bundled]
EXAMPLE = "#nx-chat .example"
NANO = ROOT / "checkpoints" / "nano"
NEEDED = ("encoder/image.safetensors", "lora.safetensors", "decoders/image", "decoders/audio", "decoders/video")
PREVIEW = """() => {  // when a file is said to be in the making, and when its first preview is there
    window.times = {};
    const look = () => {
        if (document.querySelector('.nx-making')) window.times.made ??= performance.now();
        if (document.querySelector('.nx-preview img')) window.times.previewed ??= performance.now();
        if (!window.times.previewed) requestAnimationFrame(look);
    };
    look();
}"""


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `launch.py`, started as a person starts it."""
    if missing := [name for name in NEEDED if not (NANO / name).exists()]:
        pytest.skip(f"the bundled weights are not complete: {', '.join(missing)}")
    folder, port = tmp_path_factory.mktemp("nano"), free_port()
    environment = {**os.environ, "NEXTGPT_DATA_DIR": str(folder), "NEXTGPT_NO_VENV": "1"}
    with (folder / "log").open("w") as log:
        command = [sys.executable, str(ROOT / "launch.py"), "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    assert answers(f"http://127.0.0.1:{port}/", lambda: process.poll() is None), (folder / "log").read_text()
    yield f"http://127.0.0.1:{port}/"
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()


def test_a_picture_is_named_and_every_medium_is_made(open_page: Callable, nano: str, shots: Path) -> None:
    page = open_page(at=nano, viewport={"width": 1280, "height": 1900})
    page.set_default_timeout(180_000 * PATIENCE)
    send(page, "What is in this picture?", [EXAMPLES / "picture.png"])
    answered(page)
    words = last_answer(page).partition("How this answer was made")[0]
    assert "dog" in words.lower(), words
    wishes = {
        "picture": "Draw two red apples on a blue background.",
        "sound": "Let me hear a violin.",
        "video": "Make a video of a rocket moving up.",
    }
    for number, (name, wish) in enumerate(wishes.items()):
        page.evaluate(PREVIEW)
        send(page, wish)
        answered(page, number + 2)
        first = page.evaluate("window.times.previewed - window.times.made")
        print(f"{name}: first preview after {first:.0f} ms")
        assert first <= 2000 * patience()
        page.wait_for_selector(MEDIA[name])
        assert "project signal tokens" in page.locator(".nx-times").last.text_content()
        assert re.search(r"AI-generated · Seed \d+ · Steps \d+ · Guidance [\d.]+", last_answer(page))
        assert page.locator(".nx-notice.problem").count() == 0
    take(page, shots / "nano.png")


def test_the_six_examples_work(open_page: Callable, nano: str, shots: Path) -> None:
    """What a newcomer clicks first: each is answered with what it asks for."""
    page = open_page(at=nano)
    page.set_default_timeout(180_000 * PATIENCE)
    take(page, shots / "start.png")
    made = [{"picture"}, set(), {"sound"}, {"picture"}, {"video"}, set()]
    assert page.locator(EXAMPLE).count() == len(made)
    for number, wanted in enumerate(made):
        page.locator(EXAMPLE).nth(number).click()
        answered(page)
        for name in wanted:  # a player is drawn a moment after its answer is there
            page.wait_for_selector(MEDIA[name])
        found = {name for name, selector in MEDIA.items() if page.locator(selector).count()}
        assert found == wanted, (number, found, last_answer(page))
        page.click("#nx-new")
        page.wait_for_selector(EXAMPLE)
