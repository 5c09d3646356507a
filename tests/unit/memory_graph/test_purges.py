"""Purges are remembered until they are done; rewritten files hold nothing that was forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from memory_graph.database import Database
from memory_graph.errors import NotFound, StoreBusy
from memory_graph.store import purges as purges_module
from memory_graph.store.purges import (
    begin_purges,
    finish_purges,
    get_purge,
    list_purges,
    note_step,
    note_wait,
    open_purges,
    purge_lease,
    request_purge,
)
from memory_graph.store.rewriting import empty_log, rewrite, size_of
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection

SECRET = b"Zorblax Quend keeps the seventh key"


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    opened = Database(database.url)
    yield opened
    opened.close()


def bytes_of(database: Database) -> bytes:
    assert database.path is not None
    return b"".join(path.read_bytes() for path in sorted(database.path.parent.glob(f"{database.path.name}*")))


def fill(database: Database) -> int:
    """Learn so much that tables and indexes have many pages, the secret in the midst of it."""
    cid = new_collection(database).id
    for start in range(0, 120, 40):
        some = [
            learn_document(f"doc-{n}", f"Passage {n}. " + "The Old Mill stood by Lake Orrin. " * 20)
            for n in range(start, start + 40)
        ]
        commit_documents(database, cid, *some)
        secret = learn_document(f"secret-{start}", SECRET.decode(), f"{start} " + (SECRET.decode() + ". ") * 200)
        commit_documents(database, cid, secret)
    return cid


def test_several_forgettings_are_one_purge_until_it_begins(database: Database) -> None:
    with database.write() as connection:
        assert request_purge(connection, 7, 3) == request_purge(connection, 7, 5) == 1
        assert request_purge(connection, 8, 1) == 2
        begun = begin_purges(connection)
        assert {(one.collection_id, one.version, one.state) for one in begun} == {(7, 5, "running"), (8, 1, "running")}
        assert request_purge(connection, 7, 6) == 3


def test_what_was_begun_is_finished_before_more_is_begun(database: Database) -> None:
    with database.write() as connection:
        first = request_purge(connection, 7, 3)
        begin_purges(connection)
        second = request_purge(connection, 7, 4)
        note_step(connection, [first], "views", {"collections": 1})
    with database.write() as connection:
        assert [one.id for one in begin_purges(connection)] == [first]
        note_wait(connection, [first], "log: busy")
        assert get_purge(connection, first).waits_for == "log: busy"
        note_step(connection, [first], "log", {})
        found = get_purge(connection, first)
        assert (list(found.steps), found.attempts, found.waits_for) == (["views", "log"], 1, None)
        finish_purges(connection, [first])
        assert [one.id for one in begin_purges(connection)] == [second]
        assert [one.id for one in open_purges(connection)] == [second]


def test_only_the_last_purges_that_are_done_are_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purges_module, "KEPT", 2)
    with database.write() as connection:
        for version in range(1, 6):
            request_purge(connection, 7, version)
            finish_purges(connection, [one.id for one in begin_purges(connection)])
        assert [one.version for one in list_purges(connection, limit=10)] == [5, 4]
    with pytest.raises(NotFound, match="purge '1' does not exist"), database.read() as connection:
        get_purge(connection, 1)


def test_one_process_at_a_time_has_the_lease(database: Database, other: Database) -> None:
    with purge_lease(database) as ours:
        assert ours
        with purge_lease(other) as theirs:
            assert not theirs
    with purge_lease(other) as theirs:
        assert theirs


def test_forgetting_alone_leaves_bytes_and_rewriting_leaves_none(database: Database) -> None:
    cid = fill(database)
    for start in (0, 40, 80):
        assert forget_document(database, cid, f"secret-{start}")
    assert SECRET in bytes_of(database)  # in the log, at least: else the next lines prove nothing
    before = size_of(database)
    rewrite(database)
    empty_log(database)
    assert SECRET not in bytes_of(database)
    assert b"secret-" not in bytes_of(database)
    assert b"Passage 119" in bytes_of(database)
    assert size_of(database) < before
    assert database.path is not None
    assert Path(f"{database.path}-wal").stat().st_size == 0


def test_a_reader_holds_the_log_up_and_reads_on(database: Database, other: Database) -> None:
    cid = fill(database)
    with other.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM passages")) == 126
        assert forget_document(database, cid, "secret-0")
        rewrite(database)
        with pytest.raises(StoreBusy, match="still reads from the database's log"):
            empty_log(database)
        assert connection.scalar(text("SELECT count(*) FROM passages")) == 126
    empty_log(database)
    # The connection that asked waits for locks as long as before.
    with database.outside() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 30_000
