"""The log of questions, and the trace of one: what each stage of it did."""

from __future__ import annotations

import json

from markupsafe import Markup

from service.api import queries
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, section, show
from service.dashboard.markup import badge, facts, link, moment, number, table, url
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
    section("Stages")
    stages = found.trace.get("stages", [])
    rows = [(stage["name"], number(float(stage["ms"]), "ms"), _detail(stage)) for stage in stages]
    show(table("Stages", ("Stage", "Time#", "What it did"), rows, empty="No trace was kept."))


def _detail(stage: dict[str, object]) -> Markup:
    rest = {name: value for name, value in stage.items() if name not in ("name", "ms")}
    text = json.dumps(rest, ensure_ascii=False, indent=1, default=str)
    return Markup("<details><summary>{}</summary><pre>{}</pre></details>").format("Show", text)
