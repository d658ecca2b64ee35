"""The page as a person uses it, with the fake engine: each numbered point of what the page promises."""

import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE, ROOT, ready

pytestmark = pytest.mark.browser
EXAMPLES = ROOT / "assets" / "examples"
MEDIA = {  # in the order in which the fake engine makes them
    "picture": "#nx-chat .bot .image-container img",
    "sound": "#nx-chat .bot [data-testid^=waveform]",
    "film": "#nx-chat .bot video",
}


def send(page: Any, text: str, files: list[Path] | None = None) -> None:
    if files:
        page.set_input_files("#nx-box input[type=file]", [str(file) for file in files])
        page.wait_for_function(f"document.querySelectorAll('.nx-chosen li').length == {len(files)}")
    page.fill("#nx-box textarea", text)
    page.press("#nx-box textarea", "Enter")


def answered(page: Any, turns: int = 1) -> None:
    page.wait_for_function(f"document.querySelectorAll('.nx-routing').length == {turns}")
    page.wait_for_selector("#nx-box .submit-button")


def last_answer(page: Any) -> str:
    return page.locator("#nx-chat .bot-row").last.inner_text()


# 1. Life while it works


def test_every_medium_shows_progress_and_a_preview_and_then_itself(open_page: Callable) -> None:
    page = open_page()
    send(page, "a slow picture, sound and film please")
    for name, selector in MEDIA.items():
        page.wait_for_selector(f".nx-making:has-text('Making a {name} · step')")
        page.wait_for_selector(".nx-preview img")
        page.wait_for_selector(selector)
    answered(page)
    for selector in MEDIA.values():
        page.wait_for_selector(selector)
    assert page.locator(".nx-making").count() == 0


def test_first_reaction_is_quick(open_page: Callable) -> None:
    page = open_page()
    send(page, "hello")
    answered(page)
    page.fill("#nx-box textarea", "hello again")
    milliseconds = page.evaluate(
        """async () => {
            const before = document.querySelectorAll('#nx-chat .user-row').length;
            const start = performance.now();
            document.querySelector('#nx-box .submit-button').click();
            while (document.querySelectorAll('#nx-chat .user-row').length == before) await new Promise(requestAnimationFrame);
            return performance.now() - start;
        }"""
    )
    print(f"first visible reaction {milliseconds:.0f} ms")
    assert milliseconds < 1000 * PATIENCE  # 200 ms on a free machine


def test_stop_keeps_what_is_there(open_page: Callable) -> None:
    page = open_page()
    send(page, "a long story")
    page.wait_for_selector("#nx-chat .bot-row:has-text('long long')")
    page.click("#nx-box .stop-button")
    page.wait_for_selector(".nx-notice:has-text('Stopped.')")
    assert "long long" in last_answer(page)
    send(page, "hello")
    page.wait_for_selector("#nx-chat .bot-row >> nth=1 >> text=Here you are.")


# 2. Inline results


def test_make_another_and_use_in_my_next_message(open_page: Callable) -> None:
    page = open_page()
    send(page, "a picture please")
    answered(page)
    assert re.search(r"AI-generated · Seed \d+ · Steps 10", last_answer(page))
    page.click("text=Make another")
    answered(page, 2)
    page.wait_for_function(f"document.querySelectorAll({MEDIA['picture']!r}).length == 2")
    page.locator("text=Use in my next message").last.click()
    page.wait_for_selector("#nx-box .thumbnail-item, #nx-box .thumbnail-image")
    page.fill("#nx-box textarea", "what is it?")
    page.press("#nx-box textarea", "Enter")
    page.wait_for_selector("text=I see a picture.")


def test_a_made_file_recalls_its_settings(open_page: Callable, tmp_path: Path) -> None:
    page = open_page()
    send(page, "a picture please")
    answered(page)
    with page.expect_download() as download:
        page.click(".nx-below >> text=Download")
    file = tmp_path / "again.png"
    download.value.save_as(file)
    page.set_input_files("#nx-box input[type=file]", str(file))
    page.wait_for_selector("text=Its settings were recalled")
    assert page.locator("#nx-lock input").is_checked()


# 3. Conversation


def test_edit_branches_retry_keeps_versions_undo_takes_back(open_page: Callable) -> None:
    page = open_page()
    send(page, "first words")
    answered(page)
    page.click("#nx-chat [aria-label=Retry]")
    page.wait_for_selector("text=answer 2 of 2")
    page.click("[aria-label='Earlier answer']")
    page.wait_for_selector("text=answer 1 of 2")
    page.click("#nx-chat [aria-label=Edit]")
    page.fill("#nx-chat textarea", "a picture instead")
    page.click("#nx-chat [aria-label=Submit]")
    page.wait_for_selector("#nx-list >> text=first words (before the edit)")
    answered(page)
    assert page.locator(MEDIA["picture"]).count() == 1
    page.click("#nx-chat [aria-label=Undo]")
    page.wait_for_function("document.querySelector('#nx-box textarea').value == 'a picture instead'")
    assert page.locator("#nx-chat .user-row").count() == 0


def test_history_survives_reloads_also_in_the_middle_of_an_answer(open_page: Callable, address: str) -> None:
    page = open_page()
    send(page, "a picture please")
    answered(page)
    ready(page, address)
    page.wait_for_selector(MEDIA["picture"])
    send(page, "a film, a sound and a picture please")
    page.wait_for_selector(".nx-making")
    ready(page, address)
    answered(page, 2)
    assert page.locator(MEDIA["film"]).count() == 1
    page.click("#nx-new")
    page.wait_for_function("document.querySelectorAll('#nx-chat .user-row').length == 0")
    send(page, "another conversation")
    answered(page)
    page.click("#nx-list >> text=a picture please")
    page.wait_for_selector(MEDIA["film"])


def test_export_and_import_bring_the_media_along(open_page: Callable, tmp_path: Path) -> None:
    page = open_page()
    send(page, "a picture and a sound please", [EXAMPLES / "picture.png"])
    answered(page)
    with page.expect_download() as download:
        page.click("#nx-export")
    file = tmp_path / "conversation.zip"
    download.value.save_as(file)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert len([name for name in names if name.startswith("media/")]) == 3
        assert json.loads(archive.read("conversation.json"))["turns"][0]["text"] == "a picture and a sound please"
    other = open_page()
    other.set_input_files("input[type=file][accept*='.zip']", str(file))
    other.wait_for_selector(MEDIA["sound"])
    assert other.locator("#nx-chat img").count() == 2


def test_delete_removes_the_files(open_page: Callable) -> None:
    page = open_page()
    send(page, "a picture please")
    answered(page)
    url = page.locator(MEDIA["picture"]).first.get_attribute("src")
    assert page.request.get(url).status == 200
    page.click("#nx-delete")
    page.wait_for_function("document.querySelectorAll('#nx-chat .user-row').length == 0")
    assert page.request.get(url).status in (403, 404)


# 4. Inputs


def test_files_are_checked_when_chosen(open_page: Callable, tmp_path: Path) -> None:
    page = open_page()
    program = tmp_path / "holiday.png"
    program.write_bytes(b"MZ\x90\x00" + b"\0" * 500)
    page.set_input_files("#nx-box input[type=file]", [str(EXAMPLES / "sound.wav"), str(program)])
    page.wait_for_selector(".nx-chosen li:has-text('sound.wav: 2.6 s')")
    page.wait_for_selector(".nx-chosen li.problem:has-text('holiday.png is not a picture, sound or film')")
    page.fill("#nx-box textarea", "what is this?")
    page.press("#nx-box textarea", "Enter")
    page.wait_for_selector("text=I see a sound.")


@pytest.mark.parametrize("number", range(6))
def test_every_example_works(open_page: Callable, number: int) -> None:
    page = open_page()
    page.locator("#nx-chat .example").nth(number).click()
    answered(page)
    assert page.locator(".nx-notice.problem").count() == 0


# 5. See the routing


def test_the_routing_panel_lights_what_was_active(open_page: Callable) -> None:
    page = open_page()
    send(page, "make a sound of this", [EXAMPLES / "picture.png"])
    answered(page)
    page.click(".nx-routing summary")
    lit = page.evaluate("[...document.querySelectorAll('.nx-system g.on text')].map(text => text.textContent)")
    assert "[AUD] →" in lit and "[IMG] →" not in lit and "picture" in lit
    assert "sound: tokens" in page.locator(".nx-routing").inner_text()
    assert page.locator(".nx-time").count() >= 3


def test_a_modality_can_be_forced(open_page: Callable) -> None:
    page = open_page()
    page.click("#nx-answer label:has-text('film')")
    send(page, "a cat")
    page.wait_for_selector(MEDIA["film"])


# 6. Settings, language


def test_settings_reach_the_engine_and_a_locked_seed_repeats(open_page: Callable) -> None:
    page = open_page()
    page.click("#nx-right .toggle-button")
    page.fill("#nx-seed input", "77")
    page.check("#nx-lock input")
    page.click("#nx-quality label:has-text('fast')")
    send(page, "a picture please")
    answered(page)
    assert "Seed 77 · Steps 8" in last_answer(page)


def test_the_page_speaks_chinese_to_a_chinese_browser(open_page: Callable) -> None:
    page = open_page(locale="zh-CN")
    assert page.locator("#nx-new").inner_text() == "新对话"
    assert "图片" in page.locator("#nx-answer").inner_text()
    send(page, "a picture please")
    answered(page)
    assert "再来一个" in last_answer(page)


# 7. Everyone


def test_keyboard_alone(open_page: Callable) -> None:
    page = open_page()
    page.locator("body").press("/")
    page.keyboard.type("a picture please")
    page.keyboard.press("Enter")
    answered(page)
    page.keyboard.press("Control+Shift+O")
    page.wait_for_function("document.querySelectorAll('#nx-chat .user-row').length == 0")


@pytest.mark.parametrize("options", [{"viewport": {"width": 390, "height": 844}}, {"viewport": {"width": 640, "height": 400}}])
def test_nothing_sticks_out_on_a_phone_or_at_200_percent(open_page: Callable, options: dict) -> None:
    page = open_page(**options)
    send(page, "a picture, a sound and a film please")
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    box = page.locator("#nx-box").bounding_box()
    assert box["y"] + box["height"] <= options["viewport"]["height"] + 1


# 8. Private; bad input


def test_nobody_elses_file_and_no_outbound_request(open_page: Callable, address: str) -> None:
    page = open_page()
    for path in ("/etc/passwd", str(ROOT / "launch.py"), str(ROOT / "app/../launch.py")):
        assert page.request.get(f"{address}gradio_api/file={path}").status in (403, 404)
    assert page.request.get(f"{address}gradio_api/file=http://example.com/").status in (403, 404)
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    send(page, "a picture please")
    answered(page)
    assert [url for url in outside if not url.startswith((address, "data:", "blob:"))] == []


def test_nothing_and_too_much_are_said_and_nothing_is_lost(open_page: Callable) -> None:
    page = open_page()
    page.press("#nx-box textarea", "Enter")
    page.wait_for_selector("text=Write something or add a file first.")
    page.evaluate(
        """() => {
            const box = document.querySelector('#nx-box textarea');
            box.value = 'x'.repeat(100000);
            box.dispatchEvent(new Event('input', {bubbles: true}));
        }"""
    )
    page.press("#nx-box textarea", "Enter")
    page.wait_for_selector("text=This message has 100,000 characters")
    assert len(page.input_value("#nx-box textarea")) == 100_000
    page.fill("#nx-box textarea", "hello")
    page.press("#nx-box textarea", "Enter")
    page.wait_for_selector("text=Here you are.")


def test_sending_twice_is_answered_once(open_page: Callable) -> None:
    page = open_page()
    send(page, "a long story")
    page.wait_for_selector("#nx-chat .bot-row:has-text('long')")
    page.fill("#nx-box textarea", "hello")
    page.press("#nx-box textarea", "Enter")
    page.wait_for_timeout(700)
    assert page.input_value("#nx-box textarea") == "hello"
    assert page.locator("#nx-chat .user-row").count() == 1
    page.click("#nx-box .stop-button")


def test_two_tabs_share_one_history(open_page: Callable, address: str) -> None:
    page = open_page()
    send(page, "from the first tab")
    answered(page)
    second = page.context.new_page()
    ready(second, address)
    second.click("#nx-new")
    send(second, "from the second tab")
    answered(second)
    ready(page, address)
    listed = page.locator("#nx-list").inner_text()
    assert "from the first tab" in listed and "from the second tab" in listed


def test_failures_are_sentences_and_the_next_turn_works(open_page: Callable) -> None:
    page = open_page()
    send(page, "a broken picture")
    page.wait_for_selector("text=The picture could not be made: this decoder is broken on purpose")
    send(page, "please crash")
    page.wait_for_selector("text=The engine fell over on purpose.")
    send(page, "a picture please")
    page.wait_for_selector(MEDIA["picture"])


def test_words_are_never_markup(open_page: Callable) -> None:
    page = open_page()
    send(page, "<img src=x onerror=\"window.bad=1\"> <script>window.bad=1</script> [IMG0] <b>bold</b>")
    answered(page)
    assert page.evaluate("window.bad === undefined")


def test_a_person_waits_in_line_and_others_stay_responsive(open_page: Callable) -> None:
    first, second = open_page(), open_page()
    send(first, "a long story")
    first.wait_for_selector("#nx-chat .bot-row:has-text('long')")
    start = time.monotonic()
    send(second, "hello")
    second.wait_for_selector("text=1 ahead of you")
    assert time.monotonic() - start < 3 * PATIENCE
    first.click("#nx-box .stop-button")
    second.wait_for_selector("text=Here you are.")
