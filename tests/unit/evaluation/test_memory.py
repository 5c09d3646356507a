"""Learning is timed by stage: those that pass beside others are told, and the others add up to the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from evaluation.memory import Learning, learn_documents, time_learning
from evaluation.report import tabulate_learning
from ingest.extraction_pool import PooledExtraction
from ingest.pipeline import Learner
from memory_graph.database import Database
from memory_graph.store.jobs import Job
from memory_graph.types import Document
from retrieval.testing import HashEmbedder
from retrieval.views import ViewCache
from tests.unit.factories import CapitalsPool, ParagraphSplitter

LEARNING = Learning(
    passages=1200,
    total_s=20.0,
    seconds={"read": 3.0, "embed": 9.0, "extract": 11.0, "wait": 4.0, "commit": 2.5, "view": 1.5},
)


@pytest.fixture
def learn(database: Database) -> Callable[[], Job]:
    splitters: Any = {"recursive": ParagraphSplitter()}
    learner = Learner(database, HashEmbedder(16), PooledExtraction(CapitalsPool()), splitters)  # type: ignore[arg-type]
    documents = [Document(id="d1", title="Ada", text="Ada Quill likes tea.\n\nShe rows.")]
    return lambda: learn_documents(database, learner, "people", documents, split="recursive")


def test_what_passes_beside_the_others_is_not_added_up() -> None:
    assert LEARNING.in_turn == {"embed": 9.0, "wait": 4.0, "commit": 2.5, "view": 1.5}
    assert LEARNING.other_s == 3.0
    written = json.loads(json.dumps(LEARNING.to_json()))
    assert written == {"passages": 1200, "total_s": 20.0, "seconds": dict(LEARNING.seconds), "other_s": 3.0}


def test_the_job_and_the_view_are_timed(database: Database, learn: Callable[[], Job]) -> None:
    views = ViewCache(database)
    ticks = iter([100.0, 107.0, 109.5])
    learning = time_learning(learn, views, "people", clock=lambda: next(ticks))
    assert views.versions() == {"people": 1}  # it is made, and no search pays for it
    assert (learning.passages, learning.total_s) == (2, 9.5)
    assert learning.seconds.keys() == {"read", "embed", "extract", "wait", "commit", "view"}
    assert learning.seconds["view"] == 2.5


def test_the_stages_that_follow_one_another_take_no_longer_than_the_whole(
    database: Database, learn: Callable[[], Job]
) -> None:
    learning = time_learning(learn, ViewCache(database), "people")
    assert min(learning.seconds.values()) >= 0
    assert 0 < sum(learning.in_turn.values()) <= learning.total_s


def test_the_table_parts_what_is_added_up_from_what_is_not() -> None:
    console = Console(file=StringIO(), width=80)
    console.print(tabulate_learning(LEARNING))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert "Learning 1,200 passages, s by stage" in lines[0]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert [float(spent) for _, spent in cells] == [3.0, 11.0, 9.0, 4.0, 2.5, 1.5, 3.0, 20.0]
    assert cells[0][0].startswith("reading and splitting")
    assert cells[-1][0] == "in all"
