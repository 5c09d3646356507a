"""What the database knows of how the installation is doing, in a few statements for all collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from memory_graph.store.jobs import list_workers
from memory_graph.store.pace import read_pace
from memory_graph.store.purges import open_purges
from memory_graph.store.rows import database_now
from memory_graph.store.tokens import Tokens
from memory_graph.tables import collections, commits, documents, facts, job_items, jobs, notes, passages, phrases

_COUNTED = (documents, passages, phrases, facts, notes)


@dataclass(frozen=True, kw_only=True)
class Doing:
    """How ingestion does now. Keys of ``jobs`` are a collection's name and a state; ages are in seconds."""

    versions: Mapping[str, int]
    jobs: Mapping[tuple[str, str], int]
    passages_per_s: Mapping[str, float]
    beat_ages: Mapping[str, float]
    purges: int
    oldest_purge_s: float


@dataclass(frozen=True, kw_only=True)
class Held:
    """What is stored. Keys are a collection's name and a table, an item's state and reason, or a kind of token."""

    rows: Mapping[tuple[str, str], int]
    items: Mapping[tuple[str, str], int]
    tokens: Mapping[str, int]


def read_doing(connection: Connection) -> Doing:
    """Read what changes from one moment to the next; each statement looks at few rows."""
    moment = database_now(connection)
    names = {
        row.id: row for row in connection.execute(select(collections.c.id, collections.c.name, collections.c.version))
    }
    counted = select(jobs.c.collection_id, jobs.c.state, func.count()).group_by(jobs.c.collection_id, jobs.c.state)
    paces: dict[str, float] = {}
    running = select(jobs.c.id, jobs.c.collection_id).where(jobs.c.state == "running")
    for job_id, collection_id in connection.execute(running).all():
        name = names[collection_id].name
        paces[name] = paces.get(name, 0.0) + read_pace(connection, job_id).passages_per_s
    purges = open_purges(connection)
    return Doing(
        versions={row.name: row.version for row in names.values()},
        jobs={(names[one].name, state): count for one, state, count in connection.execute(counted)},
        passages_per_s=paces,
        beat_ages={one["id"]: (moment - one["beat_at"]).total_seconds() for one in list_workers(connection)},
        purges=len(purges),
        oldest_purge_s=max(((moment - one.requested_at).total_seconds() for one in purges), default=0.0),
    )


def read_held(connection: Connection) -> Held:
    """Count what is stored, which looks at an index of every table: to be asked now and then only."""
    names = {row.id: row.name for row in connection.execute(select(collections.c.id, collections.c.name))}
    rows = {(name, table.name): 0 for name in names.values() for table in _COUNTED}
    for table in _COUNTED:
        counted = select(table.c.collection_id, func.count()).group_by(table.c.collection_id)
        rows |= {(names[one], table.name): count for one, count in connection.execute(counted)}
    by_reason = select(job_items.c.state, func.coalesce(job_items.c.reason, ""), func.count())
    items = connection.execute(by_reason.group_by(job_items.c.state, job_items.c.reason))
    spent = sum((Tokens.of(one) for one in connection.scalars(select(jobs.c.tokens))), Tokens())
    return Held(
        rows=rows,
        items={(state, reason): count for state, reason, count in items},
        tokens={"prompt": spent.prompt, "completion": spent.completion},
    )


def first_commit_after(connection: Connection, collection: str, version: int) -> datetime | None:
    """Return when the first commit after ``version`` was made, None where there is none."""
    moment: datetime | None = connection.scalar(
        select(func.min(commits.c.created_at))
        .join(collections, collections.c.id == commits.c.collection_id)
        .where(collections.c.name == collection, commits.c.version > version)
    )
    return moment
