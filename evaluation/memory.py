"""A memory of a data set, made in a folder of its own with the product's own pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from ingest.jobs import document_items
from ingest.pipeline import Learner
from memory_graph.database import Database
from memory_graph.store import jobs as job_store
from memory_graph.store.collections import create_collection
from memory_graph.store.jobs import Job, NewItem
from memory_graph.types import Document
from retrieval.embedder import Embedder
from retrieval.views import ViewCache

# These pass in a thread that reads ahead and in the extractor's process, while the other stages go on.
BESIDE = ("read", "extract")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How long it took from the documents to a view that can be searched, in seconds by the clock on the wall.

    ``seconds`` are those of the job by stage, and of building the view. Those of ``BESIDE`` pass while others do: the
    others and ``other_s`` add up to ``total_s``.
    """

    passages: int
    total_s: float
    seconds: Mapping[str, float]

    @property
    def in_turn(self) -> dict[str, float]:
        """The stages that follow one another."""
        return {stage: spent for stage, spent in self.seconds.items() if stage not in BESIDE}

    @property
    def other_s(self) -> float:
        """What passed between those: until a batch was read, and for the books of the job."""
        return self.total_s - sum(self.in_turn.values())

    def to_json(self) -> dict[str, Any]:
        """Return the times as what ``json.dumps`` takes."""
        return asdict(self) | {"other_s": self.other_s}


def time_learning(
    learn: Callable[[], Job], views: ViewCache, collection: str, *, clock: Callable[[], float] = time.perf_counter
) -> Learning:
    """Learn a collection and make its view; ``clock`` gives seconds."""
    start = clock()
    job = learn()
    learned = clock()
    views.current(collection)
    ended = clock()
    return Learning(passages=job.passages, total_s=ended - start, seconds={**job.seconds, "view": ended - learned})


def learn_documents(
    database: Database,
    learner: Learner,
    collection: str,
    documents: Sequence[Document],
    *,
    split: str,
    progress: Callable[[Job], None] | None = None,
    duplicates: str = "link",
) -> Job:
    """Learn documents into a new collection, in this process and without a queue; returns the ended job."""
    return learn_items(
        database, learner, collection, document_items(documents), split=split, progress=progress, duplicates=duplicates
    )


def learn_items(
    database: Database,
    learner: Learner,
    collection: str,
    items: Sequence[NewItem],
    *,
    split: str,
    progress: Callable[[Job], None] | None = None,
    duplicates: str = "link",
) -> Job:
    """Learn job items into a new collection, as ``learn_documents`` does."""
    with database.write() as connection:
        collection_id = create_collection(connection, collection).id
    return learn_more(database, learner, collection_id, items, split=split, progress=progress, duplicates=duplicates)


def learn_more(
    database: Database,
    learner: Learner,
    collection_id: int,
    items: Sequence[NewItem],
    *,
    split: str,
    progress: Callable[[Job], None] | None = None,
    duplicates: str = "link",
) -> Job:
    """Learn job items into a collection that is there, as ``learn_documents`` does."""
    job_id = str(uuid4())
    with database.write() as connection:
        job_store.create_job(
            connection,
            job_id=job_id,
            collection_id=collection_id,
            split=split,
            fingerprint=job_id.replace("-", ""),
            items=items,
            duplicates=duplicates,
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


class RememberingEmbedder:
    """Embeds each text once, so that what is learned or asked again has the very same vector.

    A model that computes in bfloat16 gives a text another third decimal in another batch. For one thread at a time.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._embedder.dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a text: float32 of shape (len(texts), dim)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._embedder.encode(new), strict=True))
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.stack([self._known[text] for text in texts])
