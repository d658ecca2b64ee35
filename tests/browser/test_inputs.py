"""4. Inputs: upload, drag, paste, microphone, webcam; every file is looked at as soon as it is chosen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.person import BOX, EXAMPLES, MEDIA, answered, carried, choose, drop, last_answer, send, write

pytestmark = pytest.mark.browser
PICTURE = EXAMPLES / "picture.png"


@pytest.mark.parametrize("place", [BOX, "#nx-chat"])
def test_a_file_dropped_anywhere_is_looked_at_and_answered(open_page: Callable, place: str) -> None:
    page = open_page()
    drop(page, place, PICTURE)
    page.wait_for_selector(".nx-chosen li:has-text('picture.png')")
    send(page, "what is this?")
    answered(page)
    assert "I see a picture." in last_answer(page)


def test_a_pasted_picture_is_looked_at_and_answered(open_page: Callable) -> None:
    page = open_page()
    write(page, "what is this?")
    page.evaluate(
        """(clipboardData) => document.querySelector('#nx-box textarea').dispatchEvent(
            new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))""",
        carried(page, PICTURE),
    )
    page.wait_for_selector(".nx-chosen li:has-text('picture.png')")
    page.press(BOX, "Enter")
    answered(page)
    assert "I see a picture." in last_answer(page)


def test_a_recording_of_the_microphone_is_sent(open_page: Callable) -> None:
    page = open_page(permissions=["microphone"])
    page.click("#nx-box .microphone-button")
    page.click("#nx-box [aria-label='Start recording']")
    page.wait_for_timeout(1500)
    page.click("#nx-box [aria-label='Stop recording']")
    page.click("#nx-box [aria-label='Attach audio']")
    page.wait_for_selector(".nx-chosen li:has-text(' s')")
    send(page, "what do you hear?")
    answered(page)
    assert "I see a sound." in last_answer(page)


def test_a_photo_of_the_webcam_goes_into_the_message(open_page: Callable) -> None:
    page = open_page(permissions=["camera"])
    write(page, "what is this?")
    page.click("#nx-camera button")
    page.click("#nx-camera [title='grant webcam access'] button")
    page.click("#nx-camera [aria-label='capture photo']")
    page.wait_for_selector(".nx-chosen li:has-text(' × ')")
    assert page.input_value(BOX) == "what is this?"
    page.wait_for_selector("#nx-camera video", state="hidden")
    page.press(BOX, "Enter")
    answered(page)
    assert "I see a picture." in last_answer(page)


def test_files_are_checked_when_chosen(open_page: Callable, tmp_path: Path) -> None:
    page = open_page()
    program = tmp_path / "holiday.png"
    program.write_bytes(b"MZ\x90\x00" + b"\0" * 500)
    choose(page, EXAMPLES / "sound.wav", program)
    page.wait_for_selector(".nx-chosen li:has-text('sound.wav: 2.6 s')")
    page.wait_for_selector(".nx-chosen li.problem:has-text('holiday.png is not a picture, sound or video')")
    send(page, "what is this?")
    page.wait_for_selector("text=I see a sound.")


def test_two_gigabytes_are_refused_and_nothing_else_is_lost(open_page: Callable, tmp_path: Path) -> None:
    huge = tmp_path / "holiday.mp4"
    with huge.open("wb") as file:
        file.truncate(2 * 2**30)  # sparse: takes no room on the disk
    page = open_page()
    choose(page, PICTURE)
    write(page, "what is this?")
    page.set_input_files("#nx-box input[type=file]", str(huge))
    page.wait_for_selector(".toast-body:has-text('exceed the maximum allowed size of 200'):has-text('holiday.mp4')")
    assert page.input_value(BOX) == "what is this?"
    assert page.locator(".nx-chosen li").count() == 1
    page.press(BOX, "Enter")
    answered(page)
    assert "I see a picture." in last_answer(page)


@pytest.mark.parametrize("number", range(6))
def test_every_example_works(open_page: Callable, number: int) -> None:
    page = open_page()
    page.locator("#nx-chat .example").nth(number).click()
    answered(page)
    assert page.locator(".nx-notice.problem").count() == 0
    if number == 0:  # the first picture, one click after opening the page
        page.wait_for_selector(MEDIA["picture"])
