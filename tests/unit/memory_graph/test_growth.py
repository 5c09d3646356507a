"""When what is held was learned, against a count in Python; on both databases it is the same."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from memory_graph.database import Database
from memory_graph.store.growth import MAX_DAYS, Growth, floor, join_growth, read_growth
from memory_graph.tables import commits, documents
from tests.unit.factories import commit_documents, learn_document, new_collection

NOW = datetime(2026, 3, 5, 12, 30, 20, tzinfo=UTC)


def learn_at(database: Database, collection_id: int, at: datetime, key: str, *texts: str) -> None:
    version = commit_documents(database, collection_id, learn_document(key, *texts))
    with database.write() as connection:
        connection.execute(update(documents).where(documents.c.key == key).values(created_at=at))
        connection.execute(
            update(commits)
            .where(commits.c.collection_id == collection_id, commits.c.version == version)
            .values(created_at=at + timedelta(seconds=1))
        )


@pytest.mark.parametrize(
    ("apart", "step"), [(timedelta(minutes=7), "minute"), (timedelta(hours=5), "hour"), (timedelta(days=9), "day")]
)
def test_growth_is_what_is_held_by_when_it_was_learned(database: Database, apart: timedelta, step: str) -> None:
    here, other = new_collection(database), new_collection(database, "other")
    learn_at(database, other.id, NOW - timedelta(days=999), "old", "Ada likes Bram.")
    expected: Counter[datetime] = Counter()
    passages: Counter[datetime] = Counter()
    for number in range(10):
        at = NOW + number * apart
        texts = [f"Text {one} of {number}." for one in range(number % 3 + 1)]
        learn_at(database, here.id, at, f"d{number}", *texts)
        begin = floor(at, step)  # type: ignore[arg-type]
        expected[begin] += 1
        passages[begin] += len(texts)
    with database.read() as connection:
        found = read_growth(connection, here.id)
    assert found.step == step
    assert found.learned == {at: (count, passages[at]) for at, count in expected.items()}
    assert list(found.learned) == sorted(found.learned)


def test_passages_of_a_commit_that_is_not_known_are_as_old_as_the_oldest_document(database: Database) -> None:
    here = new_collection(database)
    learn_at(database, here.id, NOW, "a", "One.", "Two.")
    learn_at(database, here.id, NOW + timedelta(minutes=5), "b", "Three.")
    with database.write() as connection:
        connection.execute(commits.delete().where(commits.c.version == 2))
    with database.read() as connection:
        found = read_growth(connection, here.id)
    assert found.learned == {
        floor(NOW, "minute"): (1, 3),
        floor(NOW + timedelta(minutes=5), "minute"): (1, 0),
    }


def test_nothing_learned_is_no_growth(database: Database) -> None:
    here = new_collection(database)
    with database.read() as connection:
        assert read_growth(connection, here.id).learned == {}
    assert join_growth([Growth(), Growth()]).learned == {}


def test_growths_are_joined_in_the_step_that_all_need() -> None:
    day = datetime(2026, 3, 5, tzinfo=UTC)
    fine = Growth(step="minute", learned={day + timedelta(hours=1): (1, 2), day + timedelta(hours=2): (1, 1)})
    coarse = Growth(step="day", learned={day - timedelta(days=400): (5, 50), day: (1, 10)})
    joined = join_growth([fine, coarse])
    assert joined.step == "day"
    assert joined.learned == {day - timedelta(days=400): (5, 50), day: (3, 13)}
    # Two that each fit into minutes lie too far apart for them.
    apart = join_growth([fine, Growth(step="minute", learned={day + timedelta(hours=60): (1, 1)})])
    assert apart.step == "hour"
    ancient = Growth(step="day", learned={day - timedelta(days=3 * MAX_DAYS): (7, 70)})
    bounded = join_growth([ancient, fine])
    assert bounded.learned[day - timedelta(days=MAX_DAYS)] == (7, 70)
