"""Compare: one question asked in two ways, their answers and hits side by side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from markupsafe import Markup
from nicegui import ui

from service.dashboard.answers import Writing, draw_facts
from service.dashboard.ask_options import BY_MODE, MODES, RERANKS, STRATEGIES, choose
from service.dashboard.asking import ask as ask_memory
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, section, show, told
from service.dashboard.markup import badge, link, number, table, url
from service.dashboard.why_names import call
from service.recall_schemas import HitOut, PassageNameOut, QueryIn, QueryOut

FIRST, SECOND = "graph.direct", "dense.direct"


@page("/c/{collection}/compare", "Ask")
async def compare_page(desk: Desk, collection: str, q: str = "", a: str = FIRST, b: str = SECOND) -> None:
    """Ask a question in two ways, one after the other, and show what differs."""
    lead = Markup("One question, two ways to find and to read. {}").format(
        link("Ask in one way", url("c", collection, "ask"))
    )
    heading("Compare", lead)
    with ui.row().classes("ask"):
        question = ui.input("Question", value=q).classes("wide").props("outlined clearable")
        go = ui.button("Compare", icon="compare_arrows")
        stop = ui.button("Stop", icon="stop", color="negative")
    stop.visible = False
    with ui.element("div").classes("columns"):
        sides = [_Side("A", a), _Side("B", b)]
    below = ui.column()
    work: asyncio.Task[object] | None = None

    async def compare() -> None:
        nonlocal work
        if work is not None:
            return
        work = asyncio.current_task()
        below.clear()
        go.visible, stop.visible = False, True
        try:
            async with told("comparing two answers"):
                bodies = [side.to_body(question.value or "") for side in sides]
                ways = {name: side.way for name, side in zip("ab", sides, strict=True)}
                ui.navigate.history.replace(url("c", collection, "compare", q=question.value, **ways))
                for side in sides:
                    side.begin()
                # One after the other: side by side, each would slow the other down, and their times would mean nothing.
                answers = [await side.run(desk, collection, body) for side, body in zip(sides, bodies, strict=True)]
                with below:
                    section("Hits side by side")
                    show(draw_moves(collection, answers[0].hits, answers[1].hits))
        except asyncio.CancelledError:
            for side in sides:
                side.end()
        finally:
            work = None
            go.visible, stop.visible = True, False

    def cancel() -> None:
        if work is not None:
            work.cancel()

    go.on_click(compare)
    stop.on_click(cancel)
    question.on("keydown.enter", compare)
    ui.context.client.on_delete(cancel)  # nobody reads it any more
    if q:
        ui.timer(0.1, compare, once=True)


class _Side:
    """One of the two ways, and the answer that it gives."""

    def __init__(self, name: str, way: str) -> None:
        self._anchor = f"{name.lower()}-"
        chosen = [*way.split("."), "", "", ""]
        with ui.column():
            section(f"Way {name}")
            with ui.row().classes("ask"):
                self._mode = choose(f"Mode of {name}", MODES, chosen[0])
                self._strategy = choose(f"Strategy of {name}", STRATEGIES, chosen[1])
                self._rerank = choose(f"Ranked again in {name}", (BY_MODE, *RERANKS), chosen[2])
            self._writing = Writing()
            self._facts = show(Markup(""))

    @property
    def way(self) -> str:
        """The way as it stands in the address: mode, strategy and, if it was chosen, how hits are ranked again."""
        rerank = [] if self._rerank.value == BY_MODE else [self._rerank.value]
        return ".".join([self._mode.value, self._strategy.value, *rerank])

    def to_body(self, question: str) -> QueryIn:
        """Return the request. Errors: pydantic's."""
        rerank = None if self._rerank.value == BY_MODE else self._rerank.value
        return QueryIn.model_validate(
            {"question": question, "mode": self._mode.value, "strategy": self._strategy.value, "rerank": rerank}
        )

    def begin(self) -> None:
        """Say that it is waiting for its turn."""
        self._writing.say("Waiting …")
        self._facts.content = ""

    def end(self) -> None:
        """Say nothing any more."""
        self._writing.say("")

    async def run(self, desk: Desk, collection: str, body: QueryIn) -> QueryOut:
        """Ask, and show the answer and what it took. Errors: those of asking."""
        self._writing.say("Asking …")
        answered = False
        try:
            answer = await self._writing.follow(ask_memory(desk, collection, body), self._anchor)
            answered = True
        finally:
            if not answered:
                self.end()
        self._facts.content = str(draw_facts(answer))
        return answer


@dataclass(frozen=True)
class Move:
    """A passage and its ranks in two rankings, None where it is not among the hits."""

    hit: HitOut
    first: int | None
    second: int | None


def find_moves(first: list[HitOut], second: list[HitOut]) -> list[Move]:
    """Return the passages of both rankings, by the better of their ranks."""
    ranks = [{hit.passage_id: hit.rank for hit in hits} for hits in (first, second)]
    hits = {hit.passage_id: hit for hit in (*second, *first)}
    moves = [Move(hit, ranks[0].get(one), ranks[1].get(one)) for one, hit in hits.items()]
    return sorted(moves, key=lambda one: (min(one.first or 9999, one.second or 9999), one.first or 9999))


def draw_moves(collection: str, first: list[HitOut], second: list[HitOut]) -> Markup:
    """Return the passages of both rankings with their ranks, and what became of each."""
    rows = [
        (_name(collection, one.hit), number(one.first), number(one.second), _say(one))
        for one in find_moves(first, second)
    ]
    columns = ("Passage", "Rank in A#", "Rank in B#", "From A to B")
    return table("Hits side by side", columns, rows, empty="Neither found anything.")


def _say(move: Move) -> Markup:
    if move.first is None:
        return badge("only in B", "busy")
    if move.second is None:
        return badge("only in A", "busy")
    by = move.first - move.second
    if not by:
        return Markup('<span class="faint">{}</span>').format("same place")
    return badge(f"{'up' if by > 0 else 'down'} {abs(by)}", "good" if by > 0 else "bad")


def _name(collection: str, hit: HitOut) -> Markup:
    name = PassageNameOut(id=hit.passage_id, document_id=hit.document_id, title=hit.title, ordinal=hit.ordinal)
    return link(call(name), url("c", collection, "passages", hit.passage_id))
