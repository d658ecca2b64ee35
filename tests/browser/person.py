"""What a person does on the page, and where they look."""

import base64
import mimetypes
from pathlib import Path
from typing import Any

from tests.browser.conftest import ROOT

EXAMPLES = ROOT / "assets" / "examples"
BOX = "#nx-box textarea"
MEDIA = {  # in the order in which the fake engine makes them
    "picture": "#nx-chat .bot .image-container img",
    "sound": "#nx-chat .bot [data-testid^=waveform]",
    "video": "#nx-chat .bot video",
}


def write(page: Any, text: str) -> None:
    page.fill(BOX, text)


def choose(page: Any, *files: Path) -> None:
    """Choose files with the box's upload button, and wait until each was looked at."""
    page.set_input_files("#nx-box input[type=file]", [str(file) for file in files])
    page.wait_for_function(f"document.querySelectorAll('.nx-chosen li').length == {len(files)}")


def carried(page: Any, file: Path) -> Any:
    """The file as something that a mouse or the clipboard carries: a DataTransfer in the page."""
    return page.evaluate_handle(
        """([name, type, data]) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type }));
            return transfer;
        }""",
        [file.name, mimetypes.guess_type(file.name)[0], base64.b64encode(file.read_bytes()).decode()],
    )


def drop(page: Any, place: str, file: Path) -> None:
    """Drag a file from elsewhere over a place of the page and let it go there."""
    transfer = carried(page, file)
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(place, event, {"dataTransfer": transfer})


def noted(page: Any, text: str) -> None:
    """Wait until the browser keeps what was written but not sent."""
    page.wait_for_function("(text) => (sessionStorage.getItem('nextgpt-draft') ?? '').includes(text)", arg=text)


def send(page: Any, text: str, files: list[Path] | None = None) -> None:
    if files:
        choose(page, *files)
    write(page, text)
    if page.evaluate("matchMedia('(pointer: coarse) and (hover: none)').matches"):  # there Enter breaks the line
        page.click("#nx-box .submit-button")
    else:
        page.press(BOX, "Enter")


def answered(page: Any, turns: int = 1) -> None:
    """Wait until so many answers are complete and the next message can be sent."""
    page.wait_for_function(f"document.querySelectorAll('.nx-routing').length == {turns}")
    page.wait_for_selector("#nx-box .submit-button")


def emptied(page: Any) -> None:
    """Wait until no message is shown."""
    page.wait_for_function("document.querySelectorAll('#nx-chat .user-row').length == 0")


def last_answer(page: Any) -> str:
    return page.locator("#nx-chat .bot-row").last.inner_text()
