"""The page as a person uses it, with the fake engine: answers in the making, results, conversations, routing, settings."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import ready
from tests.browser.person import BOX, EXAMPLES, MEDIA, answered, choose, drop, emptied, last_answer, noted, send

pytestmark = pytest.mark.browser

# 1. Life while it works


SEEN = """(names) => {  // notes what is shown for a moment only, however busy the machine that looks for it
    window.seen = {};
    new MutationObserver(() => {
        const words = document.querySelector('.nx-making span')?.innerText ?? '';
        for (const name of names) if (words.includes(`Making a ${name} · step`)) {
            window.seen[name] ??= { steps: new Set(), previews: new Set(), left: false };
            window.seen[name].steps.add(document.querySelector('.nx-making progress').value);
            window.seen[name].left ||= / s left/.test(words);
            const preview = document.querySelector('.nx-preview img');
            if (preview) window.seen[name].previews.add(preview.src);
        }
    }).observe(document.querySelector('#nx-chat'), { childList: true, subtree: true, attributes: true, characterData: true });
}"""


def test_every_medium_shows_progress_and_a_preview_and_then_itself(open_page: Callable) -> None:
    page = open_page()
    page.evaluate(SEEN, list(MEDIA))
    send(page, "a slow picture, sound and video please")
    answered(page)
    seen = page.evaluate("Object.entries(window.seen).map(([name, one]) => [name, one.steps.size, one.previews.size, one.left])")
    assert [name for name, *_ in seen] == list(MEDIA)
    for name, steps, previews, left in seen:
        assert steps >= 3 and previews >= 2 and left, seen
        page.wait_for_selector(MEDIA[name])
    assert page.locator(".nx-making").count() == 0


def test_stop_keeps_what_is_there(open_page: Callable) -> None:
    page = open_page()
    send(page, "an endless story")
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


@pytest.mark.parametrize("name", MEDIA)
def test_a_made_file_that_is_dropped_on_the_page_recalls_its_settings(open_page: Callable, tmp_path: Path, name: str) -> None:
    page = open_page()
    page.click("#nx-quality label:has-text('fast')")
    send(page, f"a {name} please")
    answered(page)
    seed = re.search(r"Seed (\d+) · Steps 8", last_answer(page)).group(1)
    with page.expect_download() as download:
        page.click(".nx-below >> text=Download")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    other = open_page()  # somebody else, so that nothing is remembered
    drop(other, "#nx-chat", file)
    other.wait_for_selector(f"text=Its settings were recalled (seed {seed}).")
    other.click("#nx-right .toggle-button")
    other.click("#nx-advanced button")
    other.wait_for_function("document.querySelector('#nx-lock input').checked")
    assert other.input_value("#nx-seed input") == seed
    assert other.input_value("#nx-steps input[type=number]") == "8"


def test_pictures_zoom_sounds_play_and_videos_loop(open_page: Callable) -> None:
    page = open_page()
    send(page, "a picture, a sound and a video please")
    answered(page)
    assert page.locator(MEDIA["picture"]).bounding_box()["width"] <= 256
    page.click("#nx-chat .bot [aria-label='Enlarge the picture']")
    page.wait_for_function("document.fullscreenElement")
    page.wait_for_function(f"document.querySelector({MEDIA['picture']!r}).getBoundingClientRect().width == window.innerWidth")
    page.click("#nx-chat .bot [aria-label='Enlarge the picture']")
    page.wait_for_function("!document.fullscreenElement")
    video = page.locator(MEDIA["video"])
    assert video.evaluate("video => video.loop")
    page.wait_for_function(f"document.querySelector({MEDIA['video']!r}).currentTime > 0")
    video.hover()
    page.click("#nx-chat .bot [aria-label='play-pause-replay-button']")
    page.wait_for_function(f"document.querySelector({MEDIA['video']!r}).paused")
    page.click("#nx-chat .bot .minimal-audio-player button")
    page.wait_for_selector("#nx-chat .bot .minimal-audio-player [aria-label=Pause]")


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


@pytest.mark.parametrize(("locale", "edit"), [("en-US", "Edit"), ("zh-CN", "编辑")])
def test_a_message_with_a_file_is_edited_in_the_box_and_keeps_it(open_page: Callable, locale: str, edit: str) -> None:
    page = open_page(locale=locale)
    send(page, "what is this?", [EXAMPLES / "picture.png"])
    answered(page)
    send(page, "and now words")
    answered(page, 2)
    page.locator(f"#nx-chat [aria-label={edit}]").first.click()
    page.wait_for_function("document.querySelector('#nx-box textarea').value == 'what is this?'")
    page.wait_for_selector("#nx-box .thumbnail-item, #nx-box .thumbnail-image")
    emptied(page)
    send(page, "a sound of this, please")
    answered(page)
    assert "I see a picture." in last_answer(page)
    assert page.locator("#nx-chat .user-row img").count() == 1 and page.locator(MEDIA["sound"]).count() == 1
    assert page.locator("#nx-list label").count() == 2


def test_history_survives_reloads_also_in_the_middle_of_an_answer(open_page: Callable, address: str) -> None:
    page = open_page()
    send(page, "a picture please")
    answered(page)
    ready(page, address)
    page.wait_for_selector(MEDIA["picture"])
    send(page, "a video, a sound and a picture please")
    page.wait_for_selector(".nx-making")
    ready(page, address)
    answered(page, 2)
    assert page.locator(MEDIA["video"]).count() == 1
    page.click("#nx-new")
    emptied(page)
    send(page, "another conversation")
    answered(page)
    page.click("#nx-list >> text=a picture please")
    page.wait_for_selector(MEDIA["video"])


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
    page.click("#nx-answer label:has-text('video')")
    send(page, "a cat")
    page.wait_for_selector(MEDIA["video"])


def test_a_modality_can_be_forbidden(open_page: Callable) -> None:
    page = open_page()
    page.click("#nx-right .toggle-button")
    page.check("#nx-forbid label:has-text('sound') input")
    send(page, "a picture and a sound please")
    answered(page)
    assert page.locator(MEDIA["picture"]).count() == 1 and page.locator(MEDIA["sound"]).count() == 0
    page.click("#nx-answer label:has-text('sound')")
    send(page, "hello")
    page.wait_for_selector("text=A sound is both asked for and forbidden")
    assert page.input_value(BOX) == "hello"
    page.uncheck("#nx-forbid label:has-text('sound') input")
    page.press(BOX, "Enter")
    page.wait_for_selector(MEDIA["sound"])


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


# Writing


def test_keys_stay_in_the_browser_and_escape_stops_only_where_it_means_that(open_page: Callable) -> None:
    page = open_page()
    send(page, "an endless story")
    page.wait_for_selector("#nx-chat .bot-row:has-text('long long')")
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    page.focus(BOX)
    page.keyboard.type("not sent yet")
    noted(page, "not sent yet")
    assert posted == []
    page.evaluate(
        """(box) => document.querySelector(box).dispatchEvent(
            new KeyboardEvent('keydown', { key: 'Escape', isComposing: true, bubbles: true }))""",
        BOX,
    )
    page.click("#nx-right .toggle-button")
    page.press("#nx-seed input", "Escape")
    page.wait_for_timeout(300)
    assert page.locator("#nx-box .stop-button").is_visible() and page.locator("text=Stopped.").count() == 0
    page.press(BOX, "Escape")
    page.wait_for_selector(".nx-notice:has-text('Stopped.')")
    choose(page, EXAMPLES / "picture.png")
    assert page.input_value(BOX) == "not sent yet" and posted


def test_a_browser_that_keeps_nothing_works(open_page: Callable) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            const set = Storage.prototype.setItem;
            Storage.prototype.setItem = function (name, value) {
                if (this === sessionStorage) throw new DOMException("full", "QuotaExceededError");
                set.call(this, name, value);
            };
        }"""
    )
    send(page, "a picture please", [EXAMPLES / "picture.png"])
    answered(page)
