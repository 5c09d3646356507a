"""A line before a counter: so many are served at once, so many may wait, and more are told when to come again."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import OrderedDict, deque
from collections.abc import Callable
from math import ceil
from time import monotonic

_FIRST_GUESS_S = 1.0  # of a service, before any was measured
_WEIGHT = 0.1  # of the newest measurement in the moving mean
_LONGEST_RETRY_S = 120


class Full(Exception):
    """The line is full; it has room again in about ``retry_after_s`` seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"full for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Place:
    """A place at the counter, once ``ready`` is done; whoever has it calls ``leave``, a second time for nothing."""

    def __init__(self, line: Line, lane: str) -> None:
        self.ready: Future[None] = get_running_loop().create_future()
        self.lane = lane
        self.left = False
        self.served_since = 0.0
        self._line = line

    def leave(self) -> None:
        """Go, served or not, and let the next one in."""
        if not self.left:
            self.left = True
            self._line.let_go(self)


class Line:
    """Lets ``at_once`` in and ``waiting`` wait; lanes (collections) take turns. For one event loop, without locks."""

    def __init__(self, at_once: int, waiting: int, clock: Callable[[], float] = monotonic) -> None:
        self.at_once = at_once
        self.most_waiting = waiting
        self.in_work = 0
        self.waiting = 0
        self.refused = 0
        self.service_s = _FIRST_GUESS_S
        """The moving mean of how long one is served, in seconds."""
        self._lanes: OrderedDict[str, deque[Place]] = OrderedDict()  # none is empty; the first is next
        self._measured = False
        self._clock = clock

    @property
    def retry_after_s(self) -> int:
        """In how many seconds all who are here now will have been served, as far as is known."""
        rounds = (self.in_work + self.waiting) / self.at_once
        return min(_LONGEST_RETRY_S, max(1, ceil(rounds * self.service_s)))

    def check(self) -> None:
        """Take no place, and see whether there is one. Errors: ``Full``."""
        if self.in_work >= self.at_once and self.waiting >= self.most_waiting:
            self.refused += 1
            raise Full(self.retry_after_s)

    def enter(self, lane: str = "") -> Place:
        """Take a place, ready now or later. Errors: ``Full``."""
        self.check()
        place = Place(self, lane)
        if self.in_work < self.at_once:
            self.in_work += 1
            self._serve(place)
        else:
            self.waiting += 1
            self._lanes.setdefault(lane, deque()).append(place)
        return place

    def let_go(self, place: Place) -> None:
        """Give a place back (``Place.leave``)."""
        if not place.ready.done():
            self._remove(place)
            place.ready.cancel()
            return
        spent = self._clock() - place.served_since
        self.service_s = self.service_s + _WEIGHT * (spent - self.service_s) if self._measured else spent
        self._measured = True
        if not self._lanes:
            self.in_work -= 1
            return
        lane, places = next(iter(self._lanes.items()))
        self._lanes.move_to_end(lane)
        following = places[0]
        self._remove(following)
        self._serve(following)

    def _serve(self, place: Place) -> None:
        place.served_since = self._clock()
        place.ready.set_result(None)

    def _remove(self, place: Place) -> None:
        places = self._lanes[place.lane]
        places.remove(place)
        self.waiting -= 1
        if not places:
            del self._lanes[place.lane]
