"""Jobs as rows: what is done, what failed, who is at it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.jobs import (
    WORKER_TTL_S,
    Failure,
    NewItem,
    add_failures,
    advance_item,
    beat,
    create_job,
    end_job,
    find_unfinished,
    finish_item,
    get_job,
    is_pending,
    job_head,
    list_jobs,
    list_workers,
    note_time,
    note_version,
    remove_worker,
    restart_job,
    start_job,
)
from memory_graph.store.rows import now
from memory_graph.store.shares import Share, begin_run, begin_share, leave_share, take_item
from memory_graph.tables import job_items, jobs, workers
from tests.unit.factories import find_job, new_collection, new_job

ITEMS = [
    NewItem(kind="document", name="first", size=10, payload={"text": "secret one"}),
    NewItem(kind="upload", name="second", size=20, data=b"secret two"),
    NewItem(kind="file", name="third", size=30, payload={"path": "/x"}),
]


@pytest.fixture
def job_id(database: Database) -> str:
    new_collection(database)
    return new_job(database, ITEMS)


def _ids(database: Database, job_id: str) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(select(job_items.c.id).where(job_items.c.job_id == job_id)))


def test_a_new_job_is_queued_with_everything_pending(database: Database, job_id: str) -> None:
    job = find_job(database, job_id)
    assert (job.state, job.collection, job.split, job.version) == ("queued", "memory", "recursive", None)
    assert (job.items, job.pending, job.failed, job.size, job.done) == (3, 3, 0, 60, 0)
    assert job.started_at is None
    assert job.finished_at is None


def test_what_is_not_there_is_not_found(database: Database) -> None:
    with database.read() as connection:
        for read in (get_job, job_head):
            with pytest.raises(NotFound, match="job 'x' does not exist"):
                read(connection, "x")


def test_progress_adds_up_over_the_items(database: Database, job_id: str) -> None:
    first, second, third = _ids(database, job_id)
    with database.write() as connection:
        advance_item(connection, first, documents=1, known=0, passages=4, done=7)
        advance_item(connection, first, documents=2, known=1, passages=3, done=1)
        advance_item(connection, second, documents=0, known=5, passages=0, done=20)
        finish_item(connection, first)
        finish_item(connection, third, Failure(name="third", reason="missing", error="gone"))
        add_failures(connection, job_id, [Failure(name="second:7", reason="not_json", error="bad")])
        note_version(connection, job_id, 9)
    job = find_job(database, job_id)
    assert (job.documents, job.known, job.passages) == (3, 6, 7)
    # Parts that failed are listed, but are nothing that was given.
    assert (job.items, job.pending, job.failed) == (3, 1, 2)
    # What is finished counts as read to its end: 10 + 20 + 30.
    assert (job.size, job.done, job.version) == (60, 60, 9)
    assert list(job.failures) == [
        Failure(name="third", reason="missing", error="gone"),
        Failure(name="second:7", reason="not_json", error="bad"),
    ]


def test_the_list_of_failures_is_bounded_but_the_count_is_not(database: Database, job_id: str) -> None:
    with database.write() as connection:
        add_failures(connection, job_id, [Failure(name=str(n), reason="r", error="e") for n in range(10)])
        add_failures(connection, job_id, [])
        # An interrupted run reads its items again, and finds the same.
        add_failures(connection, job_id, [Failure(name="3", reason="r", error="e")])
        job = get_job(connection, job_id, failures=4)
    assert job.failed == 10
    assert [failure.name for failure in job.failures] == ["0", "1", "2", "3"]


def test_a_pending_item_is_told_from_one_that_ended(database: Database, job_id: str) -> None:
    first, second, _ = _ids(database, job_id)
    with database.write() as connection:
        finish_item(connection, second)
        assert is_pending(connection, first)
        assert not is_pending(connection, second)
        assert not is_pending(connection, 10**6)


def test_ending_an_item_erases_its_text(database: Database, job_id: str) -> None:
    first, second, _ = _ids(database, job_id)
    with database.write() as connection:
        finish_item(connection, first)
        finish_item(connection, second)
        rows = connection.execute(select(job_items.c.payload, job_items.c.data).where(job_items.c.id <= second)).all()
    assert [tuple(row) for row in rows] == [(None, None), (None, None)]


def test_attempts_are_forgiven_on_progress(database: Database, job_id: str) -> None:
    first, second, third = _ids(database, job_id)
    with database.write() as connection:
        connection.execute(update(job_items).values(attempts=3))
        advance_item(connection, first, documents=1, known=0, passages=1, done=1)
        advance_item(connection, second, documents=0, known=0, passages=0, done=0)
        advance_item(connection, third, documents=0, known=1, passages=0, done=1)
        attempts = connection.execute(select(job_items.c.attempts).order_by(job_items.c.id)).scalars().all()
    assert attempts == [0, 3, 0]


def test_a_job_starts_once_and_may_wait_again(database: Database, job_id: str) -> None:
    with database.write() as connection:
        start_job(connection, job_id)
    started = find_job(database, job_id)
    assert started.state == "running"
    assert started.started_at is not None
    with database.write() as connection:
        share = begin_run(connection, job_id)
        begin_share(connection, share, "w")
        leave_share(connection, share)
        assert job_head(connection, job_id)["state"] == "queued"
        start_job(connection, job_id)
    assert find_job(database, job_id).started_at == started.started_at


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_job_that_ended_does_not_start_or_end_again(database: Database, job_id: str, state: str) -> None:
    with database.write() as connection:
        assert end_job(connection, job_id, state, "why")
        assert not end_job(connection, job_id, "succeeded")
        start_job(connection, job_id)
        leave_share(connection, Share(job_id=job_id, number=1))
    job = find_job(database, job_id)
    assert (job.state, job.error) == (state, "why")
    assert job.finished_at is not None


def _staged(database: Database) -> list[object]:
    with database.read() as connection:
        rows = connection.execute(select(job_items.c.payload, job_items.c.data)).all()
    return [value for row in rows for value in row if value is not None]


def test_cancelling_erases_staged_texts_and_failing_keeps_them(database: Database, job_id: str) -> None:
    new_job(database, ITEMS, job_id="other")
    with database.write() as connection:
        end_job(connection, job_id, "failed", "why")
    assert len(_staged(database)) == 6  # a failed job can be resumed
    with database.write() as connection:
        end_job(connection, "other", "cancelled")
    assert len(_staged(database)) == 3
    cancelled = find_job(database, "other")
    assert (cancelled.pending, cancelled.items) == (0, 3)
    with database.write() as connection:
        assert take_item(connection, Share(job_id="other", number=1), after=0, suspect_from=2) is None


def test_an_equal_request_finds_its_unfinished_job(database: Database) -> None:
    collection = new_collection(database)
    other = new_collection(database, "other")
    new_job(database, ITEMS)

    def find(fingerprint: str = "f", collection_id: int = collection.id) -> str | None:
        with database.read() as connection:
            row = find_unfinished(connection, collection_id, fingerprint)
            return None if row is None else row["id"]

    def end(state: str) -> None:
        with database.write() as connection:
            connection.execute(update(jobs).values(state="running"))
            end_job(connection, "job-1", state)

    assert find() == "job-1"
    assert find("g") is None
    assert find(collection_id=other.id) is None
    end("failed")
    assert find() == "job-1"  # something is left to learn
    end("succeeded")
    assert find() is None
    end("cancelled")
    assert find() is None
    end("failed")
    assert find() is None  # nothing is left: cancelling dropped it


def test_the_newest_of_equal_unfinished_jobs_is_found(database: Database) -> None:
    collection = new_collection(database)
    for name in ("old", "new"):
        new_job(database, ITEMS, job_id=name)
    with database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == "old").values(created_at=now() - timedelta(hours=1)))
        row = find_unfinished(connection, collection.id, "f")
    assert row is not None
    assert row["id"] == "new"


def test_only_a_job_that_ended_runs_again(database: Database, job_id: str) -> None:
    with database.write() as connection:
        assert restart_job(connection, job_id) is None
        end_job(connection, job_id, "failed", "why")
        assert restart_job(connection, job_id) == 2
        job = get_job(connection, job_id)
        assert (job.state, job.error, job.finished_at, job.pending) == ("queued", None, None, 3)
        end_job(connection, job_id, "succeeded")
        assert restart_job(connection, job_id) == 3
        end_job(connection, job_id, "cancelled")
        assert restart_job(connection, job_id) is None


def test_seconds_add_up_by_stage(database: Database, job_id: str) -> None:
    with database.write() as connection:
        note_time(connection, job_id, {"read": 1.5, "embed": 2.0})
        note_time(connection, job_id, {"embed": 0.25, "commit": 0.125})
    assert find_job(database, job_id).seconds == {"read": 1.5, "embed": 2.25, "commit": 0.125}


def test_jobs_are_listed_newest_first(database: Database) -> None:
    one, two = new_collection(database, "one"), new_collection(database, "two")
    with database.write() as connection:
        for number, collection_id in enumerate((one.id, two.id, one.id)):
            name = f"job-{number}"
            create_job(
                connection, job_id=name, collection_id=collection_id, split="none", fingerprint=name, items=ITEMS
            )
            moment = now() + timedelta(minutes=number)
            connection.execute(update(jobs).where(jobs.c.id == name).values(created_at=moment))
        assert [job.id for job in list_jobs(connection)] == ["job-2", "job-1", "job-0"]
        assert [job.id for job in list_jobs(connection, limit=1)] == ["job-2"]
        mine = list_jobs(connection, collection_id=one.id)
    assert [(job.id, job.collection, job.items) for job in mine] == [("job-2", "one", 3), ("job-0", "one", 3)]


def test_a_worker_that_fell_silent_is_not_listed(database: Database) -> None:
    with database.write() as connection:
        for name, age in (("fresh", 0.0), ("late", WORKER_TTL_S - 2), ("silent", WORKER_TTL_S + 1)):
            row = {"id": name, "host": "h", "pid": 7, "beat_at": now() - timedelta(seconds=age)}
            connection.execute(insert(workers).values(**row))
        assert {row["id"] for row in list_workers(connection)} == {"fresh", "late"}


def test_a_beat_makes_a_worker_and_keeps_it(database: Database) -> None:
    with database.write() as connection:
        beat(connection, "w", "here", 7)
        connection.execute(update(workers).values(beat_at=now() - timedelta(seconds=2 * WORKER_TTL_S)))
        assert list_workers(connection) == []
        beat(connection, "w", "here", 7)
        rows = list_workers(connection)
        assert [(row["id"], row["host"], row["pid"]) for row in rows] == [("w", "here", 7)]
        remove_worker(connection, "w")
        assert list_workers(connection) == []
