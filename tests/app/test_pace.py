"""A tab is shown an answer as often as its browser can follow."""

import asyncio
from collections import deque
from pathlib import Path

import pytest

from app.actions import Tab
from app.pace import SLOWEST, Pace
from tests.app.fake_engine import FakeEngine
from tests.app.test_actions import actions_of, send


class Browser:
    """Shows one update after the other, each in `each` seconds, behind a network that takes `network` seconds there and back."""

    def __init__(self, each: float, network: float = 0.02, *, silent: bool = False) -> None:
        self.now = 0.0
        self.pace = Pace(20, clock=lambda: self.now)
        self.each, self.network, self.silent = each, network, silent
        self.waiting: deque[tuple[float, str | None]] = deque()  # when each update will have been shown, and its mark
        self.marks: deque[tuple[float, str]] = deque()  # when each mark is back
        self.sent: list[float] = []
        self.behind = 0.0

    def watch(self, seconds: float) -> None:
        """An answer that has news all the time."""
        self.pace.begin()
        end, due = self.now + seconds, self.now
        while self.now < end:
            while self.waiting and self.waiting[0][0] <= self.now:
                shown, mark = self.waiting.popleft()
                if mark and not self.silent:
                    self.marks.append((shown + self.network / 2, mark))
            while self.marks and self.marks[0][0] <= self.now:
                self.pace.came_back(self.marks.popleft()[1])
            if self.now >= due and not self.pace.held:
                begun = max(self.now + self.network / 2, self.waiting[-1][0] if self.waiting else 0.0)
                self.waiting.append((begun + self.each, self.pace.sent()))
                self.sent.append(self.now)
                self.behind = max(self.behind, begun - self.now - self.network / 2)
                due = self.now + self.pace.pause
            self.now += 0.005

    def rate(self, seconds: float) -> float:
        return sum(at > self.now - seconds for at in self.sent) / seconds


def test_a_quick_browser_is_shown_everything() -> None:
    for network in (0.02, 0.3):
        browser = Browser(0.01, network)
        browser.watch(10)
        assert browser.rate(5) == pytest.approx(20, rel=0.1), f"a network of {network} s is not a slow browser"


@pytest.mark.parametrize("each", [0.08, 0.2, 0.5])
def test_a_slow_browser_does_not_fall_behind(each: float) -> None:
    browser = Browser(each)
    browser.watch(10)
    assert browser.rate(5) > 0.25 / each, "it is shown what it can show"
    assert browser.behind < 2.5
    browser.behind = 0.0
    browser.watch(20)
    assert browser.behind < 1.5, "it never shows what is older than that, once its pace is known"


def test_a_browser_that_is_free_again_is_shown_everything_again() -> None:
    browser = Browser(0.3)
    browser.watch(10)
    browser.each = 0.01
    browser.watch(15)
    assert browser.rate(3) == pytest.approx(20, rel=0.1)


def test_who_sends_no_marks_back_is_still_shown_an_answer() -> None:
    browser = Browser(0.01, silent=True)
    browser.watch(40)
    assert 0.1 < browser.rate(20) <= 1 / SLOWEST


def test_updates_take_a_small_part_of_the_servers_time() -> None:
    pace = Pace(10)
    for _ in range(30):
        pace.took(0.001)
    assert pace.pause == pytest.approx(0.1)
    for _ in range(30):
        pace.took(0.01)
    assert pace.pause == pytest.approx(0.25, rel=0.05)


def test_a_tab_that_shows_nothing_is_sent_little_and_then_the_whole_answer(tmp_path: Path) -> None:
    def updates(marks: bool) -> list[dict[str, object]]:
        actions, tab = actions_of(tmp_path, FakeEngine(word_seconds=0.005)), Tab()
        send(actions, tab, "a long one")  # 400 words in two seconds

        async def collect() -> list[dict[str, object]]:
            shown = []
            async for update in actions.follow(tab):
                shown.append(update)
                if marks and "mark" in update:
                    actions.shown(tab, str(update["mark"]))
            return shown

        return asyncio.run(collect())

    frozen, lively = updates(False), updates(True)
    assert len(frozen) < 15 < 25 < len(lively)
    assert str(frozen[-1]["chat"]).count("long") == str(lively[-1]["chat"]).count("long") > 300
