"""Learning that is killed anywhere ends, once it may go on, in the same memory as learning that was left in peace."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.embedder import Embedder
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from tests.integration.installation import Installation, assert_no_trace, wait_for

FILES = 300
SEED = 20260131
QUESTIONS = (
    "Who founded the Lissenholt Courant?",
    "What is the oldest object in the Karravik Maritime Museum?",
    "In which town was the builder of the Sable Plover born?",
    "What did the keeper note in copy 7 of the Fennay Light?",
    "Who was the first stationmaster of Pellmoss?",
)
# Rows by what they mean, not by their ids, which depend on how often it was begun.
CONTENTS = {
    "documents": "SELECT key, title, content_hash FROM documents",
    "passages": "SELECT d.key, p.ordinal, p.text_hash, p.heading FROM passages p"
    " JOIN documents d ON d.id = document_id",
    "phrases": "SELECT key FROM phrases",
    "mentions": "SELECT d.key, p.ordinal, h.key, m.surface, m.count FROM mentions m"
    " JOIN passages p ON p.id = passage_id JOIN documents d ON d.id = p.document_id JOIN phrases h ON h.id = phrase_id",
    "facts": "SELECT s.key, f.predicate, o.key FROM facts f JOIN phrases s ON s.id = subject_id"
    " JOIN phrases o ON o.id = object_id",
    "fact_sources": "SELECT s.key, f.predicate, o.key, d.key, p.ordinal FROM fact_sources x"
    " JOIN facts f ON f.id = x.fact_id JOIN phrases s ON s.id = subject_id JOIN phrases o ON o.id = object_id"
    " JOIN passages p ON p.id = x.passage_id JOIN documents d ON d.id = p.document_id",
    "embeddings": "SELECT text_hash FROM embeddings",
}


def read_contents(installation: Installation) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(installation.rows(sql)) for name, sql in CONTENTS.items()}


def search(installation: Installation, embedder: Embedder) -> list[list[tuple[str, float]]]:
    """Return (title, score) of the five best for each question.

    Titles, not ids: vectors that differ in their third decimal may swap two copies of one text.
    """
    found = []
    with installation.open() as database:
        searcher = Searcher(database, ViewCache(database), embedder)
        for question in QUESTIONS:
            # Not reranked: a vector's third decimal moves a passage from one leaf of a tree to another.
            hits = searcher.search("default", SearchRequest(query=question, top_k=5, rerank="none")).hits
            found.append([(hit.title, hit.score) for hit in hits])
    return found


def read_vectors(installation: Installation) -> NDArray[np.float16]:
    """Return the vectors in the order of their texts' hashes, (n, dim)."""
    rows = installation.rows("SELECT vector FROM embeddings ORDER BY text_hash")
    return np.stack([np.frombuffer(vector, dtype="<f2") for (vector,) in rows])


@pytest.fixture(scope="module")
def documents(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred files: the beginnings of the sample documents, each several times with a sentence of its own."""
    folder = tmp_path_factory.mktemp("documents")
    sources = sorted((samples / "documents").glob("*.md"))
    for number in range(FILES):
        source = sources[number % len(sources)]
        own = f"\n\nIn copy {number} the keeper notes: {number * 37} gulls were counted from Mast {number}.\n"
        (folder / f"{number:03}-{source.name}").write_text(source.read_text()[:400] + own)
    return folder


@pytest.fixture(scope="module")
def undisturbed(make_installation: Callable[..., Installation], documents: Path) -> Installation:
    installation = make_installation()
    job = installation.run("ingest", documents, "--json", timeout_s=200).json
    assert job["progress"]["documents"] == FILES
    return installation


def assert_same_memory(installation: Installation, other: Installation, embedder: Embedder) -> None:
    mine, theirs = read_contents(installation), read_contents(other)
    assert {name: len(rows) for name, rows in mine.items()} == {name: len(rows) for name, rows in theirs.items()}
    assert mine == theirs
    # In bfloat16 a vector depends in its third decimal on what it was batched with.
    likeness = np.sum(read_vectors(installation).astype(float) * read_vectors(other).astype(float), axis=1)
    assert likeness.min() > 0.999
    for mine_found, theirs_found in zip(search(installation, embedder), search(other, embedder), strict=True):
        assert [title for title, _ in mine_found] == [title for title, _ in theirs_found]
        assert [score for _, score in mine_found] == pytest.approx([score for _, score in theirs_found], rel=0.05)
    (job,) = installation.run("jobs", "--json").json["jobs"]
    progress = job["progress"]
    assert (job["state"], progress["documents"], progress["known"], progress["failed"]) == ("succeeded", FILES, 0, 0)
    assert progress["passages"] == len(mine["passages"])


def has_begun(installation: Installation, *, files: int = 0, documents: int = 0) -> Callable[[], bool]:
    """Return whether so many more files were begun to be read, or so many more documents committed, than by now."""

    def look() -> tuple[int, int]:
        if not installation.rows("SELECT 1 FROM sqlite_master WHERE name = 'queries'"):
            return 0, 0
        (state,) = installation.rows(
            "SELECT (SELECT coalesce(sum(attempts), 0) FROM job_items), (SELECT count(*) FROM documents)"
        )
        return int(state[0]), int(state[1])

    before = look()

    def is_there() -> bool:
        # A commit sets attempts back to nothing, and files that saw two kills are learned one at a time.
        begun, committed = look()
        return committed >= before[1] + max(documents, 1) or bool(files and begun >= before[0] + files)

    return is_there


def test_killed_three_times_and_resumed(
    installation: Installation, documents: Path, undisturbed: Installation, embedder: Embedder
) -> None:
    chance = random.Random(SEED)
    # Once while files are read (or at the next commit, where that comes first), once at a commit, once more.
    points = [{"files": chance.randrange(1, 200)}, {"documents": 1}, {"files": chance.randrange(1, 20)}]
    for number, point in enumerate(points):
        look = has_begun(installation, **point)
        started = installation.start("ingest", documents)
        wait_for(look, within_s=120, what=f"kill point {number}, {point}")
        started.kill()
        said = started.err.read_text()
        assert_no_trace(said)
        assert ("Going on with the unfinished job" in said) == (number > 0)
        wait_for(lambda: not installation.processes(), within_s=60, what="the end of all processes")
    assert 0 < installation.value("SELECT count(*) FROM documents") < FILES
    last = installation.run("ingest", documents, timeout_s=200)
    assert "Going on with the unfinished job" in last.err
    assert not installation.processes()
    assert_same_memory(installation, undisturbed, embedder)


def test_interrupted_and_resumed(
    installation: Installation, documents: Path, undisturbed: Installation, embedder: Embedder
) -> None:
    begun = has_begun(installation, files=20)
    started = installation.start("ingest", documents)
    wait_for(begun, within_s=120, what="the first files")
    os.kill(started.pid, signal.SIGINT)
    assert started.wait(30) == 130
    said = started.err.read_text()
    assert_no_trace(said)
    assert "are learned and kept; the same command goes on from there" in said
    wait_for(lambda: not installation.processes(), within_s=60, what="the end of all processes")
    kept = installation.value("SELECT count(*) FROM documents")
    assert kept < FILES  # the batch in hand was finished, or dropped where that would have taken too long
    (job,) = installation.run("jobs", "--json").json["jobs"]
    assert job["state"] == "queued"
    assert job["progress"]["documents"] == kept
    assert "Going on with the unfinished job" in installation.run("ingest", documents, timeout_s=200).err
    assert_same_memory(installation, undisturbed, embedder)
