"""How often a tab is shown an answer that grows: as often as it is set, and no more often than server and browser can follow.

A server does not see what a browser has shown; on a busy machine a tab would fall further behind with each update, and freeze. So now and
then an update carries a mark, which the browser sends back when it has shown it.
"""

import time
from collections.abc import Callable

MARKED = 1.0  # seconds after which another mark is sent
BEHIND = 0.25  # seconds that a mark may take longer than the quickest one; then the browser is behind, and is sent nothing until it is back
LOST = 5.0  # seconds after which a mark does not come back any more
UNKNOWN = 0.1  # seconds between two updates until it is known what the browser can do
SLOWEST = 1.0  # seconds between two updates
SHARE = 0.04  # of the server's time that updates of one tab may take


class Pace:
    """One tab's pace, from answer to answer."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._least, self._browsers = 1.0 / per_second, UNKNOWN  # seconds between two updates: as it is set, as the browser can follow
        self._cost = 0.0  # seconds of the server's processor time that an update takes
        self._clock = clock
        self._updates = 0  # that were sent
        self._out: tuple[str, int, float] | None = None  # the mark on its way: itself, the number of its update, and when it was sent
        self._back: tuple[int, float] | None = None  # the last one: the number of its update, and when it came back
        self._quickest = float("inf")  # a mark's way in seconds: the network's part of it

    def begin(self) -> None:
        """Another answer: how long it took until this one says nothing of the browser."""
        self._out = self._back = None

    @property
    def pause(self) -> float:
        """Seconds between two updates."""
        return min(max(self._least, self._browsers, self._cost / SHARE), SLOWEST)

    def sent(self) -> str | None:
        """Count an update that is sent now; returns the mark that goes with it, if any."""
        self._updates += 1
        now = self._clock()
        if self._out is not None or (self._back is not None and now - self._back[1] < MARKED):
            return None
        self._out = (str(self._updates), self._updates, now)
        return self._out[0]

    def came_back(self, mark: str) -> None:
        """The browser has shown the update with this mark."""
        if self._out is None or mark != self._out[0]:
            return
        now, (_, number, sent) = self._clock(), self._out
        way = now - sent
        self._quickest = min(self._quickest, way)
        if way - self._quickest > BEHIND and self._back is not None:  # as long as it is behind it shows one after the other
            wanted = 1.2 * (now - self._back[1]) / (number - self._back[0])
        elif self._back is None:
            wanted = max(way, self._browsers / 2)  # it took so long at most to show one
        else:
            wanted = self._browsers / 2
        self._browsers = min(wanted, SLOWEST)
        self._back, self._out = (number, now), None

    def took(self, seconds: float) -> None:
        """An update took the server so much processor time."""
        self._cost += (seconds - self._cost) / 5

    @property
    def held(self) -> bool:
        """Whether the browser is so far behind that it shall be shown nothing now."""
        if self._out is None:
            return False
        waited = self._clock() - self._out[2]
        if waited > LOST:
            self._out, self._back, self._browsers = None, (self._updates, self._clock()), SLOWEST
            return False
        quickest = 0.0 if self._quickest == float("inf") else self._quickest
        return waited > quickest + BEHIND
