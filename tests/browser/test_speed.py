"""What a person feels: the page reacts at once, and the thirtieth turn streams as fast as the first."""

import os
import statistics
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.archive import export_zip
from app.conversation import Conversation, Turn
from app.files import FileStore
from nextgpt_core.messages import TurnSettings
from tests.app.fake_engine import FakeEngine
from tests.browser.conftest import PATIENCE
from tests.browser.person import answered, send, write

pytestmark = pytest.mark.browser
REACTION = """async () => {
    const before = document.querySelectorAll('#nx-chat .user-row').length;
    const start = performance.now();
    document.querySelector('#nx-box .submit-button').click();
    while (document.querySelectorAll('#nx-chat .user-row').length == before) await new Promise(requestAnimationFrame);
    return performance.now() - start;
}"""
WORDS = """async (seconds) => {
    const count = () => [...document.querySelectorAll('#nx-chat .bot-row')].at(-1).innerText.split('long').length;
    const first = count(), start = performance.now();
    let last = first, updates = 0;
    while (performance.now() - start < 1000 * seconds) {
        await new Promise(requestAnimationFrame);
        if (count() != last) { updates += 1; last = count(); }
    }
    return [(last - first) / seconds, updates / seconds];
}"""


def test_first_reaction_is_quick(open_page: Callable) -> None:
    page = open_page()
    times = []
    for turn in range(5):
        write(page, "hello")
        page.wait_for_timeout(500)
        times.append(page.evaluate(REACTION))
        answered(page, turn + 1)
    print(f"first visible reaction: median {statistics.median(times):.0f} ms, best {min(times):.0f} ms, load {os.getloadavg()[0]:.1f}")
    assert min(times) < 200 * PATIENCE


def long_conversation(folder: Path) -> Path:
    """29 turns, 20 of them with a picture and a film, as a file to import."""
    store, conversation = FileStore(folder), Conversation()
    engine = FakeEngine(word_seconds=0, step_seconds=0)
    for number in range(29):
        conversation.turns.append(Turn("a picture and a film please" if number < 20 else "hello"))
        answer, place = conversation.turns[-1].answer, store.folder(conversation.id)
        for event in engine.turn(conversation.messages(store), TurnSettings(), cancel=threading.Event(), out_dir=place):
            answer.add(event, store)
    return export_zip(conversation, store)


def test_the_thirtieth_turn_streams_as_fast_as_the_first(open_page: Callable, tmp_path: Path) -> None:
    page = open_page()

    def speed() -> Any:
        send(page, "a long story")
        page.wait_for_function("[...document.querySelectorAll('#nx-chat .bot-row')].at(-1)?.innerText.includes('long long')")
        words, updates = page.evaluate(WORDS, 2)
        page.wait_for_selector("#nx-box .submit-button")
        return words, updates

    first, updates = speed()
    page.set_input_files("input[type=file][accept*='.zip']", str(long_conversation(tmp_path)))
    answered(page, 29)
    last, last_updates = speed()
    assert page.locator("#nx-chat .user-row").count() == 30
    load = os.getloadavg()[0]
    print(f"words (updates) a second: first turn {first:.0f} ({updates:.0f}), thirtieth {last:.0f} ({last_updates:.0f}), load {load:.1f}")
    assert last > 0.8 * first
