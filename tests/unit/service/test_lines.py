"""Who is served, who waits, who is told to come again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.lines import Full, Line, Place


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def _served(places: list[Place]) -> list[bool]:
    return [place.ready.done() and not place.ready.cancelled() for place in places]


def test_so_many_are_served_so_many_wait_and_one_more_is_refused() -> None:
    async def story() -> None:
        line = Line(2, 1)
        places = [line.enter() for _ in range(3)]
        assert _served(places) == [True, True, False]
        with pytest.raises(Full):
            line.enter()
        assert (line.in_work, line.waiting, line.refused) == (2, 1, 1)
        places[0].leave()
        assert _served(places) == [True, True, True]
        assert (line.in_work, line.waiting) == (2, 0)

    _run(story)


def test_who_leaves_twice_gives_one_place_back() -> None:
    async def story() -> None:
        line = Line(1, 5)
        first, *others = [line.enter() for _ in range(3)]
        first.leave()
        first.leave()
        assert _served(others) == [True, False]

    _run(story)


def test_who_gives_up_waiting_is_never_served() -> None:
    async def story() -> None:
        line = Line(1, 5)
        first, second, third = [line.enter() for _ in range(3)]
        second.leave()
        assert line.waiting == 1
        first.leave()
        assert _served([second, third]) == [False, True]
        third.leave()
        assert (line.in_work, line.waiting) == (0, 0)

    _run(story)


def test_collections_take_turns() -> None:
    async def story() -> None:
        line = Line(1, 10)
        first = line.enter("flood")
        flood = [line.enter("flood") for _ in range(3)]
        other = line.enter("other")
        first.leave()
        flood[0].leave()
        assert _served([*flood, other]) == [True, False, False, True]

    _run(story)


def test_the_time_to_come_again_follows_the_measured_time() -> None:
    async def story() -> None:
        clock = Clock()
        line = Line(2, 2, clock)
        places = [line.enter() for _ in range(4)]
        clock.now = 10.0
        places[0].leave()  # served for 10 s, the first measurement
        assert line.service_s == 10.0
        line.enter()
        with pytest.raises(Full) as refused:
            line.enter()
        assert refused.value.retry_after_s == 20  # four are here, two at a time
        clock.now = 12.0
        places[2].leave()  # served for 2 s
        assert line.service_s == pytest.approx(9.2)

    _run(story)
