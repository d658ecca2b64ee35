"""Looks and access: axe-core finds nothing serious, screenshots for docs/, times that a person feels, passwords."""

import io
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, ready, start_server
from tests.browser.test_page import EXAMPLES, answered, send

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
def test_axe_finds_nothing_serious(open_page: Callable, axe: str, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.click("#nx-right .toggle-button")
    problems = serious(page, axe)
    page.click("#nx-right .toggle-button")
    send(page, "a picture, a sound and a film please", [EXAMPLES / "picture.png"])
    answered(page)
    page.click(".nx-routing summary")
    page.wait_for_timeout(500)
    problems += serious(page, axe)
    assert problems == []


def test_screenshots_for_the_docs(open_page: Callable) -> None:
    shots = ROOT / "docs" / "screenshots"
    shots.mkdir(parents=True, exist_ok=True)
    page = open_page()
    page.screenshot(path=shots / "start.png")
    send(page, "a slow picture and a sound please", [EXAMPLES / "picture.png"])
    page.wait_for_selector(".nx-preview img")
    page.wait_for_timeout(1500)
    page.screenshot(path=shots / "working.png")
    answered(page)
    dark = open_page(color_scheme="dark")
    send(dark, "a sound of it please", [EXAMPLES / "picture.png"])
    answered(dark)
    dark.click(".nx-routing summary")
    dark.wait_for_timeout(600)
    dark.screenshot(path=shots / "routing-dark.png")
    phone = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True)
    send(phone, "a picture please")
    answered(phone)
    phone.wait_for_timeout(600)
    phone.screenshot(path=shots / "phone.png")


def test_the_thirtieth_turn_streams_as_fast_as_the_first(open_page: Callable) -> None:
    page = open_page()

    def updates() -> float:
        """Visible changes per second while a long text streams."""
        page.evaluate(
            """() => {
                window.changes = 0;
                window.watcher = new MutationObserver(() => { window.changes += 1; });
                window.watcher.observe(document.querySelector('#nx-chat'), {childList: true, subtree: true, characterData: true});
            }"""
        )
        send(page, "a long story")
        page.wait_for_selector("#nx-chat .bot-row >> nth=-1 >> text=long long")
        page.evaluate("window.changes = 0")
        page.wait_for_timeout(2000)
        changes = page.evaluate("(window.watcher.disconnect(), window.changes)") / 2
        page.click("#nx-box .stop-button")
        page.wait_for_selector("#nx-box .submit-button")
        return changes

    first = updates()
    for turn in range(12):
        send(page, "a picture and a film please")
        page.wait_for_function(f"document.querySelectorAll('.nx-routing').length == {turn + 2}")
        page.wait_for_selector("#nx-box .submit-button")
    last = updates()
    print(f"updates a second: first turn {first:.1f}, after 12 turns with 24 media {last:.1f}")
    assert last > first * 0.6


def test_the_page_is_up_while_the_model_loads(chromium: Any, tmp_path: Path) -> None:
    process, address = start_server(tmp_path, "--load-seconds", "6")
    context = chromium.new_context(locale="en-US")
    try:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector(".nx-status.loading:has-text('fake is loading')")
        page.fill("#nx-box textarea", "hello")
        page.press("#nx-box textarea", "Enter")
        page.wait_for_selector("text=The model is still loading")
        page.wait_for_selector("text=Here you are.")
        page.wait_for_selector(".nx-status.ready")
    finally:
        context.close()
        process.kill()


def test_a_password_keeps_others_out_and_big_uploads_are_refused(chromium: Any, tmp_path: Path) -> None:
    process, address = start_server(tmp_path, "--auth", NEXTGPT_MAX_UPLOAD_MB="1")
    context = chromium.new_context(locale="en-US")
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}gradio_api/file=/tmp/x")
        assert refused.value.code == 401
        page = context.new_page()
        page.goto(address)
        page.fill("input[type=text], input:not([type=password])", "ada")
        page.fill("input[type=password]", "secret")
        page.click("button:has-text('Login')")
        ready(page, address)
        big = tmp_path / "big.wav"
        big.write_bytes(b"RIFF" + b"\0" * 3_000_000)
        page.set_input_files("#nx-box input[type=file]", str(big))
        page.wait_for_selector(".toast-body:has-text('size')")
        page.fill("#nx-box textarea", "hello")
        page.press("#nx-box textarea", "Enter")
        page.wait_for_selector("text=Here you are.")
    finally:
        context.close()
        process.kill()
