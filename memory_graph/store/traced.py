"""What many traces and jobs tell when they are read together: tokens by kind of call, and how often notes were used.

Traces are read newest first and so many at most, as each holds all that was found: what is told is of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from memory_graph.store.tokens import Tokens
from memory_graph.tables import collections, jobs, queries
from memory_graph.types import Usage

MOST_TRACES = 1_000
EXTRACTION = "extraction"
OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Tokens by (kind of call, strategy of the answer), the strategy None where no question was asked.

    ``questions`` is how many were looked at; ``is_cut`` says that there are older ones of the time asked for.
    """

    questions: int
    is_cut: bool
    spent: Mapping[tuple[str, str | None], Usage]


@dataclass(frozen=True, kw_only=True)
class NoteUse:
    """How often later questions began with a note, and when the last one did."""

    times: int = 0
    last_at: datetime | None = None


@dataclass
class _Sum:
    spent: dict[tuple[str, str | None], Usage] = field(default_factory=dict)

    def add(self, kind: str, strategy: str | None, usage: Usage) -> None:
        if usage != Usage():
            self.spent[kind, strategy] = self.spent.get((kind, strategy), Usage()) + usage


def read_spending(
    connection: Connection, *, since: datetime, collection_id: int | None = None, among: Iterable[str] | None = None
) -> Spending:
    """Sum up what answers since a moment cost by kind of call, and what the jobs that were at work since did.

    ``collection_id`` narrows it to one collection, ``among`` to those of these names.
    """
    wanted = select(queries.c.trace).where(queries.c.created_at >= since)
    working = select(jobs.c.tokens).where(
        func.coalesce(jobs.c.finished_at, jobs.c.started_at, jobs.c.created_at) >= since
    )
    if among is not None:
        own = select(collections.c.id).where(collections.c.name.in_(among))
        wanted = wanted.where(queries.c.collection_id.in_(own))
        working = working.where(jobs.c.collection_id.in_(own))
    if collection_id is not None:
        wanted = wanted.where(queries.c.collection_id == collection_id)
        working = working.where(jobs.c.collection_id == collection_id)
    newest = wanted.order_by(queries.c.created_at.desc(), queries.c.id).limit(MOST_TRACES + 1)
    total, seen = _Sum(), 0
    for trace in connection.scalars(newest):
        seen += 1
        if seen <= MOST_TRACES:
            for kind, usage in _calls(trace):
                total.add(kind, trace.get("strategy"), usage)
    of_jobs = sum((Tokens.of(row) for row in connection.scalars(working)), Tokens())
    extraction = Usage(prompt_tokens=of_jobs.prompt, completion_tokens=of_jobs.completion, calls=of_jobs.calls)
    total.add(EXTRACTION, None, extraction)
    return Spending(questions=min(seen, MOST_TRACES), is_cut=seen > MOST_TRACES, spent=total.spent)


def read_note_uses(connection: Connection, collection_id: int, note_ids: Sequence[int]) -> dict[int, NoteUse]:
    """Return by id how often the newest questions of the collection began with these notes."""
    uses = dict.fromkeys(note_ids, NoteUse())
    if not uses:
        return uses
    newest = (
        select(queries.c.trace, queries.c.created_at)
        .where(queries.c.collection_id == collection_id)
        .order_by(queries.c.created_at.desc(), queries.c.id)
        .limit(MOST_TRACES)
        .subquery()
    )
    # Only this strategy begins with a note; the other traces are not read.
    noting = select(newest).where(newest.c.trace["strategy"].as_string() == "notes").order_by(newest.c.created_at)
    for row in connection.execute(noting):
        for stage in row.trace.get("stages", ()):
            note_id = stage.get("detail", {}).get("note") if stage["name"] == "warm_start" else None
            if note_id in uses:
                uses[note_id] = NoteUse(times=uses[note_id].times + 1, last_at=row.created_at)
    return uses


def _calls(trace: Mapping[str, Any]) -> Iterator[tuple[str, Usage]]:
    """Yield the kind and cost of the calls in a trace; what no stage has for itself is of another kind."""
    whole, told = _usage(trace.get("usage")), Usage()
    for stage in trace.get("stages", ()):
        name, detail = stage["name"], stage.get("detail", {})
        if "prompt_tokens" in detail:
            usage = _usage({"calls": 1, **detail})
        elif name == "answer":
            usage = _usage(detail.get("usage"))
        else:
            # The filter of facts works within a search, whose cost is not of the answer.
            if chosen := detail.get("filter"):
                yield "fact filter", _usage(chosen.get("tokens"))
            continue
        told = told + usage
        yield name, usage
    rest = {name: max(0, value - getattr(told, name)) for name, value in vars(whole).items()}
    yield OTHER, Usage(**rest)


def _usage(given: Mapping[str, Any] | None) -> Usage:
    # Without what came from a cache, which stages do not tell.
    told = ("calls", "prompt_tokens", "completion_tokens")
    return Usage(**{name: int((given or {}).get(name) or 0) for name in told})
