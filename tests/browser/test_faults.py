"""Faults that people of comparable programs reported, as a browser sees them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.person import BOX, EXAMPLES, answered, choose, send

pytestmark = pytest.mark.browser

HALF = """() => {
    const box = document.querySelector('#nx-box textarea');
    box.value = 'half \\ud83d of an emoji';
    box.dispatchEvent(new Event('input', { bubbles: true }));
}"""
REFUSE = """for (const name of ['localStorage', 'sessionStorage'])
    Object.defineProperty(window, name, { get() { throw new DOMException('x', 'SecurityError') } });"""


def test_half_an_emoji_is_answered_and_locks_nobody_out(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.evaluate(HALF)
    page.press(BOX, "Enter")
    answered(page)
    assert "half" in page.locator("#nx-chat .user-row").last.inner_text()
    page.reload()
    page.wait_for_selector("#nx-chat .user-row:has-text('of an emoji')")
    send(page, "and a picture")
    answered(page)


def test_a_browser_that_refuses_storage_gets_the_page_and_is_told(people: Any, address: str) -> None:
    context = people.enter({"locale": "en-US", "color_scheme": "dark"})
    page = context.new_page()
    page.add_init_script(REFUSE)
    page.goto(address)
    page.wait_for_selector(".nx-status.ready")
    page.wait_for_selector(".nx-hint:has-text('keeps nothing')")
    page.wait_for_function("sessionStorage.getItem('nextgpt-place')")
    send(page, "hello")
    answered(page)
    context.close()


def test_a_title_stays_what_was_typed(open_page: Callable[..., Any]) -> None:
    page = open_page()
    for typed in ("hello", "camera"):
        page.click("#nx-new")
        send(page, typed)
        answered(page)
        page.wait_for_function(LISTED, arg=typed)


def test_what_was_sent_waits_to_be_played(open_page: Callable[..., Any]) -> None:
    page = open_page()
    choose(page, EXAMPLES / "video.mp4")
    send(page, "what is this?")
    answered(page)
    assert page.locator("#nx-chat .user-row video").evaluate("video => [video.autoplay, video.loop, video.paused]") == [False, False, True]


def test_a_refused_microphone_is_a_sentence(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.evaluate("navigator.mediaDevices.getUserMedia({ audio: { deviceId: { exact: 'none' } } }).catch(() => null)")
    page.wait_for_selector(".nx-hint")


def test_on_a_telephone_enter_breaks_the_line(open_page: Callable[..., Any]) -> None:
    page = open_page(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    page.fill(BOX, "one")
    page.press(BOX, "Enter")
    page.type(BOX, "two")
    assert page.input_value(BOX) == "one\ntwo"
    assert float(page.locator(BOX).evaluate("box => parseFloat(getComputedStyle(box).fontSize)")) >= 16


LISTED = """(typed) => [...document.querySelectorAll('#nx-list label')].some(one => one.innerText.replace(/\\W/g, '') === typed)"""
PHISH = (
    '<div style="position:fixed;inset:0;z-index:9999;background:white"><form action="http://127.0.0.1:9/" method="get">'
    '<input name="word" placeholder="Password"><button>Sign in</button></form><p id="over">Your session has ended.</p></div>'
)


def test_markup_in_words_neither_lies_over_the_page_nor_takes_anything(open_page: Callable[..., Any]) -> None:
    page = open_page()
    send(page, f"look: {PHISH}")
    answered(page)
    box = page.locator(BOX).bounding_box()
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('#nx-box') !== null", middle)
    assert page.locator("#nx-chat .md :is(input, form):visible").count() == 0
    assert (
        page.evaluate(
            """() => { const form = document.createElement('form'); form.action = 'http://127.0.0.1:9/'; document.body.append(form);
        return new Promise((found) => { addEventListener('securitypolicyviolation', (event) => found(event.effectiveDirective));
        form.submit(); setTimeout(() => found('sent'), 3000); }); }"""
        )
        == "form-action"
    )
