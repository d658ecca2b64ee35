"""What a person feels: the page reacts at once, and the thirtieth turn streams as fast as the first."""

import os
import statistics
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.archive import export_zip
from app.conversation import Conversation, Turn
from app.files import FileStore
from nextgpt_core.messages import TurnSettings
from tests.app.fake_engine import FakeEngine
from tests.browser.conftest import patience
from tests.browser.person import answered, last_answer, noted, send, write

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
    while (performance.now() - start < 1000 * seconds) await new Promise(requestAnimationFrame);
    return (count() - first) / (performance.now() - start) * 1000;
}"""
SHOWN = """(seconds) => {  // after that time: press stop, and note [words that are shown, changes of the last answer a second]
    let changes = 0;
    const answer = [...document.querySelectorAll('#nx-chat .bot-row')].at(-1);
    const watch = new MutationObserver(() => changes++);
    watch.observe(answer, { childList: true, subtree: true, characterData: true });
    const start = performance.now();
    setTimeout(() => {
        watch.disconnect();
        document.querySelector('#nx-box .stop-button').click();
        window.shown = [answer.innerText.split('long').length - 1, changes / (performance.now() - start) * 1000];
    }, 1000 * seconds);
}"""
WORD_SECONDS = 0.01  # serve_fake.py's engine
RESPONSES = """() => {  // how long until a key is drawn, and until the server answers something else, while a file is made
    [window.typed, window.asked] = [[], []];
    const box = document.querySelector('#nx-box textarea');
    const round = async () => {
        let start = performance.now();
        box.value += 'x';
        box.dispatchEvent(new Event('input', { bubbles: true }));
        await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
        const typed = performance.now() - start;
        start = performance.now();
        await (await fetch('/gradio_api/app_id')).text();
        if (!document.querySelector('.nx-making')) return;
        window.typed.push(typed);
        window.asked.push(performance.now() - start);
        setTimeout(round, 100);
    };
    round();
}"""


def test_first_reaction_is_quick(open_page: Callable) -> None:
    page = open_page()
    times = []
    for turn in range(5):
        write(page, "hello")
        noted(page, "hello")
        times.append(page.evaluate(REACTION))
        answered(page, turn + 1)
    print(f"first visible reaction: median {statistics.median(times):.0f} ms, best {min(times):.0f} ms, load {os.getloadavg()[0]:.1f}")
    assert min(times) < 200 * patience()


def long_conversation(folder: Path) -> Path:
    """29 turns, 20 of them with a picture and a video, as a file to import."""
    store, conversation = FileStore(folder), Conversation()
    engine = FakeEngine(word_seconds=0, step_seconds=0)
    for number in range(29):
        conversation.turns.append(Turn("a picture and a video please" if number < 20 else "hello"))
        answer, place = conversation.turns[-1].answer, store.folder(conversation.id)
        for event in engine.turn(conversation.messages(store), TurnSettings(), cancel=threading.Event(), out_dir=place):
            answer.add(event, store)
    return export_zip(conversation, store)


def test_the_thirtieth_turn_streams_as_fast_as_the_first(open_page: Callable, tmp_path: Path) -> None:
    page = open_page()

    def speed() -> float:
        """Words a second of one story that is stopped after two."""
        before = page.locator("#nx-chat .user-row").count()
        send(page, "an endless story")
        page.wait_for_function(f"document.querySelectorAll('#nx-chat .user-row').length == {before + 1}")
        page.wait_for_function("[...document.querySelectorAll('#nx-chat .bot-row')].at(-1)?.innerText.includes('long long')")
        words = page.evaluate(WORDS, 2)
        page.click("#nx-box .stop-button")
        page.wait_for_selector("#nx-box .submit-button")
        return float(words)

    first = [speed() for _ in range(3)]
    page.set_input_files("input[type=file][accept*='.zip']", str(long_conversation(tmp_path)))
    answered(page, 29)
    last = [speed() for _ in range(3)]
    assert page.locator("#nx-chat .user-row").count() == 32
    print(f"words a second: first turns {first}, after twenty pictures and videos {last}, load {os.getloadavg()[0]:.1f}")
    assert max(last) > 0.8 * statistics.median(first)


def test_a_slow_browser_is_never_far_behind(open_page: Callable, tmp_path: Path) -> None:
    """What it shows of a long conversation's last answer is some seconds old at most, and goes on."""
    page = open_page()
    page.set_input_files("input[type=file][accept*='.zip']", str(long_conversation(tmp_path)))
    answered(page, 29)
    slowly = page.context.new_cdp_session(page)
    slowly.send("Emulation.setCPUThrottlingRate", {"rate": 5})
    send(page, "an endless story")
    page.wait_for_function("[...document.querySelectorAll('#nx-chat .bot-row')].at(-1)?.innerText.includes('long long')")
    page.evaluate(SHOWN, 8)
    page.wait_for_function("window.shown")  # a browser that is swamped does not come to this
    seen, updates = page.evaluate("window.shown")
    slowly.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    page.wait_for_selector("#nx-box .submit-button")
    behind = (last_answer(page).split().count("long") - seen) * WORD_SECONDS  # with the time that stop takes
    print(f"a browser at a fifth of its speed: {updates:.1f} updates a second, {behind:.1f} s behind, load {os.getloadavg()[0]:.1f}")
    assert behind < 6 * patience() and updates > 0.3 / patience()


def test_the_page_stays_responsive_while_a_video_is_made(open_page: Callable) -> None:
    page = open_page()
    send(page, "a slow video please")
    page.wait_for_selector(".nx-making")
    page.evaluate(RESPONSES)
    answered(page)
    rounds = page.evaluate("[window.typed, window.asked]")
    assert len(rounds[0]) >= 3
    typed, asked = (statistics.median(times) for times in rounds)
    print(f"while a video is made: a key is seen after {typed:.0f} ms, a request answered after {asked:.0f} ms")
    assert typed < 200 * patience() and asked < 200 * patience()
