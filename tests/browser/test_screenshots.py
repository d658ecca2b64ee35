"""Pictures of the page with the fake engine in docs/screenshots; test_nano.py takes those with the real one (`shots` in conftest.py)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import take
from tests.browser.person import EXAMPLES, answered, send, write

pytestmark = pytest.mark.browser


def test_an_answer_in_the_making(open_page: Callable, shots: Path) -> None:
    page = open_page()
    send(page, "What is in this picture? Make me a slow video and a sound of it.", [EXAMPLES / "picture.png"])
    page.wait_for_function("document.querySelector('.nx-making progress')?.value >= 5 && document.querySelector('.nx-preview img')")
    page.screenshot(path=shots / "working.png")
    answered(page)


def test_dark_with_the_routing_panel(open_page: Callable, shots: Path) -> None:
    page = open_page(color_scheme="dark")
    send(page, "Let me hear a sound of this picture.", [EXAMPLES / "picture.png"])
    answered(page)
    page.click(".nx-routing summary")
    page.locator(".nx-times").scroll_into_view_if_needed()
    take(page, shots / "routing-dark.png")
    page.click("#nx-right .toggle-button")
    page.click("#nx-advanced button")
    take(page, shots / "settings-dark.png")


def test_phone(open_page: Callable, shots: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=1.5, is_mobile=True, has_touch=True)
    take(page, shots / "phone-start.png")
    send(page, "Draw a picture for me.")
    answered(page)
    take(page, shots / "phone.png")


def test_chinese(open_page: Callable, shots: Path, tmp_path: Path) -> None:
    page = open_page(locale="zh-CN")
    send(page, "draw a picture please")
    answered(page)
    broken = tmp_path / "holiday.png"
    broken.write_bytes(b"MZ" * 100)
    page.set_input_files("#nx-box input[type=file]", [str(EXAMPLES / "sound.wav"), str(broken)])
    page.wait_for_selector(".nx-chosen li.problem")
    write(page, "这是什么?")
    take(page, shots / "chinese.png")
