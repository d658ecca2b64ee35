"""What goes wrong for a person: nothing is lost, a clear sentence says what happened, and the next turn works."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Server, ready
from tests.browser.line import line_to
from tests.browser.person import BOX, EXAMPLES, MEDIA, answered, choose, emptied, last_answer, noted, send, write

pytestmark = pytest.mark.browser


def test_the_connection_is_lost_while_a_video_is_made(open_page: Callable, address: str) -> None:
    with line_to(address) as line:
        page = open_page(at=line.address)
        send(page, "a slow video please")
        page.wait_for_selector(".nx-making:has-text('step')")
        line.cut()
        page.wait_for_selector("text=Connection to the server was lost")
        write(page, "and then a picture")
        line.mend()
        page.wait_for_selector(MEDIA["video"])
        answered(page)
        page.wait_for_function(f"document.querySelector({BOX!r}).value == 'and then a picture'")
        page.press(BOX, "Enter")
        answered(page, 2)


def test_the_next_message_is_sent_while_the_end_of_the_last_ones_connection_is_on_its_way(open_page: Callable, address: str) -> None:
    with line_to(address) as line:
        line.late = (b"close_stream", 1.0)
        page = open_page(at=line.address)
        for turn in range(3):
            send(page, "hello")
            answered(page, turn + 1)


def test_the_server_is_started_again(open_page: Callable, tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        page = open_page(at=server.start())
        send(page, "a picture please")
        answered(page)
        write(page, "not sent yet")
        page.evaluate("window.before = true")
        server.stop()
        server.start()
        page.wait_for_function(f"!window.before && document.querySelector({BOX!r})?.value == 'not sent yet'")
        page.wait_for_selector(MEDIA["picture"])
        page.press(BOX, "Enter")
        answered(page, 2)
    finally:
        server.stop()


def test_an_unsent_message_and_its_files_survive_a_reload_in_the_middle_of_an_answer(open_page: Callable, address: str) -> None:
    page = open_page()
    send(page, "a slow picture please")
    page.wait_for_selector(".nx-making")
    choose(page, EXAMPLES / "sound.wav")
    write(page, "what do you hear?")
    noted(page, "what do you hear?")
    ready(page, address)
    page.wait_for_selector(".nx-chosen li:has-text('sound.wav')")
    assert page.input_value(BOX) == "what do you hear?"
    answered(page)
    page.press(BOX, "Enter")
    answered(page, 2)
    assert "I see a sound." in last_answer(page)
    ready(page, address)
    answered(page, 2)
    assert page.input_value(BOX) == "" and page.locator(".nx-chosen li").count() == 0


def test_the_back_button(open_page: Callable) -> None:
    page = open_page()
    send(page, "a slow picture please")
    page.wait_for_selector(".nx-making")
    write(page, "not sent yet")
    noted(page, "not sent yet")
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector(MEDIA["picture"])
    answered(page)
    assert page.input_value(BOX) == "not sent yet"
    page.press(BOX, "Enter")
    answered(page, 2)


def test_two_tabs_share_one_history_and_each_keeps_its_place(open_page: Callable, address: str) -> None:
    first = open_page()
    send(first, "from the first tab")
    answered(first)
    second = first.context.new_page()
    ready(second, address)
    second.click("#nx-new")
    emptied(second)
    send(second, "from the second tab")
    answered(second)
    ready(first, address)
    answered(first)
    assert "from the first tab" in first.locator("#nx-chat").inner_text()
    listed = first.locator("#nx-list").inner_text()
    assert "from the first tab" in listed and "from the second tab" in listed


def test_two_tabs_answer_at_the_same_time(open_page: Callable, address: str) -> None:
    first = open_page()
    second = first.context.new_page()
    ready(second, address)
    send(first, "a picture please")
    send(second, "a video please")
    answered(first)
    answered(second)
    first.wait_for_selector(MEDIA["picture"])
    second.wait_for_selector(MEDIA["video"])


def test_two_tabs_in_one_conversation(open_page: Callable, address: str) -> None:
    first = open_page()
    send(first, "hello")
    answered(first)
    second = first.context.new_page()
    ready(second, address)
    answered(second)
    send(first, "an endless picture please")
    first.wait_for_selector(".nx-making")
    send(second, "and a video")
    second.wait_for_selector("text=The last answer is still being made")
    second.wait_for_selector(".nx-making")
    second.click("#nx-box .stop-button")
    first.wait_for_selector("text=The picture was stopped before it was done.")
    answered(second, 2)
    assert second.input_value(BOX) == "and a video"
    second.press(BOX, "Enter")
    answered(second, 3)


def test_nothing_and_too_much_are_said_and_nothing_is_lost(open_page: Callable) -> None:
    page = open_page()
    page.press(BOX, "Enter")
    page.wait_for_selector("text=Write something or add a file first.")
    page.evaluate(
        """(text) => {
            const box = document.querySelector('#nx-box textarea');
            box.value = text;
            box.dispatchEvent(new Event('input', {bubbles: true}));
        }""",
        "x" * 100_000,
    )
    page.press(BOX, "Enter")
    page.wait_for_selector("text=This message has 100,000 characters")
    assert len(page.input_value(BOX)) == 100_000
    send(page, "hello")
    page.wait_for_selector("text=Here you are.")


def test_sending_twice_is_answered_once(open_page: Callable) -> None:
    page = open_page()
    choose(page, EXAMPLES / "sound.wav")
    write(page, "a slow picture please")
    page.evaluate("const button = document.querySelector('#nx-box .submit-button'); button.click(); button.click();")
    answered(page)
    assert page.locator("#nx-chat .user-row").count() == 1


def test_a_message_sent_while_an_answer_is_made_waits_in_the_box(open_page: Callable) -> None:
    page = open_page()
    send(page, "an endless story")
    page.wait_for_selector("#nx-chat .bot-row:has-text('long')")
    send(page, "hello")
    page.wait_for_selector("text=The last answer is still being made")
    assert page.input_value(BOX) == "hello"
    assert page.locator("#nx-chat .user-row").count() == 1
    page.click("#nx-box .stop-button")
    page.wait_for_selector("#nx-box .submit-button")
    page.press(BOX, "Enter")
    page.wait_for_selector("text=Here you are.")


def test_failures_are_sentences_and_the_next_turn_works(open_page: Callable) -> None:
    page = open_page()
    send(page, "a broken picture")
    page.wait_for_selector("text=The picture could not be made: this decoder is broken on purpose")
    answered(page)
    send(page, "a picture, but please crash once")
    page.wait_for_selector("text=The engine fell over on purpose.")
    page.wait_for_selector("#nx-box .submit-button")
    page.locator("#nx-chat [aria-label=Retry]").last.click()
    page.wait_for_selector(MEDIA["picture"])
    answered(page, 2)
    send(page, "another picture please")
    answered(page, 3)


def test_words_are_never_markup(open_page: Callable) -> None:
    page = open_page()
    send(page, '<img src=x onerror="window.bad=1"> <script>window.bad=1</script> [IMG0] <b>bold</b>')
    answered(page)
    assert page.evaluate("window.bad === undefined")


def test_a_person_waits_in_line_and_others_stay_responsive(open_page: Callable) -> None:
    first, second = open_page(), open_page()
    send(first, "an endless story")
    first.wait_for_selector("#nx-chat .bot-row:has-text('long')")
    send(second, "hello")
    second.wait_for_selector("text=1 ahead of you")
    first.click("#nx-box .stop-button")
    second.wait_for_selector("text=Here you are.")


def test_the_page_is_up_while_the_model_loads(open_page: Callable, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    server = Server(tmp_path, loaded_when=loaded)
    try:
        page: Any = open_page(at=server.start(), state="loading")
        page.wait_for_selector(".nx-status.loading:has-text('fake is loading')")
        send(page, "hello")
        page.wait_for_selector("text=The model is still loading")
        loaded.touch()
        page.wait_for_selector("text=Here you are.")
        page.wait_for_selector(".nx-status.ready")
    finally:
        server.stop()
