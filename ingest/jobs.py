"""Handing jobs to the workers: submit, resume, cancel.

A job is rows (``jobs``, ``job_items``) and, for each run, one DBOS workflow that is queued in the same transaction. The
queue carries the job's id alone. This side imports no workflow: a worker finds it by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy import Connection

from ingest.dedupe import Policy
from ingest.staging import document_to_json
from memory_graph.database import Database
from memory_graph.errors import Conflict
from memory_graph.store import jobs as job_store
from memory_graph.store.collections import get_collection
from memory_graph.store.jobs import Failure, NewItem
from memory_graph.store.tokens import limit_tokens
from memory_graph.text import hash_text
from memory_graph.types import Document

QUEUE = "ingest"
WORKFLOW = "learn_job"
APPLICATION = "sharpwave"
# Constant on purpose: with a version that follows the code, jobs queued before an upgrade would never be taken up. It
# changes only when the order of a workflow's steps does, and then the queue is drained first.
APPLICATION_VERSION = "ingest-1"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The job that will learn what was given; ``resumed`` says that it had been begun before."""

    job_id: str
    resumed: bool


class JobQueue:
    """Submits jobs to the workers of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client = DBOSClient(
            system_database_url=database.url.render_as_string(hide_password=False),
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=False,
        )

    def submit(
        self,
        collection: str,
        items: Sequence[NewItem],
        *,
        split: str = "recursive",
        failures: Sequence[Failure] = (),
        fingerprint: str | None = None,
        max_tokens: int | None = None,
        duplicates: Policy = "link",
    ) -> Submission:
        """Queue a job, or go on with the unfinished one of an equal ``fingerprint``.

        ``failures`` are things that could not even be submitted: they are listed with the job. ``max_tokens`` is what
        a run of it may spend on a language model; None is as the worker's settings say. ``duplicates`` says what
        becomes of copies (``ingest/dedupe.py``). Errors: ``NotFound`` for the collection.
        """
        with self._database.write() as connection:
            collection_id = get_collection(connection, collection).id
            if fingerprint is not None:
                unfinished = job_store.find_unfinished(connection, collection_id, fingerprint)
                if unfinished is not None:
                    if max_tokens is not None:
                        limit_tokens(connection, unfinished["id"], max_tokens)
                    if unfinished["state"] == "failed":
                        self._run_again(connection, unfinished["id"], collection_id)
                    return Submission(job_id=unfinished["id"], resumed=True)
            job_id = str(uuid4())
            job_store.create_job(
                connection,
                job_id=job_id,
                collection_id=collection_id,
                split=split,
                fingerprint=fingerprint or job_id.replace("-", ""),
                items=items,
                max_tokens=max_tokens,
                duplicates=duplicates,
            )
            job_store.add_failures(connection, job_id, failures)
            self._enqueue(connection, job_id, 1, collection_id)
        return Submission(job_id=job_id, resumed=False)

    def resume(self, job_id: str) -> None:
        """Queue a failed job again for what it has left. Errors: ``NotFound``; ``Conflict`` if it did not fail."""
        with self._database.write() as connection:
            head = job_store.job_head(connection, job_id)
            if head["state"] != "failed":
                raise Conflict(f"only a failed job can be resumed; job {job_id} is {head['state']}")
            self._run_again(connection, job_id, head["collection_id"])

    def cancel(self, job_id: str) -> None:
        """End a job: what it has committed stays, the rest is dropped.

        Errors: ``NotFound``; ``Conflict`` if it has ended already.
        """
        with self._database.write() as connection:
            head = job_store.job_head(connection, job_id)
            if not job_store.end_job(connection, job_id, "cancelled"):
                raise Conflict(f"only an unfinished job can be cancelled; job {job_id} is {head['state']}")
        self._client.cancel_workflow(workflow_id(job_id, head["runs"]))

    def close(self) -> None:
        """Close the connections."""
        self._client.destroy()

    def _run_again(self, connection: Connection, job_id: str, collection_id: int) -> None:
        run = job_store.restart_job(connection, job_id)
        if run is not None:
            self._enqueue(connection, job_id, run, collection_id)

    def _enqueue(self, connection: Connection, job_id: str, run: int, collection_id: int) -> None:
        options: EnqueueOptions = {
            "queue_name": QUEUE,
            "workflow_name": WORKFLOW,
            "workflow_id": workflow_id(job_id, run),
            "queue_partition_key": str(collection_id),
            "app_version": APPLICATION_VERSION,
        }
        self._client.enqueue_in_transaction(connection, options, job_id)


def workflow_id(job_id: str, run: int) -> str:
    """Return the id of the workflow that carries out a job's run."""
    return f"{job_id}/{run}"


def file_items(paths: Iterable[Path]) -> list[NewItem]:
    """Return job items for files; they are read when their turn comes."""
    return [
        NewItem(kind="file", name=str(path), size=path.stat().st_size, payload={"path": str(path.absolute())})
        for path in paths
    ]


def document_items(documents: Iterable[Document]) -> list[NewItem]:
    """Return job items for submitted documents; their text is staged until it is learned."""
    return [
        NewItem(
            kind="document",
            name=document.id,
            size=len(document.text.encode("utf-8", "replace")),
            payload=document_to_json(document),
        )
        for document in documents
    ]


def fingerprint_paths(
    paths: Iterable[Path], split: str, addresses: Iterable[str] = (), duplicates: Policy = "link"
) -> str:
    """Return the fingerprint of a request to learn these paths and addresses, so that asking again continues it."""
    # Nothing is added for the usual policy: jobs from before there was a choice are found again.
    chosen = [] if duplicates == "link" else [f"duplicates={duplicates}"]
    return hash_text(split, *chosen, *sorted([*(str(path.resolve()) for path in paths), *addresses]))
