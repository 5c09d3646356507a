"""How fast a job went: nothing is lost, and a long job is told in few steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from memory_graph.database import Database
from memory_graph.store.collections import delete_collection
from memory_graph.store.jobs import NewItem
from memory_graph.store.retrying import remove_job
from memory_graph.store.samples import MAX_STEPS, SLOT_S, add_sample, read_samples
from memory_graph.tables import job_samples
from tests.unit.factories import new_collection, new_job

START = datetime(2026, 3, 5, 12, 0, 3, tzinfo=UTC)


@pytest.fixture
def job_id(database: Database) -> str:
    new_collection(database)
    new_job(database, [NewItem(kind="document", name="a", size=1)], job_id="job-1")
    return "job-1"


def test_commits_of_one_slot_are_added_up(database: Database, job_id: str) -> None:
    with database.write() as connection:
        for seconds, passages in ((0, 3), (5, 4), (7, 1), (31, 2)):
            add_sample(connection, job_id, passages=passages, bytes_done=10, at=START + timedelta(seconds=seconds))
    with database.read() as connection:
        found = read_samples(connection, job_id)
    begin = START.replace(second=0)
    assert [(one.at, one.seconds, one.passages, one.bytes) for one in found] == [
        (begin, SLOT_S, 7, 20),
        (begin + timedelta(seconds=10), SLOT_S, 1, 10),
        (begin + timedelta(seconds=30), SLOT_S, 2, 10),
    ]


@pytest.mark.parametrize("slots", [1, MAX_STEPS, MAX_STEPS + 1, 1_000])
def test_a_long_job_is_told_in_few_steps_that_add_up(database: Database, job_id: str, slots: int) -> None:
    with database.write() as connection:
        for number in range(slots):
            at = START + timedelta(seconds=number * SLOT_S)
            add_sample(connection, job_id, passages=number + 1, bytes_done=1, at=at)
    with database.read() as connection:
        found = read_samples(connection, job_id)
    assert len(found) <= MAX_STEPS
    assert sum(one.passages for one in found) == slots * (slots + 1) // 2
    assert sum(one.bytes for one in found) == slots
    (seconds,) = {one.seconds for one in found}
    assert {(two.at - one.at).total_seconds() for one, two in pairwise(found)} <= {seconds}
    assert found[-1].at + timedelta(seconds=seconds) > START + timedelta(seconds=(slots - 1) * SLOT_S)


def test_samples_go_with_the_job_and_with_the_collection(database: Database, job_id: str) -> None:
    new_job(database, [NewItem(kind="document", name="b", size=1)], job_id="job-2")
    with database.write() as connection:
        add_sample(connection, job_id, passages=1, bytes_done=1)
        add_sample(connection, "job-2", passages=1, bytes_done=1)
        remove_job(connection, job_id)
        assert [row.job_id for row in connection.execute(job_samples.select())] == ["job-2"]
        delete_collection(connection, "memory")
        assert connection.execute(job_samples.select()).all() == []


def test_a_job_that_committed_nothing_has_no_steps(database: Database, job_id: str) -> None:
    with database.read() as connection:
        assert list(read_samples(connection, job_id)) == []
