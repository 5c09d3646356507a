"""Only the difference is embedded and extracted, and texts that are known share one extraction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.extraction_pool import PooledExtraction
from ingest.jobs import document_items
from ingest.pipeline import Learner, PipelineParams
from memory_graph.database import Database
from memory_graph.store.jobs import Job
from memory_graph.types import Document
from retrieval.testing import HashEmbedder
from tests.unit.factories import (
    CapitalsPool,
    ParagraphSplitter,
    content_of,
    find_job,
    forget_document,
    new_collection,
    new_job,
)

PARAGRAPHS = ("Ada Quill likes Bram Oster.", "It rained on Dunmore.", "Cora Finch saw Ada Quill. Ada Quill waved.")


class Reading:
    """Learns jobs one after the other, and remembers what was embedded and extracted."""

    def __init__(self, database: Database, made_by: str = "capitals", *, facts: bool = False) -> None:
        self.database = database
        self.pool = CapitalsPool()
        self.embedded: list[str] = []
        splitters = {"recursive": ParagraphSplitter()}
        params = PipelineParams(embed_facts=facts, embed_phrases=facts)
        extraction = PooledExtraction(self.pool, made_by)  # type: ignore[arg-type]
        self.learner = Learner(database, self, extraction, splitters, params=params)  # type: ignore[arg-type]
        self.name, self.dim = "hash", 16

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        return HashEmbedder(16).encode(texts)

    def learn(self, job_id: str, *documents: Document, collection: str = "memory") -> Job:
        self.pool.texts.clear()
        self.embedded.clear()
        new_job(self.database, document_items(documents), job_id=job_id, collection=collection)
        with self.learner.open(job_id) as learn_next:
            while learn_next():
                pass
        return find_job(self.database, job_id)


def book(*paragraphs: str, key: str = "book") -> Document:
    return Document(id=key, title="Dunmore", text="\n\n".join(paragraphs))


@pytest.mark.parametrize("facts", [False, True])
def test_only_what_changed_is_embedded_and_extracted(database: Database, facts: bool) -> None:
    new_collection(database)
    reading = Reading(database, facts=facts)
    job = reading.learn("job-1", book(*PARAGRAPHS))
    assert (job.passages, job.kept, job.removed) == (3, 0, 0)
    changed = book(PARAGRAPHS[2], "Lake Orrin froze.", PARAGRAPHS[0])
    job = reading.learn("job-2", changed)
    assert (job.documents, job.passages, job.kept, job.removed) == (1, 3, 2, 1)
    assert reading.pool.texts == ["Lake Orrin froze."]
    assert [text for text in reading.embedded if "." in text] == ["Dunmore\nLake Orrin froze."]
    assert [text for text in reading.embedded if "." not in text] == (["lake orrin"] if facts else [])
    new_collection(database, "fresh")
    reading.learn("job-3", changed, collection="fresh")
    assert content_of(database) == content_of(database, "fresh")


@pytest.mark.parametrize("facts", [False, True])
def test_equal_texts_of_two_documents_share_one_extraction(database: Database, facts: bool) -> None:
    cid = new_collection(database).id
    reading = Reading(database, facts=facts)
    reading.learn("job-1", book(*PARAGRAPHS))
    job = reading.learn("job-2", book(PARAGRAPHS[2], PARAGRAPHS[0], key="copy"))
    assert (job.passages, job.kept, job.removed) == (2, 0, 0)
    assert (reading.pool.texts, reading.embedded) == ([], [])
    content = content_of(database)
    assert content["mentions"][("copy", 0), "ada quill"] == content["mentions"][("book", 2), "ada quill"]
    assert (("ada quill", "likes", "bram oster"), ("copy", 1)) in content["fact_sources"]
    forget_document(database, cid, "book")
    new_collection(database, "fresh")
    Reading(database, facts=facts).learn("job-3", book(PARAGRAPHS[2], PARAGRAPHS[0], key="copy"), collection="fresh")
    assert content_of(database) == content_of(database, "fresh")


def test_another_extractor_shares_nothing(database: Database) -> None:
    new_collection(database)
    Reading(database).learn("job-1", book(*PARAGRAPHS))
    other = Reading(database, "another")
    job = other.learn("job-2", book(*PARAGRAPHS[:2]))
    assert (job.kept, job.removed) == (0, 3)
    assert other.pool.texts == list(PARAGRAPHS[:2])
    assert other.embedded == []  # vectors are the embedder's


def test_a_document_given_in_another_order_with_doubles(database: Database) -> None:
    new_collection(database)
    reading = Reading(database)
    reading.learn("job-1", book(PARAGRAPHS[0], PARAGRAPHS[0], PARAGRAPHS[1]))
    job = reading.learn("job-2", book(PARAGRAPHS[1], PARAGRAPHS[0], PARAGRAPHS[0], PARAGRAPHS[0]))
    assert (job.passages, job.kept, job.removed) == (4, 3, 0)
    assert reading.pool.texts == []
