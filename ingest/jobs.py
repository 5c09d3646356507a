"""Handing jobs to the workers: submit, resume, retry, cancel.

A job is rows (``jobs``, ``job_items``, ``job_shares``) and, for each share of a run, one DBOS workflow that is queued
in the same transaction. The queue carries the job's id and the share's number alone. This side imports no workflow: a
worker finds it by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from sqlalchemy import Connection

from ingest.staging import document_to_json
from memory_graph.database import Database
from memory_graph.errors import Conflict
from memory_graph.store import jobs as job_store
from memory_graph.store import retrying, shares
from memory_graph.store.collections import get_collection
from memory_graph.store.jobs import NORMAL, Failure, NewItem
from memory_graph.store.shares import Share
from memory_graph.store.spending import check_bytes, take_bytes
from memory_graph.store.tokens import limit_tokens
from memory_graph.text import hash_text
from memory_graph.types import Document, Policy
from retrieval import tracing

if TYPE_CHECKING:
    from dbos import EnqueueOptions

QUEUE = "ingest"
WORKFLOW = "learn_job"
APPLICATION = "sharpwave"
# Constant on purpose: with a version that follows the code, jobs queued before an upgrade would never be taken up. It
# changes only when the order of a workflow's steps does, and then the queue is drained first.
APPLICATION_VERSION = "ingest-1"
PRIORITIES = {"high": 1, "normal": NORMAL, "low": 9}
# Called with the transaction of a change to a job, and the job's id.
Noted: TypeAlias = Callable[[Connection, str], None]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The job that will learn what was given; ``resumed`` says that it had been begun before."""

    job_id: str
    resumed: bool


class JobQueue:
    """Submits jobs to the workers of one database."""

    def __init__(self, database: Database) -> None:
        from dbos import DBOSClient, DBOSPortableJSONSerializer  # late: half a second, for those who change jobs

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
        priority: int = NORMAL,
        key_id: str | None = None,
        noted: Noted | None = None,
        check: Callable[[Connection, int], None] | None = None,
    ) -> Submission:
        """Queue a job, or go on with the unfinished one of an equal ``fingerprint``.

        ``failures`` are things that could not even be submitted: they are listed with the job. ``max_tokens`` is what
        a run of it may spend on a language model; None is as the worker's settings say. ``duplicates`` says what
        becomes of copies (``ingest/dedupe.py``). Of jobs that wait, those of the lowest ``priority`` come first.
        ``key_id`` is the key that pays for it, with its bytes of today.
        ``noted`` is called with the job's id in the transaction that queues it.
        ``check`` is given the transaction and the collection's id before anything is written, and stops it by raising.
        Errors: ``NotFound`` for the collection; ``QuotaSpent`` and ``InvalidInput`` for more than the key may give.
        """
        size = sum(map(given_bytes, items))
        field = "files" if any(item.kind == "upload" for item in items) else "documents"
        with self._database.write() as connection:
            collection_id = get_collection(connection, collection).id
            if check is not None:
                check(connection, collection_id)
            if key_id is not None:
                check_bytes(connection, key_id, size, field)
            if fingerprint is not None:
                unfinished = job_store.find_unfinished(connection, collection_id, fingerprint)
                if unfinished is not None:
                    if max_tokens is not None:
                        limit_tokens(connection, unfinished["id"], max_tokens)
                    if unfinished["state"] == "failed":
                        self._run_again(connection, unfinished["id"])
                    if noted is not None:
                        noted(connection, unfinished["id"])
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
                priority=priority,
                traceparent=tracing.traceparent(),
                key_id=key_id,
            )
            job_store.add_failures(connection, job_id, failures)
            self._enqueue(connection, shares.begin_run(connection, job_id))
            if noted is not None:
                noted(connection, job_id)
            if key_id is not None:
                take_bytes(connection, key_id, size, field)
        return Submission(job_id=job_id, resumed=False)

    def resume(self, job_id: str, *, noted: Noted | None = None) -> None:
        """Queue a failed job again for what it has left. Errors: ``NotFound``; ``Conflict`` if it did not fail."""
        with self._database.write() as connection:
            head = job_store.job_head(connection, job_id, lock=True)
            if head["state"] != "failed":
                raise Conflict(f"only a failed job can be resumed; job {job_id} is {head['state']}")
            self._run_again(connection, job_id)
            if noted is not None:
                noted(connection, job_id)

    def retry(self, job_id: str, *, item_id: int | None = None, noted: Noted | None = None) -> int:
        """Queue a job that ended again for its failed items, or for one of them; return how many are tried again.

        Errors: ``NotFound``; ``Conflict`` if it has not ended, or nothing of it can be tried again.
        """
        with self._database.write() as connection:
            head = job_store.job_head(connection, job_id, lock=True)
            if head["state"] not in ("failed", "succeeded"):
                raise Conflict(f"only a job that has ended can be retried; job {job_id} is {head['state']}")
            items = retrying.retry_items(connection, job_id, item_id)
            if not items:
                which = "no failed item" if item_id is None else f"no failed item {item_id}"
                raise Conflict(f"job {job_id} has {which} that can be tried again")
            self._run_again(connection, job_id)
            if noted is not None:
                noted(connection, job_id)
        return items

    def cancel(self, job_id: str, *, noted: Noted | None = None) -> None:
        """End a job, or give up a failed one: what it has committed stays, the rest is dropped, staged texts too.

        Errors: ``NotFound``; ``Conflict`` if it has succeeded or was cancelled already.
        """
        with self._database.write() as connection:
            head = job_store.job_head(connection, job_id, lock=True)
            begun = shares.list_shares(connection, job_id) or [Share(job_id=job_id, number=1)]
            if not job_store.end_job(connection, job_id, "cancelled"):
                raise Conflict(f"only an unfinished or failed job can be cancelled; job {job_id} is {head['state']}")
            if noted is not None:
                noted(connection, job_id)
        self._client.cancel_workflows([workflow_id(job_id, head["runs"], one.number, one.turn) for one in begun])

    def remove(self, job_id: str, *, noted: Noted | None = None) -> None:
        """Remove a job that ended, with its items and the texts held of those that failed; what it learned stays.

        Errors: ``NotFound``; ``Conflict`` if it has not ended.
        """
        with self._database.write() as connection:
            head = job_store.job_head(connection, job_id, lock=True)
            if head["state"] in job_store.UNFINISHED:
                raise Conflict(f"job {job_id} is {head['state']}; cancel it first")
            retrying.remove_job(connection, job_id)
            if noted is not None:
                noted(connection, job_id)

    def give_way(self, share: Share) -> None:
        """Queue a share again, behind jobs of higher priority; doing so twice is the same as once."""
        with self._database.write() as connection:
            following = shares.next_turn(connection, share)
            if following is not None:
                self._enqueue(connection, following)

    def widen(self, job_id: str, *, at_most: int) -> None:
        """Queue one more share of a job for another worker, where it has less than ``at_most`` and enough to do."""
        with self._database.write() as connection:
            added = shares.add_share(connection, job_id, at_most=at_most)
            if added is not None:
                self._enqueue(connection, added)

    def close(self) -> None:
        """Close the connections."""
        self._client.destroy()

    def _run_again(self, connection: Connection, job_id: str) -> None:
        if job_store.restart_job(connection, job_id) is not None:
            self._enqueue(connection, shares.begin_run(connection, job_id))

    def _enqueue(self, connection: Connection, share: Share) -> None:
        head = job_store.job_head(connection, share.job_id)
        options: EnqueueOptions = {
            "queue_name": QUEUE,
            "workflow_name": WORKFLOW,
            "workflow_id": workflow_id(share.job_id, head["runs"], share.number, share.turn),
            "queue_partition_key": str(head["collection_id"]),
            "app_version": APPLICATION_VERSION,
            "priority": head["priority"],
        }
        self._client.enqueue_in_transaction(connection, options, share.job_id, share.number, share.turn)


def priority_name(number: int) -> str:
    """Return what a priority is called."""
    return next(name for name, known in PRIORITIES.items() if known >= number)


def workflow_id(job_id: str, run: int, share: int = 1, turn: int = 0) -> str:
    """Return the id of the workflow that carries out a share of a job's run, from one giving way to the next."""
    # That of the first is the one it had before jobs were cut into shares.
    return f"{job_id}/{run}" if share == 1 and turn == 0 else f"{job_id}/{run}/{share}.{turn}"


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


def given_bytes(item: NewItem) -> int:
    """Return how much was given with an item: a file, or text, title and metadata; nothing yet of an address."""
    payload = item.payload or {}
    metadata = payload.get("metadata")
    more = [str(payload.get("title") or ""), json.dumps(metadata, ensure_ascii=False) if metadata else ""]
    return item.size + sum(len(one.encode("utf-8", "replace")) for one in more)


def fingerprint_paths(
    paths: Iterable[Path], split: str, addresses: Iterable[str] = (), duplicates: Policy = "link"
) -> str:
    """Return the fingerprint of a request to learn these paths and addresses, so that asking again continues it."""
    # Nothing is added for the usual policy: jobs from before there was a choice are found again.
    chosen = [] if duplicates == "link" else [f"duplicates={duplicates}"]
    return hash_text(split, *chosen, *sorted([*(str(path.resolve()) for path in paths), *addresses]))
