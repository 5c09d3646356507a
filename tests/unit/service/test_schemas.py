"""The shapes of requests and of jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from memory_graph.store.jobs import Failure, Job
from retrieval.search import SearchRequest
from service.learning_schemas import DocumentIn, JobOut
from service.recall_schemas import QueryIn, SearchIn

MOMENT = datetime(2026, 1, 31, tzinfo=UTC)


def make_job(**counts: Any) -> Job:
    values: dict[str, Any] = {
        "id": "1",
        "collection": "default",
        "state": "running",
        "split": "recursive",
        "error": None,
        "version": 3,
        "created_at": MOMENT,
        "started_at": MOMENT,
        "finished_at": None,
        "seconds": {"embed": 1.5},
    }
    return Job(**(values | counts))


def test_a_job_of_files() -> None:
    job = JobOut.of(make_job(items=5, documents=2, failed=1, exact=2, near=1, skipped=1, size=100, done=60, passages=9))
    assert job.progress.model_dump() == {
        "documents": 2,
        "passages": 9,
        "total": 5,
        "known": 0,
        "exact": 2,
        "near": 1,
        "skipped": 1,
        "failed": 1,
        "retryable": 0,
        "bytes": 60,
        "total_bytes": 100,
    }


def test_a_file_of_many_lines_counts_its_documents() -> None:
    job = JobOut.of(make_job(items=1, documents=65, known=20, skipped=5, failed=10, size=100, done=120))
    assert (job.progress.total, job.progress.bytes) == (100, 100)


def test_a_job_travels_as_json() -> None:
    job = JobOut.of(make_job(failures=(Failure(name="a.pdf", reason="encrypted", error="has a password"),)))
    again = json.loads(job.model_dump_json())
    assert again["failures"] == [{"name": "a.pdf", "reason": "encrypted", "error": "has a password", "retry_id": None}]
    assert again["created_at"] == "2026-01-31T00:00:00Z"
    assert JobOut.model_validate(again) == job


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "", "  \n", "a" * 8001])
def test_questions_that_are_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        SearchIn(query=value)
    with pytest.raises(ValidationError):
        QueryIn(question=value)


def test_defaults_of_the_contract() -> None:
    search, query = SearchIn(query="q"), QueryIn(question="q")
    assert (search.top_k, search.mode, search.rerank, search.trace) == (10, "graph", None, False)
    assert (query.top_k, query.strategy, query.order, query.stream) == (5, "direct", "edges", False)


def test_a_request_carries_what_was_asked() -> None:
    asked = SearchIn(query="q", top_k=3, mode="dense", rerank="none", filter={"a": 1}, min_version=7).to_request()
    assert asked == SearchRequest(query="q", top_k=3, mode="dense", rerank="none", filter={"a": 1}, min_version=7)


@pytest.mark.parametrize("rerank", ["", "Chain", "best", 1, True])
def test_other_ways_of_reranking_are_refused(rerank: Any) -> None:
    with pytest.raises(ValidationError):
        SearchIn(query="q", rerank=rerank)


@pytest.mark.parametrize(
    "metadata", [{"k": float("nan")}, {"k": [float("inf")]}, {"k": {"\0": 1}}, {"k": "\udfff"}, {"\ud800": 1}]
)
def test_metadata_that_no_database_holds(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DocumentIn(text="a", metadata=metadata)


def test_metadata_of_every_kind() -> None:
    metadata = {"s": "ž 🐎", "i": 10**30, "f": 0.5, "b": True, "n": None, "l": [1, ["x"]], "o": {"k": {}}}
    assert DocumentIn(text="a", metadata=metadata).metadata == metadata
