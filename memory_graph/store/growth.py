"""How a memory grew: when what it holds now was learned. What was forgotten since is in no row, and in none of this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, String, cast, func, select

from memory_graph.tables import commits, documents, passages

Step: TypeAlias = Literal["minute", "hour", "day"]
# The finest step of which so many reach back to the beginning.
MAX_STEPS = 150
# Of days, so many are kept; what came before is in the first of them.
MAX_DAYS = 730
_LENGTHS: Mapping[Step, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
_CHARACTERS: Mapping[Step, int] = {"minute": 16, "hour": 13, "day": 10}  # of 2026-01-31 12:00


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How many documents and passages were learned, by the beginning (UTC) of each step in which any were."""

    step: Step = "minute"
    learned: Mapping[datetime, tuple[int, int]] = field(default_factory=dict)


def read_growth(connection: Connection, collection_id: int) -> Growth:
    """Read how a collection grew; it looks at every document and at an index of the passages."""
    at = documents.c.created_at
    first, last = connection.execute(
        select(func.min(at), func.max(at)).where(documents.c.collection_id == collection_id)
    ).one()
    if first is None:
        return Growth()
    step = _step_of(last - first)
    learned: dict[datetime, tuple[int, int]] = {}
    moment = _text(connection, at, step).label("step_at")
    counted = select(moment, func.count()).where(documents.c.collection_id == collection_id).group_by("step_at")
    for said, count in connection.execute(counted):
        learned[_moment(said)] = count, 0
    by_version = (
        select(passages.c.version, func.count().label("count"))
        .where(passages.c.collection_id == collection_id)
        .group_by(passages.c.version)
        .subquery()
    )
    moment = _text(connection, commits.c.created_at, step).label("step_at")
    joined = by_version.outerjoin(
        commits, (commits.c.version == by_version.c.version) & (commits.c.collection_id == collection_id)
    )
    summed = select(moment, func.sum(by_version.c.count)).select_from(joined).group_by("step_at")
    for said, total in connection.execute(summed):
        # Of a commit that is not known, as it was made before there were rows of them: as old as the oldest document.
        when = _moment(said) if said is not None else floor(first, step)
        learned[when] = learned.get(when, (0, 0))[0], learned.get(when, (0, 0))[1] + int(total)
    return Growth(step=step, learned=dict(sorted(learned.items())))


def join_growth(parts: Iterable[Growth]) -> Growth:
    """Return how several collections grew together, in the step that all of their time needs."""
    found = [part for part in parts if part.learned]
    if not found:
        return Growth()
    first = min(min(part.learned) for part in found)
    last = max(max(part.learned) for part in found)
    step = max((_step_of(last - first), *(part.step for part in found)), key=list(_LENGTHS).index)
    earliest = floor(last, step) - timedelta(days=MAX_DAYS)
    joined: dict[datetime, tuple[int, int]] = {}
    for part in found:
        for at, (count, passage_count) in part.learned.items():
            when = max(floor(at, step), earliest)
            before = joined.get(when, (0, 0))
            joined[when] = before[0] + count, before[1] + passage_count
    return Growth(step=step, learned=dict(sorted(joined.items())))


def floor(at: datetime, step: Step) -> datetime:
    """Return the beginning of the step that a moment lies in."""
    whole = at.astimezone(UTC).replace(second=0, microsecond=0)
    if step != "minute":
        whole = whole.replace(minute=0)
    return whole.replace(hour=0) if step == "day" else whole


def _step_of(span: timedelta) -> Step:
    return next((step for step, length in _LENGTHS.items() if span < length * MAX_STEPS), "day")


def _text(connection: Connection, at: ColumnElement[Any], step: Step) -> ColumnElement[str]:
    """Return the beginning of a moment as it is written, so that the database does the counting."""
    if connection.dialect.name == "sqlite":
        return func.substr(cast(at, String), 1, _CHARACTERS[step])
    return func.substr(func.to_char(func.timezone("UTC", at), "YYYY-MM-DD HH24:MI"), 1, _CHARACTERS[step])


def _moment(said: str) -> datetime:
    # An hour alone is no moment that fromisoformat takes with its minutes left out on every version.
    return datetime.fromisoformat(said if len(said) != _CHARACTERS["hour"] else f"{said}:00").replace(tzinfo=UTC)
