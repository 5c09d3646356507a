"""Rules forget what is older than they say, at the moment they are told; logs are cut off at their age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.store.jobs import NewItem, end_job
from memory_graph.store.purges import open_purges
from memory_graph.store.queries import add_queries
from memory_graph.store.retention import (
    Dropped,
    LogLimits,
    Rule,
    apply_rule,
    apply_rules,
    delete_rule,
    get_rule,
    list_rules,
    put_rule,
    shorten_logs,
)
from memory_graph.tables import commits, documents, job_items, jobs, queries, tombstones
from tests.unit.factories import (
    commit_documents,
    content_of,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
    new_job,
)

NOW = datetime(2030, 6, 30, 12, tzinfo=UTC)


def put(database: Database, **fields: Any) -> None:
    with database.write() as connection:
        put_rule(connection, find_collection(database).id, Rule(**fields))


def living(database: Database) -> list[str]:
    return sorted(content_of(database)["documents"])


@pytest.fixture
def aged(database: Database) -> Database:
    """Documents that were learned and that occurred at different times."""
    cid = new_collection(database).id
    for days, kind in ((5, "mail"), (40, "mail"), (40, "book"), (400, "book")):
        occurred = NOW - timedelta(days=2 * days) if kind == "mail" else None
        one = learn_document(f"{kind}-{days}", f"{kind} {days}.", metadata={"kind": kind}, occurred_at=occurred)
        commit_documents(database, cid, one)
        with database.write() as connection:
            values = {"created_at": NOW - timedelta(days=days)}
            connection.execute(update(documents).where(documents.c.key == f"{kind}-{days}").values(values))
    return database


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"max_age_days": 30}, ["mail-5"]),
        ({"max_age_days": 30, "filter": {"kind": "mail"}}, ["book-40", "book-400", "mail-5"]),
        ({"max_age_days": 50, "age_of": "occurred"}, ["book-40", "book-400", "mail-5"]),
        ({"filter": {"kind": "book"}}, ["mail-40", "mail-5"]),
        ({"max_age_days": 4000}, ["book-40", "book-400", "mail-40", "mail-5"]),
    ],
)
def test_a_rule_forgets_what_it_says(aged: Database, rule: dict[str, Any], left: list[str]) -> None:
    put(aged, name="old", **rule)
    with aged.write() as connection:
        kept = get_rule(connection, find_collection(aged).id, "old")
        told = apply_rule(connection, kept, NOW, dry_run=True)
    assert len(living(aged)) == 4
    done = [erased.documents for _, erased in apply_rules(aged, NOW)]
    assert living(aged) == left
    assert done == ([told.documents] if told.documents else [])
    with aged.read() as connection:
        (kept,) = list_rules(connection)
        assert kept.forgotten == 4 - len(left)
        assert len(open_purges(connection)) == bool(done)
    assert list(apply_rules(aged, NOW)) == []


def test_age_grows_with_the_clock(aged: Database) -> None:
    put(aged, name="old", max_age_days=30)
    assert [erased.documents for _, erased in apply_rules(aged, NOW + timedelta(days=30))] == [4]


def test_a_rule_is_replaced_by_its_name_and_deleted(aged: Database) -> None:
    cid = find_collection(aged).id
    put(aged, name="old", max_age_days=30)
    put(aged, name="old", max_age_days=60, age_of="occurred")
    with aged.write() as connection:
        (rule,) = list_rules(connection, cid)
        assert (rule.max_age_days, rule.age_of, rule.collection) == (60, "occurred", "memory")
        delete_rule(connection, cid, "old")
        assert list_rules(connection) == []
        with pytest.raises(NotFound, match="retention rule 'old' does not exist"):
            delete_rule(connection, cid, "old")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "max_age_days: give an age, a filter, or both"),
        ({"max_age_days": 0}, "max_age_days: must be 1 to"),
        ({"filter": {"year": {"near": 5}}}, "filter.year: must be a value"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(aged: Database, rule: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        put(aged, name="old", **rule)


def _count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_logs_are_cut_off_at_their_age_and_kept_without_a_limit(database: Database) -> None:
    cid = new_collection(database).id
    for name, age in (("new", 3), ("old", 50)):
        new_job(database, [NewItem(kind="document", name=name, size=1)], job_id=name)
        with database.write() as connection:
            end_job(connection, name, "succeeded")
            moment = NOW - timedelta(days=age)
            connection.execute(update(jobs).where(jobs.c.id == name).values(finished_at=moment))
            row = {
                "id": name, "collection_id": cid, "question": "?", "answer": "", "found": False, "version": 0,
                "milliseconds": 1, "trace": {}, "created_at": moment,
            }  # fmt: skip
            add_queries(connection, [row])
    new_job(database, [NewItem(kind="document", name="x", size=1)], job_id="unfinished")
    assert shorten_logs(database, LogLimits(), NOW) == Dropped(questions=0, jobs=0, tombstones=0)
    limits = LogLimits(question_days=30, job_days=30)
    assert shorten_logs(database, limits, NOW) == Dropped(questions=1, jobs=1, tombstones=0)
    assert (_count(database, queries), _count(database, jobs), _count(database, job_items)) == (1, 2, 2)


def test_tombstones_go_and_views_older_than_them_are_made_anew(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    forget_document(database, cid, "a")
    with database.write() as connection:
        connection.execute(update(commits).values(created_at=NOW - timedelta(days=50)))
    forget_document(database, cid, "b")
    with database.write() as connection:
        connection.execute(update(commits).where(commits.c.version == 3).values(created_at=NOW))
    dropped = shorten_logs(database, LogLimits(tombstone_days=30), NOW)
    assert dropped.tombstones == 2
    with database.read() as connection:
        assert set(connection.scalars(select(tombstones.c.version))) == {3}
    assert find_collection(database).compacted_version == 2
