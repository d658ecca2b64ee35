"""The page as a person uses it, with the fake engine: answers in the making, results, conversations, routing, settings."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import ready
from tests.browser.person import EXAMPLES, MEDIA, answered, emptied, last_answer, send

pytestmark = pytest.mark.browser

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
    send(page, "what is it?")
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
    page.wait_for_function("document.querySelector('#nx-lock input').checked")


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
    emptied(page)
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
