"""How long things are kept: rules by which documents are forgotten, and the age at which logs are cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.store.audit import WORKER, drop_entries, record
from memory_graph.store.forgetting import Erased, forget_keys
from memory_graph.store.reading import filter_documents
from memory_graph.store.rows import chunks, now
from memory_graph.tables import (
    collections,
    commits,
    documents,
    job_items,
    job_samples,
    job_shares,
    jobs,
    queries,
    retention_rules,
    tombstones,
)

AgeOf = Literal["learned", "occurred"]
MAX_DAYS = 365_000


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Documents older than ``max_age_days`` that meet ``filter`` are forgotten; either may be left out.

    ``age_of`` says what age counts: since it was ``learned``, or since it ``occurred``. A document without
    ``occurred_at`` has no such age, and stays.
    """

    name: str
    age_of: AgeOf = "learned"
    max_age_days: int | None = None
    filter: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KeptRule(Rule):
    """A rule as it is stored; ``forgotten`` counts documents, over all runs."""

    collection: str
    collection_id: int
    created_at: datetime
    ran_at: datetime | None
    forgotten: int


@dataclass(frozen=True, kw_only=True)
class LogLimits:
    """After how many days questions, finished jobs, tombstones and the audit log are dropped; 0 keeps them."""

    question_days: int = 0
    job_days: int = 0
    tombstone_days: int = 0
    audit_days: int = 0


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """How many rows were dropped by age."""

    questions: int = 0
    jobs: int = 0
    tombstones: int = 0
    changes: int = 0


def put_rule(connection: Connection, collection_id: int, rule: Rule) -> KeptRule:
    """Write a rule, in place of the one with its name. Errors: ``InvalidInput`` for one that makes no sense."""
    if rule.max_age_days is None and not rule.filter:
        raise InvalidInput("max_age_days", "give an age, a filter, or both: a rule without either would forget all")
    if rule.max_age_days is not None and not 0 < rule.max_age_days <= MAX_DAYS:
        raise InvalidInput("max_age_days", f"must be 1 to {MAX_DAYS}")
    if rule.filter:
        filter_documents(connection, collection_id, rule.filter)  # refuses one that makes no sense
    values = {"age_of": rule.age_of, "max_age_days": rule.max_age_days, "filter": dict(rule.filter)}
    here = retention_rules.c.collection_id == collection_id, retention_rules.c.name == rule.name
    if not connection.execute(update(retention_rules).where(*here).values(values)).rowcount:
        new = {"collection_id": collection_id, "name": rule.name, "created_at": now(), "forgotten": 0}
        connection.execute(insert(retention_rules).values(values | new))
    return get_rule(connection, collection_id, rule.name)


def get_rule(connection: Connection, collection_id: int, name: str) -> KeptRule:
    """Read a rule. Errors: ``NotFound``."""
    for rule in list_rules(connection, collection_id):
        if rule.name == name:
            return rule
    raise NotFound("retention rule", name)


def list_rules(
    connection: Connection, collection_id: int | None = None, *, after: str | None = None, limit: int | None = None
) -> list[KeptRule]:
    """List the rules of a collection, or of all, by name; of one, those behind the name ``after``."""
    statement = select(retention_rules, collections.c.name.label("collection")).join(
        collections, collections.c.id == retention_rules.c.collection_id
    )
    if collection_id is not None:
        statement = statement.where(retention_rules.c.collection_id == collection_id)
    if after is not None:
        statement = statement.where(retention_rules.c.name > after)
    rows = connection.execute(statement.limit(limit).order_by(retention_rules.c.collection_id, retention_rules.c.name))
    return [KeptRule(**row._mapping) for row in rows]


def delete_rule(connection: Connection, collection_id: int, name: str) -> None:
    """Delete a rule; what it forgot stays forgotten. Errors: ``NotFound``."""
    here = retention_rules.c.collection_id == collection_id, retention_rules.c.name == name
    if not connection.execute(delete(retention_rules).where(*here)).rowcount:
        raise NotFound("retention rule", name)


def apply_rule(connection: Connection, rule: KeptRule, moment: datetime, *, dry_run: bool = False) -> Erased:
    """Forget what a rule says is due at ``moment``, in one commit; with ``dry_run`` only tell what that would be."""
    erased = forget_keys(connection, rule.collection_id, _due(connection, rule, moment), dry_run=dry_run)
    if not dry_run:
        here = retention_rules.c.collection_id == rule.collection_id, retention_rules.c.name == rule.name
        values = {"ran_at": moment, "forgotten": retention_rules.c.forgotten + erased.documents}
        connection.execute(update(retention_rules).where(*here).values(values))
    return erased


def apply_rules(database: Database, moment: datetime) -> Iterator[tuple[KeptRule, Erased]]:
    """Apply every rule, each in a transaction of its own; yields those that forgot something."""
    with database.read() as connection:
        rules = list_rules(connection)
    for rule in rules:
        with database.read() as connection:
            due = bool(_due(connection, rule, moment))
        if not due:  # most rounds find nothing, and take no lock
            continue
        with database.write() as connection:
            erased = apply_rule(connection, rule, moment)
            record(
                connection,
                actor=WORKER,
                action="retention.run",
                collection=rule.collection,
                target=rule.name,
                detail={"documents": erased.documents, "passages": erased.passages, "version": erased.version},
            )
        yield rule, erased


def shorten_logs(database: Database, limits: LogLimits, moment: datetime) -> Dropped:
    """Drop what is older than the limits say; views older than the tombstones that go are made anew."""
    if not any(vars(limits).values()):
        return Dropped()
    with database.write() as connection:
        return Dropped(
            questions=_drop_questions(connection, limits.question_days, moment),
            jobs=_drop_jobs(connection, limits.job_days, moment),
            tombstones=_drop_tombstones(connection, limits.tombstone_days, moment),
            changes=drop_entries(connection, limits.audit_days, moment),
        )


def _due(connection: Connection, rule: KeptRule, moment: datetime) -> list[str]:
    statement = select(documents.c.key).where(documents.c.collection_id == rule.collection_id).order_by(documents.c.id)
    if rule.max_age_days is not None:
        column = documents.c.created_at if rule.age_of == "learned" else documents.c.occurred_at
        statement = statement.where(column < moment - timedelta(days=rule.max_age_days))
    if not rule.filter:
        return list(connection.scalars(statement))
    due: list[str] = []
    for some in chunks(filter_documents(connection, rule.collection_id, rule.filter).tolist()):
        due += connection.scalars(statement.where(documents.c.id.in_(some)))
    return due


def _drop_questions(connection: Connection, days: int, moment: datetime) -> int:
    if not days:
        return 0
    old = queries.c.created_at < moment - timedelta(days=days)
    return connection.execute(delete(queries).where(old)).rowcount


def _drop_jobs(connection: Connection, days: int, moment: datetime) -> int:
    if not days:
        return 0
    old = select(jobs.c.id).where(jobs.c.finished_at < moment - timedelta(days=days))
    for of_jobs in (job_items, job_shares, job_samples):
        connection.execute(delete(of_jobs).where(of_jobs.c.job_id.in_(old)))
    return connection.execute(delete(jobs).where(jobs.c.id.in_(old))).rowcount


def _drop_tombstones(connection: Connection, days: int, moment: datetime) -> int:
    """Drop tombstones up to each collection's last commit that is old enough, and say so with the collection."""
    if not days:
        return 0
    last = (
        select(commits.c.collection_id, func.max(commits.c.version).label("version"))
        .where(commits.c.created_at < moment - timedelta(days=days))
        .group_by(commits.c.collection_id)
    )
    dropped = 0
    for collection_id, version in connection.execute(last).all():
        old = tombstones.c.collection_id == collection_id, tombstones.c.version <= version
        gone = connection.execute(delete(tombstones).where(*old)).rowcount
        if gone:
            behind = collections.c.id == collection_id, collections.c.compacted_version < version
            connection.execute(update(collections).where(*behind).values(compacted_version=version))
        dropped += gone
    return dropped
