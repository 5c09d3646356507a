"""A memory of a data set, made in a folder of its own with the product's own pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import uuid4

from ingest.jobs import document_items
from ingest.pipeline import Learner
from memory_graph.database import Database
from memory_graph.store import jobs as job_store
from memory_graph.store.collections import create_collection
from memory_graph.store.jobs import Job, NewItem
from memory_graph.types import Document


def learn_documents(
    database: Database,
    learner: Learner,
    collection: str,
    documents: Sequence[Document],
    *,
    split: str,
    progress: Callable[[Job], None] | None = None,
) -> Job:
    """Learn documents into a new collection, in this process and without a queue; returns the ended job."""
    return learn_items(database, learner, collection, document_items(documents), split=split, progress=progress)


def learn_items(
    database: Database,
    learner: Learner,
    collection: str,
    items: Sequence[NewItem],
    *,
    split: str,
    progress: Callable[[Job], None] | None = None,
) -> Job:
    """Learn job items into a new collection, as ``learn_documents`` does."""
    job_id = str(uuid4())
    with database.write() as connection:
        collection_id = create_collection(connection, collection).id
        job_store.create_job(
            connection,
            job_id=job_id,
            collection_id=collection_id,
            split=split,
            fingerprint=job_id.replace("-", ""),
            items=items,
        )
    with learner.open(job_id) as learn_next:
        while learn_next():
            if progress is not None:
                with database.read() as connection:
                    progress(job_store.get_job(connection, job_id, failures=0))
    with database.write() as connection:
        job_store.end_job(connection, job_id, "succeeded")
    with database.read() as connection:
        return job_store.get_job(connection, job_id)
