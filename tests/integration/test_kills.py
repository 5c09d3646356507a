"""Random kills of workers and of those who hand in jobs: the memory is that of a run in peace, row by row.

``SHARPWAVE_TEST_KILLS`` says how many on each database; ``make kills KILLS=100`` is the long run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_graph.database import Database
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from tests.killing import (
    COLLECTION,
    DEADLY,
    Crew,
    FragileEmbedder,
    learn_in_peace,
    open_memory,
    read_jobs,
    run_with_kills,
    write_files,
)
from tests.unit.factories import content_of, wait_until

KILLS = int(os.environ.get("SHARPWAVE_TEST_KILLS", "4"))
SEED = int(os.environ.get("SHARPWAVE_TEST_SEED", "20261126"))
FILES = 80 + 12 * KILLS
A_JOB = 40
QUESTIONS = ("Who counted gulls at Mast 17?", "Whom does Ada Quill like?", "What happened on day 33 at Lake Orrin?")

pytestmark = pytest.mark.timeout(300 + 30 * KILLS)


def search(database: Database) -> list[list[tuple[str, float]]]:
    searcher = Searcher(database, ViewCache(database), FragileEmbedder())
    return [
        [
            (hit.document_id, round(hit.score, 6))
            for hit in searcher.search(COLLECTION, SearchRequest(query=question, top_k=5, rerank="none")).hits
        ]
        for question in QUESTIONS
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_files(tmp_path_factory.mktemp("files"), FILES)


@pytest.fixture(scope="module")
def in_peace(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """Content and search results of an undisturbed run."""
    database = open_memory(f"sqlite:///{tmp_path_factory.mktemp('peace') / 'sharpwave.db'}")
    learn_in_peace(database, files)
    kept = content_of(database, COLLECTION), search(database)
    database.close()
    return kept


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sharpwave.db'}"
    made: str = request.getfixturevalue("postgres").create_database()
    return made


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_memory(url)
    yield opened
    opened.close()


def test_kills_change_nothing(
    database: Database, make_crew: Callable[..., Crew], files: list[Path], in_peace: tuple[dict[str, Any], Any]
) -> None:
    crew = make_crew(pause_s=0.02)
    report = run_with_kills(database, crew, files, kills=KILLS, workers=2, seed=SEED, a_job=A_JOB)
    sys.stdout.write(f"{database.url.get_backend_name()}: {report}\n")
    assert report.workers_killed + report.senders_killed == KILLS
    content, found = in_peace
    mine = content_of(database, COLLECTION)
    for kind, rows in content.items():
        assert mine[kind] == rows, kind
    assert search(database) == found
    assert [(job.state, job.failed, job.known, job.pending) for job in report.jobs] == [("succeeded", 0, 0, 0)] * len(
        report.jobs
    )
    assert sum(job.documents for job in report.jobs) == len(files)
    assert sum(job.passages for job in report.jobs) == len(content["passages"])


def test_a_document_that_kills_its_worker_is_left_out_and_the_rest_is_learned(
    database: Database, make_crew: Callable[..., Crew], tmp_path: Path
) -> None:
    paths = write_files(tmp_path, 12)
    poison = tmp_path / "00005-poison.txt"
    poison.write_text(f"{DEADLY} words.")
    crew = make_crew()
    assert crew.send(sorted([*paths, poison]), "with-poison").join() is None
    worker = crew.start_worker()

    def is_over() -> bool:
        nonlocal worker
        if worker.exitcode is not None:
            worker = crew.start_worker()
        jobs = read_jobs(database)
        return bool(jobs) and jobs[0].finished_at is not None

    wait_until(is_over, 200)
    (job,) = read_jobs(database)
    assert (job.state, job.documents, job.failed, job.pending) == ("succeeded", 12, 1, 0)
    assert [(failure.name, failure.reason) for failure in job.failures] == [(str(poison), "poison")]
    assert set(content_of(database, COLLECTION)["documents"]) == {str(path) for path in paths}
