"""Opening the page in the browser of the person who started the program, where there is such a person and such a browser."""

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

REMOTE = ("SSH_CONNECTION", "SSH_TTY")  # a browser here would open far from the person, or come over the wire
NOBODY = ("CI", "SPACE_ID", "KUBERNETES_SERVICE_HOST", "container", "PYTEST_CURRENT_TEST")  # machines at work
CONTAINERS = ("/.dockerenv", "/run/.containerenv")


def open_page(address: str) -> bool:
    """Open an address in the browser; False where nobody sits there to see it, or there is no browser."""
    if not someone_sits_here():
        return False
    try:
        browser = webbrowser.get()
        if type(browser).__name__ in ("GenericBrowser", "Elinks") and not os.environ.get("BROWSER"):
            return False  # lynx and the like, which would take the terminal away
        return browser.open(address)
    except (webbrowser.Error, OSError):
        return False


def someone_sits_here(environment: Mapping[str, str] | None = None) -> bool:
    """True for a program started in a terminal of a desktop: not by a service, a build or a test, in no container, not over SSH."""
    environment = os.environ if environment is None else environment
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        return False
    if any(environment.get(name) for name in (*REMOTE, *NOBODY)) or any(Path(sign).exists() for sign in CONTAINERS):
        return False
    return sys.platform in ("darwin", "win32") or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
