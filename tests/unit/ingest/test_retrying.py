"""Failed items are tried again; until then their texts wait, and no longer than anyone wants them to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ingest.extraction_pool import PooledExtraction
from ingest.jobs import JobQueue, document_items, file_items
from ingest.pipeline import Learner
from ingest.queue_tables import prepare_queue
from memory_graph.database import Database
from memory_graph.errors import Conflict, NotFound
from memory_graph.store.forgetting import Selection, forget
from memory_graph.store.jobs import Job, NewItem, end_job
from memory_graph.tables import job_items
from memory_graph.types import Document
from retrieval.testing import HashEmbedder
from tests.unit.factories import (
    CapitalsPool,
    ParagraphSplitter,
    content_of,
    find_collection,
    find_job,
    new_collection,
    write_lines,
)

GOOD = Document(id="good", text="Ada Quill waved.")
BAD = Document(id="bad", text="Deadly words of Bram Oster.")


@pytest.fixture
def queue(database: Database) -> Iterator[JobQueue]:
    prepare_queue(database)
    new_collection(database)
    made = JobQueue(database)
    yield made
    made.close()


def learn(database: Database, job_id: str, *, deadly: str = "Deadly") -> Job:
    """Learn a job to its end; the extractor dies on texts that hold ``deadly``."""
    extraction: Any = PooledExtraction(CapitalsPool(deadly=deadly))  # type: ignore[arg-type]
    splitters: Any = {"recursive": ParagraphSplitter()}
    with Learner(database, HashEmbedder(16), extraction, splitters).open(job_id) as learn_next:
        while learn_next():
            pass
    with database.write() as connection:
        end_job(connection, job_id, "succeeded")
    return find_job(database, job_id)


def staged(database: Database) -> str:
    """Return all that is staged, as one text."""
    with database.read() as connection:
        rows = connection.execute(select(job_items.c.payload, job_items.c.data).where(job_items.c.kind != "file"))
        return "".join(f"{payload}{data}" for payload, data in rows)


def failed_job(database: Database, queue: JobQueue) -> str:
    job_id = queue.submit("memory", document_items([GOOD, BAD])).job_id
    job = learn(database, job_id)
    assert (job.documents, job.failed, job.retryable) == (1, 1, 1)
    return job_id


def test_only_what_failed_is_tried_again(database: Database, queue: JobQueue) -> None:
    job_id = failed_job(database, queue)
    assert "Bram Oster" in staged(database)
    assert "Ada Quill" not in staged(database)
    assert queue.retry(job_id) == 1
    waiting = find_job(database, job_id)
    assert (waiting.state, waiting.pending, waiting.failed, waiting.documents) == ("queued", 1, 0, 1)
    job = learn(database, job_id, deadly="\0")
    assert (job.state, job.documents, job.known, job.failed, job.retryable) == ("succeeded", 2, 0, 0, 0)
    assert set(content_of(database)["documents"]) == {"good", "bad"}
    assert "Bram Oster" not in staged(database)
    with pytest.raises(Conflict, match="no failed item that can be tried again"):
        queue.retry(job_id)


def test_one_failed_item_is_tried_again_alone(database: Database, queue: JobQueue) -> None:
    other = Document(id="worse", text="Deadly words of Cleo Dray.")
    job_id = queue.submit("memory", document_items([GOOD, BAD, other])).job_id
    job = learn(database, job_id)
    ids = {failure.name: failure.retry_id for failure in job.failures}
    assert ids.keys() == {"bad", "worse"}
    assert queue.retry(job_id, item_id=ids["bad"]) == 1
    waiting = find_job(database, job_id)
    assert (waiting.state, waiting.pending, waiting.failed, waiting.retryable) == ("queued", 1, 1, 1)
    job = learn(database, job_id, deadly="\0")
    assert [(failure.name, failure.retry_id) for failure in job.failures] == [("worse", ids["worse"])]
    with pytest.raises(Conflict, match=f"no failed item {ids['bad']} that can be tried again"):
        queue.retry(job_id, item_id=ids["bad"])
    assert find_job(database, job_id).state == "succeeded"


def test_an_item_of_another_job_is_left_alone(database: Database, queue: JobQueue) -> None:
    one, other = failed_job(database, queue), queue.submit("memory", document_items([BAD])).job_id
    learn(database, other)
    (theirs,) = (failure.retry_id for failure in find_job(database, other).failures)
    with pytest.raises(Conflict):
        queue.retry(one, item_id=theirs)
    assert find_job(database, other).retryable == 1


def test_a_part_that_failed_is_tried_again_with_its_file(database: Database, queue: JobQueue, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    write_lines(lines, {"id": GOOD.id, "text": GOOD.text}, {"id": BAD.id, "text": BAD.text})
    job_id = queue.submit("memory", file_items([lines])).job_id
    (failure,) = learn(database, job_id).failures
    assert failure.name == "bad"
    assert queue.retry(job_id, item_id=failure.retry_id) == 1
    job = learn(database, job_id, deadly="\0")
    assert (job.failed, set(content_of(database)["documents"])) == (0, {"good", "bad"})


def test_what_fails_again_can_be_tried_again(database: Database, queue: JobQueue) -> None:
    job_id = failed_job(database, queue)
    queue.retry(job_id)
    job = learn(database, job_id)
    assert (job.documents, job.failed, job.retryable) == (1, 1, 1)
    assert [failure.name for failure in job.failures] == ["bad"]
    assert queue.retry(job_id) == 1


def test_a_file_is_read_again(database: Database, queue: JobQueue, tmp_path: Path) -> None:
    lines, missing = tmp_path / "many.jsonl", tmp_path / "late.txt"
    write_lines(lines, {"id": "one", "text": "Ada Quill."}, "not json")
    missing.write_text("x")
    items = file_items([lines, missing])
    missing.unlink()
    job_id = queue.submit("memory", items).job_id
    job = learn(database, job_id)
    assert (job.documents, job.failed, job.retryable) == (1, 2, 2)
    write_lines(lines, {"id": "one", "text": "Ada Quill."}, {"id": "two", "text": "Cora Finch."})
    missing.write_text("It is there now.")
    assert queue.retry(job_id) == 2
    job = learn(database, job_id)
    assert (job.state, job.documents, job.known, job.failed) == ("succeeded", 3, 0, 0)
    assert set(content_of(database)["documents"]) == {"one", "two", str(missing)}


def test_forgetting_a_document_erases_the_text_that_waits(database: Database, queue: JobQueue) -> None:
    job_id = failed_job(database, queue)
    with database.write() as connection:
        forget(connection, find_collection(database).id, Selection(key="bad"), dry_run=True)
    assert "Bram Oster" in staged(database)
    with database.write() as connection:
        forget(connection, find_collection(database).id, Selection(key="bad"))
    assert "Bram Oster" not in staged(database)
    assert find_job(database, job_id).failed == 1
    with pytest.raises(Conflict):
        queue.retry(job_id)
    with database.write() as connection, pytest.raises(NotFound):
        forget(connection, find_collection(database).id, Selection(key="bad"))


@pytest.mark.parametrize("key", ["one", "two"])
def test_forgetting_one_document_of_an_upload_erases_the_upload(database: Database, queue: JobQueue, key: str) -> None:
    data = b'{"id": "one", "text": "Ada Quill."}\n{"id": "two", "text": "Deadly Bram Oster."}\n'
    job_id = queue.submit("memory", [NewItem(kind="upload", name="up.jsonl", size=len(data), data=data)]).job_id
    job = learn(database, job_id)
    assert (job.documents, job.failed, job.retryable) == (1, 1, 1)
    assert "Ada Quill" in staged(database)
    with database.write() as connection:
        forget(connection, find_collection(database).id, Selection(key=key))
    assert "Quill" not in staged(database)


def test_a_text_that_was_replaced_does_not_come_back(database: Database, queue: JobQueue) -> None:
    job_id = failed_job(database, queue)
    newer = Document(id="bad", text="Cora Finch, who is well.")
    learn(database, queue.submit("memory", document_items([newer])).job_id)
    assert "Bram Oster" not in staged(database)
    with pytest.raises(Conflict):
        queue.retry(job_id)


def test_an_upload_whose_document_was_replaced_is_erased(database: Database, queue: JobQueue) -> None:
    data = b'{"id": "one", "text": "Ada Quill."}\n{"id": "two", "text": "Deadly Bram Oster."}\n'
    learn(database, queue.submit("memory", [NewItem(kind="upload", name="u.jsonl", size=9, data=data)]).job_id)
    learn(database, queue.submit("memory", document_items([Document(id="one", text="Cora Finch.")])).job_id)
    with database.write() as connection:
        forget(connection, find_collection(database).id, Selection(key="one"))
    assert "Quill" not in staged(database)


def test_cancelling_or_removing_the_job_erases_it_too(database: Database, queue: JobQueue) -> None:
    job_id = failed_job(database, queue)
    with pytest.raises(Conflict, match="is succeeded"):
        queue.cancel(job_id)
    queue.remove(job_id)
    with pytest.raises(NotFound):
        find_job(database, job_id)
    assert staged(database) == ""
    assert set(content_of(database)["documents"]) == {"good"}
    again = failed_job_of(database, queue)
    queue.cancel(again)
    assert find_job(database, again).state == "cancelled"
    assert "Bram Oster" not in staged(database)


def failed_job_of(database: Database, queue: JobQueue) -> str:
    """Return a job that failed as a whole, with a text that waits."""
    job_id = queue.submit("memory", document_items([BAD])).job_id
    with database.write() as connection:
        end_job(connection, job_id, "failed", "why")
    return job_id


def test_a_job_at_work_is_neither_retried_nor_removed(database: Database, queue: JobQueue) -> None:
    job_id = queue.submit("memory", document_items([GOOD])).job_id
    with pytest.raises(Conflict, match="only a job that has ended can be retried"):
        queue.retry(job_id)
    with pytest.raises(Conflict, match="is queued; cancel it first"):
        queue.remove(job_id)
    for act in (queue.retry, queue.remove):
        with pytest.raises(NotFound):
            act("none")
