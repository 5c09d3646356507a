"""Shares of a job: items are taken once, stay with their share, and are free again in a new run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from memory_graph.database import Database
from memory_graph.store.jobs import NewItem, advance_item, end_job, finish_item, start_job
from memory_graph.store.rows import now
from memory_graph.store.shares import (
    Share,
    add_share,
    begin_run,
    begin_share,
    count_attempt,
    end_share,
    forsake_shares,
    has_work,
    is_outranked,
    leave_share,
    list_shares,
    next_turn,
    note_progress,
    take_item,
)
from memory_graph.tables import job_items, job_shares, jobs
from tests.unit.factories import find_job, new_collection, new_job

ITEMS = [NewItem(kind="document", name=name, size=10, payload={"text": name}) for name in ("a", "b", "c")]
ONE, TWO = Share(job_id="job-1", number=1), Share(job_id="job-1", number=2)


@pytest.fixture(autouse=True)
def job(database: Database) -> None:
    new_collection(database)
    new_job(database, ITEMS)
    with database.write() as connection:
        begin_run(connection, "job-1")


def take(database: Database, share: Share, after: int = 0) -> tuple[int, str] | None:
    with database.write() as connection:
        item = take_item(connection, share, after=after, suspect_from=2)
    return item and (item.id, item.name)


def begin(database: Database, *others: Share) -> None:
    with database.write() as connection:
        start_job(connection, "job-1")
        begin_share(connection, ONE, "w1")
        for number, share in enumerate(others, start=2):
            assert add_share(connection, "job-1", at_most=9) == share
            begin_share(connection, share, f"w{number}")


def test_an_item_is_taken_by_one_share_and_stays_with_it(database: Database) -> None:
    first = take(database, ONE)
    assert first is not None
    assert first[1] == "a"
    assert take(database, TWO) == (first[0] + 1, "b")
    # Taken over from a worker that died: the share's own item comes again, then what is still free.
    assert take(database, ONE) == first
    assert take(database, ONE, after=first[0]) == (first[0] + 2, "c")
    assert take(database, ONE, after=first[0] + 2) is None
    assert take(database, TWO, after=first[0] + 1) is None


def test_attempts_are_counted_until_an_item_is_suspect(database: Database) -> None:
    def attempts() -> list[int]:
        with database.read() as connection:
            return list(connection.scalars(select(job_items.c.attempts).order_by(job_items.c.id)))

    for _ in range(4):
        take(database, ONE)
    assert attempts() == [2, 0, 0]  # from then on the caller counts, once nothing else is in hand
    with database.write() as connection:
        count_attempt(connection, 1)
        advance_item(connection, 2, documents=0, known=0, passages=0, done=0)
    assert attempts() == [3, 0, 0]


def test_there_is_work_while_an_item_is_free_or_ones_own(database: Database) -> None:
    def works(share: Share) -> bool:
        with database.read() as connection:
            return has_work(connection, share)

    for after in range(3):
        take(database, ONE, after=after)
    assert works(ONE)
    assert not works(TWO)
    with database.write() as connection:
        end_job(connection, "job-1", "failed")
    assert not works(ONE)


def test_only_the_last_share_finds_the_job_done(database: Database) -> None:
    begin(database, TWO)
    one, two = take(database, ONE), take(database, TWO)
    assert one is not None
    assert two is not None
    with database.write() as connection:
        finish_item(connection, one[0])
        finish_item(connection, 3)
        assert not end_share(connection, ONE)
        finish_item(connection, two[0])
        assert end_share(connection, TWO)


def test_a_job_gets_no_more_shares_than_it_may_have_or_can_use(database: Database) -> None:
    with database.write() as connection:
        assert add_share(connection, "job-1", at_most=1) is None
        assert add_share(connection, "job-1", at_most=2) == TWO
        assert add_share(connection, "job-1", at_most=2) is None
        assert [one.number for one in list_shares(connection, "job-1")] == [1, 2]
        for after in range(3):
            take_item(connection, ONE, after=after, suspect_from=2)
        assert add_share(connection, "job-1", at_most=9) is None
        end_job(connection, "job-1", "failed")
        assert add_share(connection, "job-1", at_most=9) is None


def test_a_new_run_has_one_share_and_everything_is_free(database: Database) -> None:
    begin(database, TWO)
    assert take(database, TWO) == (1, "a")
    with database.write() as connection:
        end_job(connection, "job-1", "failed")
        assert begin_run(connection, "job-1") == ONE
        connection.execute(update(jobs).values(state="queued"))
    assert take(database, ONE) == (1, "a")


def test_giving_way_counts_once(database: Database) -> None:
    begin(database)
    with database.write() as connection:
        following = next_turn(connection, ONE)
        assert following == Share(job_id="job-1", number=1, turn=1)
        begin_share(connection, following, "w2")
        assert next_turn(connection, ONE) is None  # a worker that died right after it, taken over
        assert list_shares(connection, "job-1") == [following]
        assert connection.scalar(select(job_shares.c.worker)) == "w2"


def test_a_job_waits_again_when_the_last_worker_left(database: Database) -> None:
    begin(database, TWO)
    with database.write() as connection:
        leave_share(connection, ONE)
    assert find_job(database).state == "running"
    with database.write() as connection:
        leave_share(connection, TWO)
    assert find_job(database).state == "queued"


def test_the_pace_is_that_of_the_workers_at_it(database: Database) -> None:
    begin(database, TWO)
    with database.write() as connection:
        note_progress(connection, ONE, passages=20, bytes_done=6)
        note_progress(connection, TWO, passages=10, bytes_done=3)
        connection.execute(update(job_shares).values(noted_at=now(), began_at=now() - timedelta(seconds=10)))
    job = find_job(database)
    assert job.pace.workers == ["w1", "w2"]
    assert job.pace.passages_per_s == pytest.approx(3.0, rel=0.01)
    assert job.seconds_left == pytest.approx(30 / 0.9, rel=0.01)
    with database.write() as connection:
        forsake_shares(connection, ["w1"])
    assert find_job(database).pace.workers == ["w2"]
    with database.write() as connection:
        end_job(connection, "job-1", "succeeded")
    assert find_job(database).seconds_left is None


@pytest.mark.parametrize(
    ("priority", "state", "elsewhere", "at_once", "outranked"),
    [
        (1, "queued", False, 1, True),
        (5, "queued", False, 1, False),
        (1, "running", False, 1, False),
        (1, "queued", True, 1, True),
        # Its collection has all the workers that it may have: giving way would bring it nothing.
        (1, "queued", True, 0, False),
    ],
)
def test_a_job_gives_way_to_an_urgent_one_that_could_begin(
    database: Database, priority: int, state: str, elsewhere: bool, at_once: int, outranked: bool
) -> None:
    begin(database)
    if elsewhere:
        new_collection(database, "other")
    new_job(database, ITEMS, job_id="job-2", collection="other" if elsewhere else "memory")
    with database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == "job-2").values(priority=priority, state=state))
        assert is_outranked(connection, "job-1", at_once=at_once) is outranked
