"""The questions that were asked, with their traces."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.queries import add_queries, get_query, list_queries
from memory_graph.store.rows import now
from tests.unit.factories import new_collection


def _query(name: str, collection_id: int, minute: int) -> dict[str, Any]:
    return {
        "id": name,
        "collection_id": collection_id,
        "question": f"Where is {name}?",
        "answer": "In Quell.",
        "found": True,
        "fallback_reason": None,
        "version": 3,
        "milliseconds": 12,
        "trace": {"stages": [{"name": "walk", "ms": 1.5}]},
        "created_at": now() + timedelta(minutes=minute),
    }


def test_a_question_comes_back_with_its_trace(database: Database) -> None:
    cid = new_collection(database).id
    with database.write() as connection:
        add_queries(connection, [_query("one", cid, 0)])
        row = get_query(connection, "one")
    assert row["collection"] == "memory"
    assert row["trace"] == {"stages": [{"name": "walk", "ms": 1.5}]}
    assert (row["question"], row["found"], row["version"]) == ("Where is one?", True, 3)


def test_the_newest_questions_are_listed_without_traces(database: Database) -> None:
    cid = new_collection(database).id
    with database.write() as connection:
        add_queries(connection, [_query(name, cid, minute) for minute, name in enumerate(("a", "b", "c"))])
        add_queries(connection, [])
        rows = list_queries(connection, limit=2)
    assert [row["id"] for row in rows] == ["c", "b"]
    assert "trace" not in rows[0]
    assert rows[0]["collection"] == "memory"


def test_a_question_that_was_not_asked_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="query 'x'"), database.read() as connection:
        get_query(connection, "x")
