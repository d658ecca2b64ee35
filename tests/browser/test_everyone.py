"""7. Everyone: keyboard, screen readers, light and dark, phone, zoom, language; nothing jumps."""

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, settled
from tests.browser.person import BOX, EXAMPLES, MEDIA, answered, choose, emptied, last_answer, send, write

pytestmark = pytest.mark.browser
AXE = "axe-core@4.10.3"


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, fetched from npm once into .cache."""
    script = ROOT / ".cache" / "axe.min.js"
    if not script.exists():
        script.parent.mkdir(exist_ok=True)
        try:
            packed = subprocess.run(["npm", "pack", "-s", AXE], cwd=script.parent, capture_output=True, text=True, check=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{AXE} cannot be fetched with npm: {error}")
        archive = script.parent / packed.stdout.strip()
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
            member = files.extractfile("package/axe.min.js")
            assert member is not None
            script.write_bytes(member.read())
        archive.unlink()
    return script.read_text(encoding="utf-8")


def serious(page: Any, axe: str) -> list[str]:
    """Violations of WCAG A and AA that axe-core calls serious or critical: rule, and the elements concerned."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:4]]}" for one in bad]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: Callable, axe: str, scheme: str, tmp_path: Path) -> None:
    page = open_page(color_scheme=scheme)
    page.click("#nx-right .toggle-button")
    page.click("#nx-advanced button")
    settled(page)
    problems = serious(page, axe)
    page.click("#nx-right .toggle-button")
    send(page, "a slow picture, a sound and a video please", [EXAMPLES / "picture.png"])
    page.wait_for_selector(".nx-preview img")
    problems += serious(page, axe)
    answered(page)
    page.click(".nx-routing summary")
    page.click("#nx-camera button")
    program = tmp_path / "program.png"
    program.write_bytes(b"MZ" * 100)
    choose(page, EXAMPLES / "sound.wav", program)
    settled(page)
    page.wait_for_function("!document.querySelector('#nx-box [role=listitem]')")  # page.js names things a fifth of a second later
    problems += serious(page, axe)
    assert problems == []


def test_keyboard_alone(open_page: Callable) -> None:
    page = open_page()
    page.locator("body").press("/")
    page.keyboard.type("an endless story")
    page.keyboard.press("Enter")
    page.wait_for_selector("#nx-chat .bot-row:has-text('long long')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".nx-notice:has-text('Stopped.')")
    page.keyboard.press("Control+Shift+O")
    emptied(page)
    page.locator("body").press("/")
    page.keyboard.type("a picture please")
    page.keyboard.press("Enter")
    answered(page)
    for _ in range(60):  # by Tab alone, back from the message box
        if page.evaluate("document.activeElement.dataset.nx?.startsWith('another')"):
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    answered(page, 2)
    page.focus("#nx-answer input >> nth=0")
    page.keyboard.press("Tab")  # Gradio gives each choice a group of its own, so that arrows do not reach the next one
    page.keyboard.press("Space")
    page.wait_for_selector("#nx-answer label.selected:has-text('text')")


PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
ZOOMED = {"viewport": {"width": 640, "height": 400}}  # what a window of 1280 x 800 has at 200 %


@pytest.mark.parametrize("options", [PHONE, ZOOMED])
def test_nothing_sticks_out_on_a_phone_or_at_200_percent(open_page: Callable, options: dict) -> None:
    page = open_page(**options)
    send(page, "a picture, a sound and a video please", [EXAMPLES / "picture.png"])
    answered(page)
    page.click(".nx-routing summary")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    box = page.locator("#nx-box").bounding_box()
    assert box["y"] + box["height"] <= options["viewport"]["height"] + 1
    chat = page.locator("#nx-chat").bounding_box()
    assert chat["height"] >= 0.3 * options["viewport"]["height"]
    wide = page.evaluate(
        """() => [...document.querySelectorAll('#nx-chat .message, #nx-chat .component, .nx-below, .nx-routing')]
            .filter(one => one.getBoundingClientRect().right > window.innerWidth + 1).map(one => one.className)"""
    )
    assert wide == []


def test_nothing_jumps_while_an_answer_grows(open_page: Callable) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            window.shifts = [];
            new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.shifts.push(
                [entry.value, entry.sources.map((source) => source.node?.className ?? source.node?.nodeName)]
            ))).observe({type: 'layout-shift', buffered: false});
        }"""
    )
    send(page, "a slow picture, a sound and a video please")
    page.wait_for_selector(".nx-making")
    page.evaluate("window.shifts = []")  # the answer's own appearance is no jump
    height = page.locator(".nx-making").first.bounding_box()["height"]
    page.wait_for_selector(".nx-preview img")
    assert page.locator(".nx-making").first.bounding_box()["height"] == pytest.approx(height, abs=2)
    answered(page)
    shifts = page.evaluate("window.shifts")
    assert sum(value for value, _ in shifts) < 0.1, shifts


def test_the_page_speaks_chinese_to_a_chinese_browser(open_page: Callable, tmp_path: Path) -> None:
    page = open_page(locale="zh-CN")
    assert page.locator("#nx-new").inner_text() == "新对话"
    assert page.locator("#nx-import").inner_text() == "导入"
    assert page.get_attribute(BOX, "placeholder") == "输入消息,或将文件拖到这里"
    assert "图片" in page.locator("#nx-answer").inner_text()
    page.press(BOX, "Enter")
    page.wait_for_selector(".toast-body:has-text('请先输入文字或添加文件。')")
    program = tmp_path / "holiday.png"
    program.write_bytes(b"MZ\x90\x00" + b"\0" * 500)
    choose(page, program)
    page.wait_for_selector(".nx-chosen li.problem:has-text('holiday.png 不是可读取的图片、声音或视频')")
    huge = tmp_path / "holiday.mp4"
    with huge.open("wb") as file:
        file.truncate(300 * 2**20)
    page.set_input_files("#nx-box input[type=file]", str(huge))
    page.wait_for_selector(".toast-body:has-text('超过上限')")
    write(page, "a picture please")
    page.press(BOX, "Enter")
    page.wait_for_selector(".toast-body:has-text('未使用')")
    page.wait_for_selector(MEDIA["picture"])
    answered(page)
    assert "再来一个" in last_answer(page)
