"""Ask: a question, its answer as it comes, with the passages beside it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import get_args

from markupsafe import Markup
from nicegui import ui

from memory_graph.types import Citation
from retrieval.answer import Token
from retrieval.ask import Asked, begin, finish
from retrieval.search import Mode
from retrieval.strategies.task import Note, Strategy
from service.access import check_quota
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show, told
from service.dashboard.markup import badge, facts, link, number, url
from service.recall_schemas import HitOut, QueryIn
from service.wiring import answer_params

MODES: tuple[Mode, ...] = get_args(Mode)
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@page("/c/{collection}/ask", "Ask")
async def ask_page(desk: Desk, collection: str, q: str = "", mode: str = "graph", strategy: str = "direct") -> None:
    """Take a question, show its answer as it is written, and what it rests on."""
    heading("Ask", f"A question to the collection {collection}.")
    with ui.row().classes("ask"):
        question = ui.input("Question", value=q).classes("wide").props("outlined clearable")
        modes = _choose("Mode", MODES, mode)
        ways = _choose("Strategy", STRATEGIES, strategy)
        go = ui.button("Ask", icon="send")
    answer = ui.label().classes("answer").props('role="status" aria-live="polite"')
    below = ui.column()

    async def ask() -> None:
        below.clear()
        answer.text = "Asking …"
        go.disable()
        try:
            async with told("answering a question"):
                body = QueryIn(question=question.value or "", mode=modes.value, strategy=ways.value)
                here = url("c", collection, "ask", q=body.question, mode=body.mode, strategy=body.strategy)
                ui.navigate.history.replace(here)
                await run(body)
        finally:
            go.enable()
            if answer.text == "Asking …":  # it went wrong, and that was said
                answer.text = ""

    async def run(body: QueryIn) -> None:
        caller, parts = desk.caller(), desk.parts
        caller.check("read", collection=collection)
        check_quota(caller)
        params = answer_params(parts.settings, body.order)
        task = await begin(
            parts.searcher, parts.generator, collection, body.to_request(), params, body.strategy, streaming=True
        )
        said = ""
        with parts.keys.bill(caller) as bill:
            async with aclosing(finish(task)) as stream:
                async for event in stream:
                    if isinstance(event, Token):
                        said += event.text
                        answer.text = said
                    elif isinstance(event, Note):
                        answer.text = f"Noted: {event.text}"
                    else:
                        bill.usage = event.usage
                        query_id = parts.query_log.add(body.question, event)
                        answer.text = event.answer.text
                        with below:
                            _explain(collection, event, query_id)

    go.on_click(ask)
    question.on("keydown.enter", ask)
    if q:
        ui.timer(0.1, ask, once=True)


def _choose(label: str, options: Sequence[str], value: str) -> ui.select:
    known = value if value in options else options[0]
    return ui.select(list(options), value=known, label=label).props("outlined").classes("choice")


def _explain(collection: str, asked: Asked, query_id: str) -> None:
    cited = {citation.passage_id: citation for citation in asked.answer.citations}
    show(
        facts(
            {
                "Outcome": badge("answered", "good") if asked.answer.found else badge("not in memory", "bad"),
                "Time": number(asked.timings_ms["total"], "ms"),
                "Tokens": number(asked.usage.prompt_tokens + asked.usage.completion_tokens, "tokens"),
                "Fallback": asked.fallback_reason or "none",
                "Trace": link("Why this answer", url("questions", query_id)),
            }
        )
    )
    show(Markup("<h2>Passages</h2>"))
    show(Markup("").join(_draw(collection, HitOut.of(hit), cited.get(hit.passage_id)) for hit in asked.found.hits))


def _draw(collection: str, hit: HitOut, citation: Citation | None) -> Markup:
    text = Markup("{}").format(hit.text)
    if citation is not None:
        quote = Markup("{}").format(citation.quote)
        text = Markup(str(text).replace(str(quote), f"<mark>{quote}</mark>", 1))
    return Markup(
        '<article class="passage{}"><header><span>{}</span><span>{}</span>'
        '<span class="number">score {:.4f}</span>{}</header><div class="text">{}</div></article>'
    ).format(
        " cited" if citation else "",
        f"{hit.rank}.",
        link(hit.title or hit.document_id, url("c", collection, "documents", hit.document_id)),
        hit.score,
        badge(f"cited [{citation.n}]", "good") if citation else "",
        text,
    )
