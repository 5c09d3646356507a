"""On PostgreSQL: schema, learning, recalling, forgetting, and workers that come and go with the database."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, update

from ingest.jobs import JobQueue, document_items
from memory_graph import database as database_module
from memory_graph.database import Database, schema_state, upgrade_schema
from memory_graph.store.collections import get_collection
from memory_graph.store.forgetting import Selection, forget
from memory_graph.store.jobs import Job, get_job
from memory_graph.tables import job_shares, metadata, workers
from memory_graph.types import Document
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from tests.integration.installation import Installation
from tests.killing import (
    COLLECTION,
    Crew,
    FragileEmbedder,
    kill,
    learn_in_peace,
    open_memory,
    read_jobs,
    write_files,
)
from tests.postgres import PostgresServer
from tests.unit.factories import content_of, wait_until

PATIENCE_S = 240.0


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.create_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_memory(url)
    yield opened
    opened.close()


def submit(database: Database, *documents: Document, priority: int = 5) -> str:
    queue = JobQueue(database)
    job_id = queue.submit(COLLECTION, document_items(documents), priority=priority).job_id
    queue.close()
    return job_id


def notes(first: int, last: int) -> list[Document]:
    return [
        Document(id=f"note-{n}", title=f"Note {n}", text=f"On day {n} Ada Quill counted {n * 7} gulls at Mast {n}.")
        for n in range(first, last)
    ]


def find(database: Database, job_id: str) -> Job:
    with database.read() as connection:
        return get_job(connection, job_id)


def wait_for_end(database: Database, *job_ids: str) -> list[Job]:
    wait_until(lambda: all(find(database, job_id).finished_at for job_id in job_ids), PATIENCE_S)
    return [find(database, job_id) for job_id in job_ids]


def search(searcher: Searcher, query: str, top_k: int = 1) -> list[str]:
    found = searcher.search(COLLECTION, SearchRequest(query=query, top_k=top_k, rerank="none"))
    return [hit.document_id for hit in found.hits]


def _ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
    return kind != "table" or name in metadata.tables


def test_the_migrations_make_exactly_the_tables_and_can_be_taken_back(url: str) -> None:
    database = Database(url)
    assert schema_state(database) == "empty"
    upgrade_schema(database)
    upgrade_schema(database)
    options = {"include_object": _ours, "compare_type": True}
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    config = database_module._config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
    assert schema_state(database) == "older"
    upgrade_schema(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    database.close()


def test_what_is_learned_is_found_at_once_and_forgotten_whole(
    database: Database, make_crew: Callable[..., Crew]
) -> None:
    """The searcher is another process's, as an API replica is, and has looked before."""
    make_crew().start_worker()
    searcher = Searcher(database, ViewCache(database), FragileEmbedder())
    assert search(searcher, "How many gulls at Mast 3?") == []
    (job,) = wait_for_end(database, submit(database, *notes(0, 20)))
    assert (job.state, job.documents, job.failed) == ("succeeded", 20, 0)
    assert search(searcher, "On day 3 Ada Quill counted 21 gulls at Mast 3.") == ["note-3"]
    with database.write() as connection:
        collection = get_collection(connection, COLLECTION)
        forgotten = forget(connection, collection.id, Selection(key="note-3"))
    assert (forgotten.passages, forgotten.phrases) == (1, 1)  # its title
    assert search(searcher, "On day 3 Ada Quill counted 21 gulls at Mast 3.") != ["note-3"]
    content = content_of(database, COLLECTION)
    assert len(content["passages"]) == 19
    assert "note 3" not in content["phrases"]
    assert "note 4" in content["phrases"]


def test_a_job_is_split_over_two_workers_and_ends_as_with_one(
    database: Database, make_crew: Callable[..., Crew], tmp_path: Path
) -> None:
    paths = write_files(tmp_path, 120)
    crew = make_crew(pause_s=0.1)
    for _ in range(2):
        crew.start_worker()
    crew.send(paths, "all").join()
    at_work: set[str] = set()

    def is_over() -> bool:
        with database.read() as connection:
            at_work.update(connection.scalars(select(job_shares.c.worker).where(job_shares.c.worker.is_not(None))))
        return all(job.finished_at for job in read_jobs(database))

    wait_until(is_over, PATIENCE_S)
    assert len(at_work) == 2
    (job,) = read_jobs(database)
    assert (job.state, job.documents, job.known, job.failed) == ("succeeded", 120, 0, 0)
    alone = open_memory(f"sqlite:///{tmp_path / 'alone.db'}")
    learn_in_peace(alone, paths)
    assert content_of(database, COLLECTION) == content_of(alone, COLLECTION)
    alone.close()


def test_two_jobs_with_the_same_documents_learn_each_once(database: Database, make_crew: Callable[..., Crew]) -> None:
    crew = make_crew(pause_s=0.05)
    for _ in range(2):
        crew.start_worker()
    first, second = submit(database, *notes(0, 60)), submit(database, *notes(0, 60))
    jobs = wait_for_end(database, first, second)
    assert [job.state for job in jobs] == ["succeeded", "succeeded"]
    assert sum(job.documents for job in jobs) == 60
    assert sum(job.known for job in jobs) == 60
    content = content_of(database, COLLECTION)
    assert len(content["documents"]) == len(content["passages"]) == 60


def test_the_job_of_a_worker_that_fell_silent_on_another_host_is_taken_over(
    database: Database, make_crew: Callable[..., Crew]
) -> None:
    crew = make_crew(pause_s=0.1)
    lost = crew.start_worker()
    job_id = submit(database, *notes(0, 100))
    wait_until(lambda: find(database, job_id).documents > 0, PATIENCE_S)
    assert lost.pid is not None
    os.kill(lost.pid, signal.SIGSTOP)  # as a host that hangs: it may wake up later and must then do no harm
    with database.write() as connection:
        connection.execute(update(workers).values(host=f"not-{socket.gethostname()}"))
    crew.start_worker()
    (job,) = wait_for_end(database, job_id)
    assert (job.state, job.documents, job.known, job.failed) == ("succeeded", 100, 0, 0)
    os.kill(lost.pid, signal.SIGCONT)
    again = submit(database, *notes(100, 110))
    assert wait_for_end(database, again)[0].documents == 10
    content = content_of(database, COLLECTION)
    assert len(content["documents"]) == len(content["passages"]) == 110


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_database_is_stopped_and_started_while_a_job_runs(
    postgres: PostgresServer, database: Database, make_crew: Callable[..., Crew], mode: str
) -> None:
    worker = make_crew(pause_s=0.1).start_worker()
    job_id = submit(database, *notes(0, 80))
    wait_until(lambda: find(database, job_id).documents > 0, PATIENCE_S)
    postgres.stop(mode)
    postgres.start()
    (job,) = wait_for_end(database, job_id)
    assert (job.state, job.documents, job.failed) == ("succeeded", 80, 0)
    assert worker.exitcode is None
    assert len(content_of(database, COLLECTION)["passages"]) == 80


def test_an_urgent_job_is_let_in_before_a_long_one_ends(database: Database, make_crew: Callable[..., Crew]) -> None:
    crew = make_crew(pause_s=0.2)
    long = submit(database, *notes(0, 200), priority=9)
    crew.start_worker()
    wait_until(lambda: find(database, long).documents > 0, PATIENCE_S)
    urgent = submit(database, *notes(500, 505), priority=1)
    wait_until(lambda: find(database, urgent).finished_at is not None, PATIENCE_S)
    assert find(database, long).finished_at is None
    assert find(database, urgent).documents == 5
    kill(crew.processes[0])
    # What gave way is there to be taken up again, by whomever.
    crew.start_worker()
    assert wait_for_end(database, long)[0].documents == 200


def test_the_command_line_on_postgres(
    url: str, make_installation: Callable[..., Installation], samples: Path, tmp_path: Path
) -> None:
    """With the real models: a failed item is mended and retried, and the job removed."""
    installation = make_installation(SHARPWAVE_DATABASE_URL=url)
    fennay = samples / "documents" / "fennay.md"
    broken = tmp_path / "broken.txt"
    database = Database(url)
    broken.write_bytes(b"\xff\xfe\xfd")
    job = installation.run("ingest", fennay, broken, "--priority", "low", "--json", status=1, timeout_s=300).json
    assert (job["state"], job["priority"]) == ("succeeded", "low")
    assert (job["progress"]["documents"], job["progress"]["failed"], job["progress"]["retryable"]) == (1, 1, 1)
    found = installation.run("search", "Where is the light of Fennay?", "-k", 1, "--json").json
    assert [hit["document_id"] for hit in found["hits"]] == [str(fennay)]
    broken.write_text("Ivo Brandt built the mill at Ostrow.")
    assert "1 failed items are tried again" in installation.run("jobs", "retry", job["id"]).err
    worker = installation.start("worker")
    wait_for_end(database, job["id"])
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(60) == 0
    assert installation.run("collections", "--json").json["collections"][0]["documents"] == 2
    installation.run("jobs", "remove", job["id"])
    assert installation.run("jobs", "--json").json["jobs"] == []
    installation.run("forget", fennay)
    assert installation.run("collections", "--json").json["collections"][0]["documents"] == 1
    database.close()
