"""The log of questions with its filters, and one of them: its answer, what was said of it, and why it came out so."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup
from nicegui import ui

from memory_graph.errors import InvalidInput
from service.api import queries
from service.dashboard.answers import draw_outcome
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show, told
from service.dashboard.markup import badge, link, milliseconds, moment, pager, table, url
from service.dashboard.question_filters import QuestionFilters, draw_filters
from service.dashboard.stored import show_stored
from service.recall_schemas import QueriesOut, QueryDetailOut, QueryLogOut

PAGE = 50
MOST_EXPORTED = 1_000
MOST_ANSWER_CHARS = 160


@page("/questions", "Questions")
async def all_questions(
    desk: Desk,
    q: str = "",
    collection: str = "",
    outcome: str = "",
    rated: str = "",
    fallback: str = "",
    since: str = "",
    until: str = "",
    least_ms: str = "",
    order: str = "",
    cursor: str = "",
) -> None:
    """Show the questions that were asked, a page at a time, narrowed down as the address says."""
    heading("Questions", "What was asked, and whether the memory could answer.")
    chosen = QuestionFilters(
        q=q,
        collection=collection,
        outcome=outcome,
        rated=rated,
        fallback=fallback,
        since=since,
        until=until,
        least_ms=least_ms,
        order=order,
    )
    show(draw_filters(chosen, await desk.list_names()))
    try:
        asked = chosen.to_query()
    except InvalidInput as error:
        show(Markup('<p class="empty" role="alert">{}</p>').format(error.message))
        return
    found: QueriesOut = await desk.call(queries.list_newest, **asked, limit=PAGE, cursor=cursor or None)
    empty = "Nobody has asked anything yet." if chosen.is_empty else "No question is like that."
    columns = ("Question", "Collection", "Outcome", "Rating", "Answer", "Time#")
    show(table("Questions", columns, [_draw(one) for one in found.queries], empty=empty))
    following = chosen.url(cursor=found.next_cursor) if found.next_cursor else None
    show(pager(following, chosen.url() if cursor else None))
    if found.queries:
        _offer_export(desk, asked)


def _draw(one: QueryLogOut) -> tuple[object, ...]:
    return (
        Markup('<div class="asked">{}<div class="faint">{}</div></div>').format(
            link(one.question, url("questions", one.id)), moment(one.created_at)
        ),
        one.collection,
        draw_outcome(one.found)
        + Markup('<div class="faint fallback">{}</div>').format(
            (one.fallback_reason or "").partition(":")[0].replace("_", " ")
        ),
        _draw_rating(one),
        Markup('<div class="asked">{}</div>').format(_cut(one.answer)),
        milliseconds(one.milliseconds),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MOST_ANSWER_CHARS else f"{text[: MOST_ANSWER_CHARS - 1]}…"


def _draw_rating(one: QueryLogOut) -> Markup:
    if one.rating is None:
        return Markup("")
    said = badge("right", "good") if one.rating > 0 else badge("wrong", "bad")
    words = [one.comment, f"right: {one.correct_answer}" if one.correct_answer else None]
    return said + Markup("").join(Markup('<div class="faint said">{}</div>').format(text) for text in words if text)


def _offer_export(desk: Desk, asked: dict[str, Any]) -> None:
    """Offer the rated ones of these questions as the file that evaluation reads."""

    async def download() -> None:
        async with told("writing questions for evaluation"):
            lines = await _write_lines(desk, asked)
            if not lines:
                raise InvalidInput("rated", "none of these questions has a rating that tells the right answer")
            ui.download.content("\n".join(lines) + "\n", "questions.jsonl", "application/jsonl")

    with ui.row():
        ui.button("Rated ones for evaluation", icon="download", on_click=download)


async def _write_lines(desk: Desk, asked: dict[str, Any]) -> list[str]:
    """Return lines of ``questions.jsonl``: those rated up with their answer, those rated down with the right one."""
    lines: list[str] = []
    cursor: str | None = None
    while len(lines) < MOST_EXPORTED:
        query = {"rated": True, **asked}
        found: QueriesOut = await desk.call(queries.list_newest, **query, limit=PAGE, cursor=cursor)
        for one in found.queries:
            answer = one.answer if one.rating == 1 and one.found else one.correct_answer
            if one.rating is not None and answer:
                gold = await _cited_documents(desk, one.id) if one.rating == 1 else []
                line = {"id": one.id, "question": one.question, "answers": [answer], "gold_ids": gold, "type": "asked"}
                lines.append(json.dumps(line, ensure_ascii=False))
        cursor = found.next_cursor
        if cursor is None:
            break
    return lines[:MOST_EXPORTED]


async def _cited_documents(desk: Desk, query_id: str) -> list[str]:
    detail: QueryDetailOut = await desk.call(queries.show, query_id=query_id)
    document_of = {hit["passage_id"]: hit["document_id"] for hit in detail.trace.get("hits", ())}
    cited = (document_of.get(one["passage_id"]) for one in detail.trace.get("citations", ()))
    return list(dict.fromkeys(one for one in cited if one))


@page("/questions/{query_id}", "Question")
async def one_question(desk: Desk, query_id: str) -> None:
    """Show a question with its answer, what was said of it, and its trace."""
    found: QueryDetailOut = await desk.call(queries.show, query_id=query_id)
    heading(found.question, link("All questions", url("questions")))
    show_stored(desk, found)
