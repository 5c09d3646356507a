"""An answer as the log keeps it: what it quotes, what it took, and what was said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from service.dashboard.answers import draw_answer, draw_outcome
from service.dashboard.desk import Desk
from service.dashboard.feedback import Feedback
from service.dashboard.frame import section, show
from service.dashboard.markup import facts, link, milliseconds, moment, number, url
from service.dashboard.why import show_why
from service.dashboard.why_names import Names
from service.recall_schemas import QueryDetailOut


def show_stored(desk: Desk, found: QueryDetailOut) -> None:
    """Put a question's answer on the page, with what it quotes, its rating, and why it came out so."""
    citations = found.trace.get("citations", [])
    show(Markup('<p class="answer">{}</p>').format(draw_answer(found.answer, citations, "q")))
    show(_draw_quotes(found, citations))
    show(
        facts(
            {
                "Collection": link(found.collection, url("c", found.collection, "documents")),
                "Outcome": draw_outcome(found.found),
                "Strategy": found.trace.get("strategy", "not known"),
                "Time": milliseconds(found.milliseconds),
                "Version": number(found.version),
                "Fallback": found.fallback_reason or "none",
                "When": moment(found.created_at),
            }
        )
    )
    section("Was it right?")
    words = not found.trace.get("forgotten")
    Feedback(desk, found.id, found.rating, found.comment, found.correct_answer, takes_words=words)
    show_why(found)


def _draw_quotes(found: QueryDetailOut, citations: Sequence[Mapping[str, Any]]) -> Markup:
    """Return what the answer quotes, each with the passage that it stands in."""
    names = Names.of(found.collection, found.passages)
    lines = Markup("").join(
        Markup('<li id="q{}"><blockquote>{}</blockquote><span class="faint">[{}]</span> {}</li>').format(
            one["passage_id"], one["quote"], one["n"], names.passage(one["passage_id"])
        )
        for one in citations
    )
    return Markup('<ul class="quotes">{}</ul>').format(lines) if lines else Markup("")
