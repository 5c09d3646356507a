"""Questions of a page: they stand in the line of answers, count as requests of the key, and end with their reader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from memory_graph.errors import NotFound, QuotaSpent
from retrieval.answer import Answer, Token
from retrieval.ask import Asked
from retrieval.search import SearchResult
from service.access import Caller
from service.admission import make_lines
from service.dashboard import asking
from service.dashboard.asking import TooMuch, ask
from service.dashboard.desk import Desk
from service.dashboard.sessions import Sessions
from service.rates import Rates
from service.recall_schemas import QueryIn
from service.settings import Settings

FOUND = SearchResult(hits=[], version=1, collection_id=1, fallback_reason=None, stages=[])
BODY = QueryIn(question="Who?")


def make_desk(tmp_path: Path, *, at_once: int = 1, waiting: int = 0, **caller: Any) -> Desk:
    settings = Settings(data_dir=tmp_path, answers_at_once=at_once, answers_waiting=waiting, request_timeout_s=5)
    host = FastAPI()
    host.state.services = SimpleNamespace(settings=settings)
    host.state.lines, host.state.rates = make_lines(settings), Rates()
    asks = Caller(id="k", name="k", scopes=frozenset({"read"}), **caller)
    return Desk(host, Sessions("s", lambda _id: None), "", asks)


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done: the search and the model are replaced, the way to them is not."""
    done: list[str] = []

    async def begin(*_: Any) -> Any:
        done.append("search")
        return SimpleNamespace(found=FOUND)

    async def finish(*_: Any) -> Any:
        try:
            yield Token("Ada")
            yield Asked(answer=Answer(text="Ada"), found=FOUND, answer_ms=1.0)
        finally:
            done.append("closed")

    monkeypatch.setattr(asking, "begin_answer", begin)
    monkeypatch.setattr(asking, "finish_answer", finish)
    return done


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story()

    asyncio.run(bounded())


def test_pieces_come_in_order_and_the_place_is_given_back(tmp_path: Path, pieces: list[str]) -> None:
    desk = make_desk(tmp_path)

    async def story() -> None:
        kinds = [type(one).__name__ async for one in ask(desk, "default", BODY)]
        assert kinds == ["SearchResult", "Token", "Asked"]
        assert pieces == ["search", "closed"]
        assert desk.lines["answers"].in_work == 0

    run(story)


@pytest.mark.usefixtures("pieces")
def test_a_full_line_refuses(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)

    async def story() -> None:
        first = ask(desk, "default", BODY)
        await anext(first)
        assert desk.lines["answers"].in_work == 1
        with pytest.raises(TooMuch, match="too many answers at once; try again in"):
            await anext(ask(desk, "default", BODY))
        await first.aclose()  # the reader stopped it
        assert desk.lines["answers"].in_work == 0

    run(story)


@pytest.mark.usefixtures("pieces")
def test_who_stops_while_waiting_leaves_the_line(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, waiting=1)

    async def story() -> None:
        first, second = ask(desk, "default", BODY), ask(desk, "default", BODY)
        await anext(first)
        waiting = asyncio.create_task(anext(second))
        while not desk.lines["answers"].waiting:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        line = desk.lines["answers"]
        assert (line.in_work, line.waiting) == (1, 0)
        await first.aclose()
        assert line.in_work == 0

    run(story)


def test_a_question_is_one_of_the_requests_of_its_key(tmp_path: Path, pieces: list[str]) -> None:
    desk = make_desk(tmp_path, requests_per_minute=2)

    async def story() -> None:
        for _ in range(2):
            assert [one async for one in ask(desk, "default", BODY)]
        with pytest.raises(TooMuch, match="this key may ask 2 times a minute; try again in"):
            await anext(ask(desk, "default", BODY))
        assert pieces.count("search") == 2

    run(story)


@pytest.mark.parametrize(
    ("caller", "error"),
    [({"collections": frozenset({"mine"})}, NotFound), ({"tokens_per_day": 9, "tokens_left": 0}, QuotaSpent)],
)
def test_what_the_key_may_not_is_refused_before_anything_is_done(
    tmp_path: Path, pieces: list[str], caller: dict[str, Any], error: type[Exception]
) -> None:
    desk = make_desk(tmp_path, requests_per_minute=1, **caller)

    async def story() -> None:
        with pytest.raises(error):
            await anext(ask(desk, "default", BODY))
        assert not pieces
        assert desk.lines["answers"].in_work == 0
        assert desk.rates.take(desk.caller()) == 0.0  # nor was it counted

    run(story)
