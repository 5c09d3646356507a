"""Handing jobs to the workers: rows and a queued workflow, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ingest.jobs import JobQueue, document_items, file_items, fingerprint_paths, workflow_id
from ingest.queue_tables import prepare_queue
from memory_graph.database import Database
from memory_graph.errors import Conflict, NotFound
from memory_graph.store.jobs import Failure, end_job
from memory_graph.types import Document
from tests.unit.factories import find_job, new_collection

DOCUMENTS = [Document(id="a", text="Ada Quill."), Document(id="b", text="Grüße")]


@pytest.fixture
def queue(database: Database) -> Iterator[JobQueue]:
    prepare_queue(database)
    new_collection(database)
    made = JobQueue(database)
    yield made
    made.close()


def _workflows(database: Database) -> dict[str, str]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT workflow_uuid, status FROM workflow_status"))
        return {row.workflow_uuid: row.status for row in rows}


def _end(database: Database, job_id: str, state: str) -> None:
    with database.write() as connection:
        end_job(connection, job_id, state, "why")


def test_a_job_is_queued_with_its_items_and_its_workflow(database: Database, queue: JobQueue) -> None:
    lost = Failure(name="locked", reason="permission", error="e")
    submitted = queue.submit("memory", document_items(DOCUMENTS), split="none", failures=[lost])
    assert not submitted.resumed
    job = find_job(database, submitted.job_id)
    assert (job.state, job.split, job.items, job.pending, job.failed) == ("queued", "none", 2, 2, 1)
    assert list(job.failures) == [lost]
    assert _workflows(database) == {f"{submitted.job_id}/1": "ENQUEUED"}


def test_the_queue_carries_no_text(database: Database, queue: JobQueue) -> None:
    queue.submit("memory", document_items(DOCUMENTS))
    with database.read() as connection:
        inputs = connection.execute(text("SELECT inputs FROM workflow_status")).scalars().all()
    assert inputs
    assert not any("Ada" in (given or "") for given in inputs)


def test_without_the_collection_nothing_is_queued(database: Database, queue: JobQueue) -> None:
    with pytest.raises(NotFound):
        queue.submit("nobody", document_items(DOCUMENTS))
    assert _workflows(database) == {}


def test_a_job_whose_workflow_cannot_be_queued_is_not_there(
    database: Database, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError

    monkeypatch.setattr(queue, "_enqueue", fail)
    with pytest.raises(KeyError):
        queue.submit("memory", document_items(DOCUMENTS))
    with database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM jobs")) == 0


def test_the_same_request_goes_on_with_its_job(database: Database, queue: JobQueue) -> None:
    first = queue.submit("memory", document_items(DOCUMENTS), fingerprint="f")
    again = queue.submit("memory", document_items(DOCUMENTS), fingerprint="f")
    assert (again.job_id, again.resumed) == (first.job_id, True)
    assert find_job(database, first.job_id).items == 2
    assert len(_workflows(database)) == 1
    _end(database, first.job_id, "failed")
    assert queue.submit("memory", [], fingerprint="f").job_id == first.job_id
    assert set(_workflows(database)) == {f"{first.job_id}/1", f"{first.job_id}/2"}
    assert find_job(database, first.job_id).state == "queued"
    _end(database, first.job_id, "succeeded")
    assert not queue.submit("memory", [], fingerprint="f").resumed


def test_a_request_says_what_a_run_may_spend_and_the_same_request_may_say_it_anew(
    database: Database, queue: JobQueue
) -> None:
    first = queue.submit("memory", document_items(DOCUMENTS), fingerprint="f", max_tokens=100)
    assert find_job(database, first.job_id).max_tokens == 100
    queue.submit("memory", document_items(DOCUMENTS), fingerprint="f")
    assert find_job(database, first.job_id).max_tokens == 100
    queue.submit("memory", document_items(DOCUMENTS), fingerprint="f", max_tokens=500)
    assert find_job(database, first.job_id).max_tokens == 500


def test_requests_without_a_fingerprint_are_never_the_same(queue: JobQueue) -> None:
    jobs = {queue.submit("memory", document_items(DOCUMENTS)).job_id for _ in range(3)}
    assert len(jobs) == 3


def test_only_a_failed_job_can_be_resumed(database: Database, queue: JobQueue) -> None:
    job_id = queue.submit("memory", document_items(DOCUMENTS)).job_id
    with pytest.raises(Conflict, match="is queued"):
        queue.resume(job_id)
    _end(database, job_id, "failed")
    queue.resume(job_id)
    assert (find_job(database, job_id).state, find_job(database, job_id).error) == ("queued", None)
    assert _workflows(database)[workflow_id(job_id, 2)] == "ENQUEUED"
    with pytest.raises(NotFound):
        queue.resume("nobody")


def test_cancelling_ends_the_job_and_its_workflow(database: Database, queue: JobQueue) -> None:
    job_id = queue.submit("memory", document_items(DOCUMENTS)).job_id
    queue.cancel(job_id)
    job = find_job(database, job_id)
    assert (job.state, job.pending) == ("cancelled", 0)
    assert _workflows(database) == {f"{job_id}/1": "CANCELLED"}
    with pytest.raises(Conflict, match="is cancelled"):
        queue.cancel(job_id)
    with pytest.raises(NotFound):
        queue.cancel("nobody")


def test_cancelling_a_resumed_job_ends_its_newest_run(database: Database, queue: JobQueue) -> None:
    job_id = queue.submit("memory", document_items(DOCUMENTS)).job_id
    _end(database, job_id, "failed")
    queue.resume(job_id)
    queue.cancel(job_id)
    assert _workflows(database)[f"{job_id}/2"] == "CANCELLED"


def test_a_documents_item_holds_all_of_it() -> None:
    first, second = document_items(DOCUMENTS)
    assert (first.kind, first.name, first.size) == ("document", "a", 10)
    assert second.size == 7  # bytes, not characters
    assert first.payload is not None
    assert first.payload["text"] == "Ada Quill."


def test_a_files_item_holds_its_path_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("Ada Quill.")
    monkeypatch.chdir(tmp_path)
    (item,) = file_items([Path("a.txt")])
    # A worker is another process, with another working directory.
    assert item.payload == {"path": str(tmp_path / "a.txt")}
    assert (item.kind, item.name, item.size, item.data) == ("file", "a.txt", 10, None)


def test_a_request_is_known_by_its_paths_and_its_splitting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = tmp_path / "one", tmp_path / "other"
    base = fingerprint_paths([one, other], "recursive")
    assert base == fingerprint_paths([other, one], "recursive") == fingerprint_paths([Path("one"), other], "recursive")
    different = [fingerprint_paths([one], "recursive"), fingerprint_paths([one, other], "none")]
    assert len({base, *different}) == 3
