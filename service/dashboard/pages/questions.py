"""The log of questions, and the trace of one: what each stage of it did."""

from __future__ import annotations

from contextlib import suppress

from markupsafe import Markup

from memory_graph.errors import NotFound
from service.api import passages, queries
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show
from service.dashboard.markup import badge, facts, link, moment, number, table, url
from service.dashboard.why import explain, seen_passages
from service.learning_schemas import PassageDetailOut
from service.recall_schemas import QueriesOut, QueryDetailOut


@page("/questions", "Questions")
async def all_questions(desk: Desk) -> None:
    """Show the newest questions."""
    heading("Questions", "What was asked, and whether the memory could answer.")
    found: QueriesOut = await desk.call(queries.list_newest, limit=100)
    rows = [
        (
            link(one.question, url("questions", one.id)),
            one.collection,
            badge("answered", "good") if one.found else badge("not in memory", "bad"),
            one.answer,
            number(one.milliseconds, "ms"),
            one.fallback_reason or "",
            moment(one.created_at),
        )
        for one in found.queries
    ]
    columns = ("Question", "Collection", "Outcome", "Answer", "Time#", "Fallback", "When")
    show(table("Questions", columns, rows, empty="Nobody has asked anything yet."))


@page("/questions/{query_id}", "Question")
async def one_question(desk: Desk, query_id: str) -> None:
    """Show a question with its answer and its trace."""
    found: QueryDetailOut = await desk.call(queries.show, query_id=query_id)
    heading(found.question, link("All questions", url("questions")))
    show(Markup('<p class="answer">{}</p>').format(found.answer))
    show(
        facts(
            {
                "Collection": link(found.collection, url("c", found.collection, "documents")),
                "Outcome": badge("answered", "good") if found.found else badge("not in memory", "bad"),
                "Time": number(found.milliseconds, "ms"),
                "Version": number(found.version),
                "Fallback": found.fallback_reason or "none",
                "When": moment(found.created_at),
            }
        )
    )
    show(explain(found.trace, found.collection, await _name_passages(desk, found)))


async def _name_passages(desk: Desk, query: QueryDetailOut) -> dict[int, str]:
    """Return the titles of the passages that the explanation names; what was forgotten since has none."""
    titles = {}
    for passage_id in seen_passages(query.trace):
        with suppress(NotFound):
            passage: PassageDetailOut = await desk.call(
                passages.show, collection=query.collection, passage_id=passage_id
            )
            titles[passage_id] = f"{passage.title or passage.document_id}, {passage.ordinal + 1}"
    return titles
