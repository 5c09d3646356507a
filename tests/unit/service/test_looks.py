"""Many requests, one look into the database at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping

import pytest

from memory_graph.errors import StoreUnavailable
from service.looks import Looks


class Slow:
    """A read that begins at once and ends when it is let go."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.value = "old"
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)

    def __call__(self, asked: Collection[str]) -> Mapping[str, str]:
        self.asked.append(tuple(asked))
        seen = self.value
        self.begun.release()
        self.let_go.acquire()
        return {one: f"{one} {seen}" for one in asked}


async def _until_begun(slow: Slow) -> None:
    await asyncio.to_thread(slow.begun.acquire)


def test_who_asks_while_a_look_is_under_way_shares_the_next_one_and_sees_what_changed() -> None:
    async def story() -> None:
        slow = Slow()
        looks = Looks(slow)
        first = asyncio.create_task(looks.ask("a"))
        await _until_begun(slow)
        slow.value = "new"
        others = [asyncio.create_task(looks.ask(one)) for one in "abba"]
        await asyncio.sleep(0)
        slow.let_go.release()
        slow.let_go.release()
        assert await first == "a old"
        assert await asyncio.gather(*others) == ["a new", "b new", "b new", "a new"]
        assert slow.asked == [("a",), ("a", "b")]

    asyncio.run(story())


def test_who_goes_takes_the_look_from_nobody() -> None:
    async def story() -> None:
        slow = Slow()
        looks = Looks(slow)
        gone, stays = (asyncio.create_task(looks.ask("a")) for _ in range(2))
        await _until_begun(slow)
        gone.cancel()
        slow.let_go.release()
        assert await stays == "a old"
        assert slow.asked == [("a",)]

    asyncio.run(story())


def test_an_error_reaches_all_who_waited_for_it_and_nobody_after_them() -> None:
    async def story() -> None:
        failing = True

        def read(asked: Collection[str]) -> Mapping[str, str]:
            if failing:
                raise StoreUnavailable("the database is away")
            return dict.fromkeys(asked, "here")

        looks = Looks(read)
        told = await asyncio.gather(*(looks.ask(one) for one in "ab"), return_exceptions=True)
        assert [type(one) for one in told] == [StoreUnavailable] * 2
        failing = False
        assert await looks.ask("a") == "here"

    asyncio.run(story())


def test_a_look_that_nobody_waits_for_any_more_fails_in_silence() -> None:
    async def story() -> None:
        let_go = threading.Event()

        def read(asked: Collection[str]) -> Mapping[str, str]:
            let_go.wait()
            raise StoreUnavailable("the database is away")

        looks = Looks(read)
        gone = asyncio.create_task(looks.ask("a"))
        await asyncio.sleep(0)
        gone.cancel()
        let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        with pytest.raises(StoreUnavailable):
            await looks.ask("b")

    asyncio.run(story())
