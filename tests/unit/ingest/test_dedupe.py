"""Copies of what is there: linked, skipped or kept, whoever comes first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from ingest.dedupe import sign
from ingest.extraction_pool import PooledExtraction
from ingest.jobs import document_items, file_items
from ingest.pipeline import Learner, PipelineParams
from memory_graph.database import Database
from memory_graph.shingles import MIN_SHINGLES
from memory_graph.store.duplicates import SIGNATURE_VALUES, copies_of
from memory_graph.store.jobs import Job
from memory_graph.store.skipped import Skipped
from memory_graph.tables import documents, near_copies, signature_bands, signatures
from memory_graph.types import Document
from retrieval.testing import HashEmbedder
from tests.unit.factories import (
    CapitalsPool,
    ParagraphSplitter,
    find_job,
    forget_document,
    new_collection,
    new_job,
    write_lines,
)

GOLDEN = [1899315121, 1611199081, 1915581589, 1745109257]
WORDS = [f"word{n}" for n in range(200)]
LONG = " ".join(WORDS)
NEAR = " ".join(["changed", *WORDS[1:]])
OTHER = " ".join(f"other{n}" for n in range(200))


class WordyEmbedder(HashEmbedder):
    """Counts what it embeds."""

    def __init__(self) -> None:
        super().__init__(16)
        self.count = 0

    def encode(self, texts: Any) -> Any:
        self.count += len(texts)
        return super().encode(texts)


@pytest.fixture(autouse=True)
def cid(database: Database) -> int:
    return new_collection(database).id


def _learner(
    database: Database, batch_passages: int = 2, embedder: HashEmbedder | None = None, kind: type[Learner] = Learner
) -> Learner:
    return kind(
        database,
        embedder or HashEmbedder(16),
        PooledExtraction(CapitalsPool()),
        {"recursive": ParagraphSplitter()},  # type: ignore[dict-item]
        params=PipelineParams(batch_passages=batch_passages),
    )


def _run(database: Database, job_id: str = "job-1", **changes: Any) -> Job:
    with _learner(database, **changes).open(job_id) as learn_next:
        while learn_next():
            pass
    return find_job(database, job_id)


def _learn(database: Database, duplicates: str, texts: dict[str, str], job_id: str = "job-1", **changes: Any) -> Job:
    given = [Document(id=key, title=key, text=text) for key, text in texts.items()]
    new_job(database, document_items(given), job_id=job_id, duplicates=duplicates)
    return _run(database, job_id, **changes)


def _known(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(select(documents.c.key)))


def _copies(database: Database, cid: int, key: str) -> list[tuple[str, str]]:
    with database.read() as connection:
        return [(one.document_id, one.kind) for one in copies_of(connection, cid, key)]


def _counts(job: Job) -> tuple[int, int, int, int]:
    return job.documents, job.exact, job.near, job.skipped


def test_copies_are_learned_and_linked(database: Database, cid: int) -> None:
    job = _learn(database, "link", {"a": LONG, "b": LONG.upper().replace(" ", "\t"), "near": NEAR, "other": OTHER})
    assert _counts(job) == (4, 1, 1, 0)
    assert _copies(database, cid, "a") == [("b", "exact"), ("near", "near")]
    assert _copies(database, cid, "other") == []
    assert job.copies == ()


@pytest.mark.parametrize("batch_passages", [1, 100])
def test_copies_are_skipped_and_listed_across_batches_and_jobs(database: Database, batch_passages: int) -> None:
    job = _learn(database, "skip", {"a": LONG, "b": LONG, "near": NEAR, "other": OTHER}, batch_passages=batch_passages)
    assert _counts(job) == (2, 1, 1, 2)
    assert (job.pending, job.failed, job.done) == (0, 0, job.size)
    assert job.copies == (
        Skipped(document_id="b", kind="exact", duplicate_of="a"),
        Skipped(document_id="near", kind="near", duplicate_of="a"),
    )
    assert _known(database) == {"a", "other"}
    again = _learn(database, "skip", {"a": LONG, "b": LONG}, "job-2")
    assert (again.documents, again.known, again.exact, again.skipped) == (0, 1, 1, 1)


def test_what_is_skipped_is_not_embedded(database: Database) -> None:
    _learn(database, "skip", {"a": LONG})
    embedder = WordyEmbedder()
    job = _learn(database, "skip", {"near": NEAR, "b": LONG}, "job-2", embedder=embedder)
    assert (job.skipped, embedder.count) == (2, 0)


def test_what_is_kept_is_not_compared_then_or_later(database: Database, cid: int) -> None:
    assert _counts(_learn(database, "keep", {"a": LONG, "b": LONG})) == (2, 0, 0, 0)
    assert _counts(_learn(database, "skip", {"c": LONG}, "job-2")) == (1, 0, 0, 0)
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(signatures)) == 1
    assert _copies(database, cid, "c") == []


def test_a_document_whose_content_becomes_a_copy_is_replaced_under_skip_too(database: Database, cid: int) -> None:
    _learn(database, "skip", {"a": LONG, "b": OTHER})
    job = _learn(database, "skip", {"b": LONG}, "job-2")
    assert _counts(job) == (1, 1, 0, 0)
    assert _copies(database, cid, "b") == [("a", "exact")]


def test_a_changed_document_is_no_copy_of_what_it_was(database: Database, cid: int) -> None:
    _learn(database, "skip", {"a": LONG})
    assert _counts(_learn(database, "skip", {"a": NEAR}, "job-2")) == (1, 0, 0, 0)
    assert _copies(database, cid, "a") == []


def test_what_was_skipped_is_learned_once_the_original_is_forgotten(database: Database, cid: int) -> None:
    _learn(database, "skip", {"a": LONG, "b": LONG})
    forget_document(database, cid, "a")
    assert _counts(_learn(database, "skip", {"b": LONG}, "job-2")) == (1, 0, 0, 0)
    assert _known(database) == {"b"}


class WatchedLearner(Learner):
    """Says when it has looked at a document."""

    looked = Event()

    def _prepare(self, *given: Any) -> bool:
        known = super()._prepare(*given)
        self.looked.set()
        return known


def test_an_original_that_goes_before_the_commit_is_told(database: Database, cid: int) -> None:
    _learn(database, "skip", {"a": LONG})
    new_job(database, document_items([Document(id="b", text=LONG)]), job_id="job-2", duplicates="skip")
    with _learner(database, kind=WatchedLearner).open("job-2") as learn_next:
        assert WatchedLearner.looked.wait(60)
        forget_document(database, cid, "a")
        while learn_next():
            pass
    job = find_job(database, "job-2")
    assert (job.documents, job.skipped) == (0, 0)
    assert [(one.name, one.reason) for one in job.failures] == [("b", "copy_lost")]


def test_an_interrupted_job_counts_each_copy_once(database: Database, tmp_path: Path) -> None:
    third = " ".join(f"third{n}" for n in range(200))
    texts = [LONG, LONG, OTHER, OTHER, third, third]
    path = write_lines(tmp_path / "d.jsonl", *({"id": f"d{n}", "text": text} for n, text in enumerate(texts)))
    new_job(database, file_items([path]), duplicates="skip")
    with _learner(database, batch_passages=1).open("job-1") as learn_next:
        for _ in range(2):
            learn_next()
    before = find_job(database)
    assert 0 < before.documents < 3
    job = _run(database, batch_passages=1)
    assert _counts(job) == (3, 3, 0, 3)
    assert _known(database) == {"d0", "d2", "d4"}


def test_of_two_workers_with_the_same_texts_one_is_first(database: Database, cid: int) -> None:
    texts = {f"{n}": f"{LONG} {n} {n}" if n % 2 else f"{OTHER} {n} {n}" for n in range(4)}
    for job_id in ("job-a", "job-b"):
        given = [Document(id=f"{job_id}/{key}", text=text) for key, text in texts.items()]
        new_job(database, document_items(given), job_id=job_id, duplicates="skip")
    barrier = Barrier(2)
    faults: list[BaseException] = []

    def learn(job_id: str) -> None:
        other = Database(database.url.render_as_string(hide_password=False))
        try:
            with _learner(other, batch_passages=1).open(job_id) as learn_next:
                barrier.wait()
                while learn_next():
                    pass
        except BaseException as fault:  # noqa: BLE001 - told by the test
            faults.append(fault)
        finally:
            other.close()

    threads = [Thread(target=learn, args=(job_id,)) for job_id in ("job-a", "job-b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    jobs = [find_job(database, job_id) for job_id in ("job-a", "job-b")]
    assert sum(job.documents for job in jobs) == len(_known(database)) == 2
    assert sum(job.skipped for job in jobs) == 6


def test_forgetting_leaves_nothing(database: Database, cid: int) -> None:
    _learn(database, "link", {"a": LONG, "b": LONG, "near": NEAR})
    for key in ("near", "a", "b"):
        forget_document(database, cid, key)
    with database.read() as connection:
        for table in (signatures, signature_bands, near_copies):
            assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_the_title_counts_for_short_texts_alone() -> None:
    short = [sign(Document(id="x", title=title, text="It was built in 1902.")) for title in ("Mill", "mill ", "Lamp")]
    assert short[0] == short[1] != short[2]
    assert all(one.values is None for one in short)
    one, other = (sign(Document(id="x", title=title, text=LONG)) for title in ("a.txt", "copy of a.txt"))
    assert one.text_hash == other.text_hash
    np.testing.assert_array_equal(one.values, other.values)  # type: ignore[arg-type]


def test_a_text_is_short_below_thirty_runs_of_words() -> None:
    assert sign(Document(id="x", text=" ".join(WORDS[: MIN_SHINGLES + 1]))).values is None
    assert sign(Document(id="x", text=" ".join(WORDS[: MIN_SHINGLES + 2]))).values is not None


def test_the_share_of_equal_values_estimates_what_two_texts_share() -> None:
    one, other = (sign(Document(id="x", text=" ".join(WORDS[start : start + 150]))).values for start in (0, 30))
    assert one is not None
    assert other is not None
    assert float(np.mean(one == other)) == pytest.approx(118 / 178, abs=0.15)


def test_signatures_stay_what_they_are_in_every_process() -> None:
    """They are rows: what another version computes otherwise would never be found again."""
    code = (
        "from ingest.dedupe import sign; from memory_graph.types import Document;"
        "print(*sign(Document(id='x', text=' '.join(f'word{n}' for n in range(200)))).values[:4])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    values = sign(Document(id="x", text=LONG)).values
    assert values is not None
    assert len(values) == SIGNATURE_VALUES
    assert [int(value) for value in printed] == values[:4].tolist() == GOLDEN
