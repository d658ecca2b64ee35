"""The page is opened in a browser where somebody sits in front of one, and nowhere else."""

import sys
import webbrowser
from types import SimpleNamespace
from typing import Any

import pytest

from app import desktop

DESK = {"DISPLAY": ":0"}


class Browser:
    """Notes what it is asked to open."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def open(self, address: str) -> bool:
        self.opened.append(address)
        return True


@pytest.fixture()
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on both sides, on Linux, in no container."""
    screen = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(desktop, "sys", SimpleNamespace(stdin=screen, stdout=screen, platform="linux"))
    monkeypatch.setattr(desktop, "CONTAINERS", ())


@pytest.mark.parametrize(
    ("environment", "platform", "sits"),
    [
        (DESK, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({**DESK, "SSH_CONNECTION": "10.0.0.1 22"}, "linux", False),
        ({"SSH_TTY": "/dev/ttys001"}, "darwin", False),
        ({**DESK, "CI": "true"}, "linux", False),
        ({**DESK, "SPACE_ID": "someone/space"}, "linux", False),
        ({**DESK, "container": "podman"}, "linux", False),
        ({**DESK, "PYTEST_CURRENT_TEST": "test"}, "linux", False),
    ],
)
def test_somebody_sits_at_a_terminal_of_a_desktop(
    terminal: None, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], platform: str, sits: bool
) -> None:
    monkeypatch.setattr(desktop.sys, "platform", platform)
    assert desktop.someone_sits_here(environment) is sits


@pytest.mark.parametrize("side", ["stdin", "stdout"])
def test_nobody_sits_at_a_pipe_or_in_a_container(terminal: None, monkeypatch: pytest.MonkeyPatch, side: str, tmp_path: Any) -> None:
    assert desktop.someone_sits_here(DESK)
    monkeypatch.setattr(desktop, "CONTAINERS", (str(tmp_path),))
    assert not desktop.someone_sits_here(DESK)
    monkeypatch.setattr(desktop, "CONTAINERS", ())
    monkeypatch.setattr(desktop.sys, side, SimpleNamespace(isatty=lambda: False))
    assert not desktop.someone_sits_here(DESK)
    monkeypatch.setattr(desktop.sys, side, None)  # pythonw, a service
    assert not desktop.someone_sits_here(DESK)


def test_a_browser_in_the_terminal_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop, "someone_sits_here", lambda: True)
    monkeypatch.delenv("BROWSER", raising=False)
    browser = Browser()
    monkeypatch.setattr(webbrowser, "get", lambda: browser)
    assert desktop.open_page("http://127.0.0.1:7860/") and browser.opened == ["http://127.0.0.1:7860/"]

    text = webbrowser.GenericBrowser(sys.executable)
    monkeypatch.setattr(text, "open", browser.open)
    monkeypatch.setattr(webbrowser, "get", lambda: text)
    assert not desktop.open_page("http://127.0.0.1:7860/")
    monkeypatch.setenv("BROWSER", "lynx")  # wished for
    assert desktop.open_page("http://127.0.0.1:7860/") and len(browser.opened) == 2


def test_no_browser_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(desktop, "someone_sits_here", lambda: True)
    monkeypatch.setattr(webbrowser, "get", none)
    assert not desktop.open_page("http://127.0.0.1:7860/")
