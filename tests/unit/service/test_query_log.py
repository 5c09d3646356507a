"""The log of questions: written off the request's path, never in its way."""

from __future__ import annotations

import time

import pytest

from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.collections import create_collection
from memory_graph.store.queries import get_query, list_queries
from retrieval.answer import Answer
from retrieval.ask import Asked
from retrieval.search import SearchResult
from retrieval.stages import Stage
from service import query_log
from service.query_log import QueryLog


@pytest.fixture
def asked(database: Database) -> Asked:
    with database.write() as connection:
        collection_id = create_collection(connection, "letters").id
    found = SearchResult(
        hits=[], version=4, collection_id=collection_id, fallback_reason=None, stages=[Stage(name="view", ms=1.25)]
    )
    return Asked(answer=Answer(text="No.", found=False), found=found, answer_ms=2.0)


def count(database: Database) -> int:
    with database.read() as connection:
        return len(list_queries(connection, limit=100_000))


def test_a_flush_writes_what_waits(database: Database, asked: Asked) -> None:
    log = QueryLog(database)
    ids = [log.add(f"question {n}", asked) for n in range(3)]
    assert count(database) == 0
    log.flush()
    log.flush()
    assert count(database) == 3
    with database.read() as connection:
        row = get_query(connection, ids[1])
        assert (
            row["question"],
            row["answer"],
            row["found"],
            row["version"],
            row["milliseconds"],
            row["collection"],
        ) == (
            "question 1",
            "No.",
            False,
            4,
            3,
            "letters",
        )
        assert [stage["name"] for stage in row["trace"]["stages"]] == ["view", "answer"]
        with pytest.raises(NotFound):
            get_query(connection, "none")


def test_it_writes_by_itself_and_what_is_left_when_it_stops(
    database: Database, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_log, "FLUSH_S", 0.02)
    log = QueryLog(database)
    log.start()
    log.add("first", asked)
    deadline = time.monotonic() + 10
    while count(database) < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert count(database) == 1
    monkeypatch.setattr(query_log, "FLUSH_S", 60.0)
    log.add("second", asked)
    log.stop()
    assert count(database) == 2


def test_a_full_queue_drops_and_counts(database: Database, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_log, "MAX_WAITING", 2)
    log = QueryLog(database)
    for n in range(5):
        assert log.add(f"question {n}", asked)
    assert log.dropped == 3
    log.flush()
    assert count(database) == 2


def test_a_store_that_refuses_costs_the_log_and_nothing_else(
    database: Database, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    log = QueryLog(database)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE queries")
    log.add("lost", asked)
    log.flush()
    assert log.dropped == 1
    assert "could not be logged" in caplog.text


def test_questions_to_a_collection_that_is_gone_cost_the_others_nothing(database: Database, asked: Asked) -> None:
    with database.write() as connection:
        gone = create_collection(connection, "gone").id
    orphan = Asked(
        answer=asked.answer,
        found=SearchResult(hits=[], version=1, collection_id=gone, fallback_reason=None, stages=[]),
        answer_ms=1.0,
    )
    log = QueryLog(database)
    log.add("kept", asked)
    log.add("orphan", orphan)
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM collections WHERE name = 'gone'")
    log.flush()
    with database.read() as connection:
        assert [row["question"] for row in list_queries(connection, limit=10)] == ["kept"]
    assert log.dropped == 0
