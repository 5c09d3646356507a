"""What many traces tell together: tokens by kind of call, and notes in use."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from memory_graph.database import Database
from memory_graph.store import traced
from memory_graph.store.jobs import NewItem
from memory_graph.store.queries import add_queries
from memory_graph.store.rows import now
from memory_graph.store.tokens import Tokens, note_tokens
from memory_graph.store.traced import NoteUse, Spending, read_note_uses, read_spending
from memory_graph.types import Usage
from tests.unit.factories import new_collection, new_job

LONG_AGO = timedelta(days=400)


@pytest.fixture
def cid(database: Database) -> int:
    return new_collection(database).id


def ask(database: Database, cid: int, name: str, trace: dict[str, Any], *, ago: timedelta = timedelta()) -> datetime:
    moment = now() - ago
    row = {"id": name, "collection_id": cid, "question": "Who?", "answer": "Ada.", "found": True, "trace": trace}
    row |= {"fallback_reason": None, "version": 1, "milliseconds": 1, "created_at": moment}
    with database.write() as connection:
        add_queries(connection, [row])
    return moment


def spent(database: Database, **narrowed: Any) -> Spending:
    with database.read() as connection:
        return read_spending(connection, since=now() - timedelta(hours=1), **narrowed)


def answered(prompt: int, completion: int) -> dict[str, Any]:
    return {"name": "answer", "ms": 1, "detail": {"usage": _usage(1, prompt, completion)}}


def _usage(calls: int, prompt: int, completion: int) -> dict[str, int]:
    return {"calls": calls, "prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": 0}


def test_tokens_are_told_by_the_stage_that_called_and_the_strategy(database: Database, cid: int) -> None:
    noted = [
        {"name": "facts", "ms": 1, "detail": {"filter": {"shown": 3, "kept": 1, "tokens": _usage(1, 30, 3)}}},
        {"name": "note", "ms": 1, "detail": {"prompt_tokens": 100, "completion_tokens": 10}},
        {"name": "note", "ms": 1, "detail": {"error": "generator_failed: no"}},
        answered(50, 5),
    ]
    # One call more than its stages tell of: that which made the question stand alone.
    ask(database, cid, "one", {"strategy": "notes", "usage": _usage(3, 170, 17), "stages": noted})
    for name in ("two", "three"):
        ask(database, cid, name, {"strategy": "direct", "usage": _usage(1, 40, 4), "stages": [answered(40, 4)]})
    ask(database, cid, "old", {"strategy": "direct", "usage": _usage(1, 9, 9), "stages": []}, ago=LONG_AGO)
    ask(database, cid, "bare", {"stages": [{"name": "walk", "ms": 1.5}]})
    new_job(database, [NewItem(kind="document", name="a", size=1)])
    with database.write() as connection:
        note_tokens(connection, "job-1", Tokens(prompt=500, completion=70, calls=5))
    found = spent(database)
    assert (found.questions, found.is_cut) == (4, False)
    assert found.spent == {
        ("fact filter", "notes"): Usage(calls=1, prompt_tokens=30, completion_tokens=3),
        ("note", "notes"): Usage(calls=1, prompt_tokens=100, completion_tokens=10),
        ("answer", "notes"): Usage(calls=1, prompt_tokens=50, completion_tokens=5),
        ("other", "notes"): Usage(calls=1, prompt_tokens=20, completion_tokens=2),
        ("answer", "direct"): Usage(calls=2, prompt_tokens=80, completion_tokens=8),
        ("extraction", None): Usage(calls=5, prompt_tokens=500, completion_tokens=70),
    }


def test_only_the_newest_are_looked_at_and_only_those_within_reach(
    database: Database, cid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_collection(database, "other").id
    for number in range(3):
        ask(database, cid, f"q{number}", {"strategy": "direct", "usage": _usage(1, 1, 1)})
    ask(database, other, "elsewhere", {"strategy": "direct", "usage": _usage(1, 7, 7)})
    assert spent(database, among=["other"]).spent == {
        ("other", "direct"): Usage(calls=1, prompt_tokens=7, completion_tokens=7)
    }
    assert spent(database, collection_id=cid, among=["other"]).questions == 0
    assert spent(database, collection_id=cid).questions == 3
    monkeypatch.setattr(traced, "MOST_TRACES", 2)
    found = spent(database, collection_id=cid)
    assert (found.questions, found.is_cut) == (2, True)
    assert sum(usage.calls for usage in found.spent.values()) == 2


def test_a_note_is_used_where_a_question_began_with_it(database: Database, cid: int) -> None:
    moments = []
    for number, note_id in enumerate((7, 7, 8)):
        stages = [{"name": "warm_start", "ms": 1, "detail": {"note": note_id, "facts": 1}}]
        trace = {"strategy": "notes", "stages": stages}
        moments.append(ask(database, cid, f"q{number}", trace, ago=timedelta(minutes=9 - number)))
    ask(database, cid, "cold", {"strategy": "notes", "stages": [{"name": "warm_start", "ms": 1, "detail": {}}]})
    ask(database, cid, "direct", {"strategy": "direct", "stages": []})
    with database.read() as connection:
        uses = read_note_uses(connection, cid, [7, 9])
        assert read_note_uses(connection, cid, []) == {}
        assert read_note_uses(connection, cid + 1, [7]) == {7: NoteUse()}
    assert uses == {7: NoteUse(times=2, last_at=moments[1]), 9: NoteUse()}
