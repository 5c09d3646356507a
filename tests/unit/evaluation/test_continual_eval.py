"""A set learned in parts: which question is asked when, what is scored, and what is compared at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.continual_eval import (
    AT_ONCE,
    GROWN,
    ContinualParams,
    Subject,
    evaluate_continual,
    part_documents,
    part_questions,
)
from evaluation.continual_report import ContinualReport
from evaluation.datasets import Dataset, Question
from evaluation.memory import RememberingEmbedder
from ingest.extraction_pool import PooledExtraction
from ingest.pipeline import Learner, PipelineParams
from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from memory_graph.types import Document
from memory_graph.walk import WalkParams
from retrieval.graph_search import GraphParams
from retrieval.search import Mode, SearchRequest
from retrieval.testing import HashEmbedder
from retrieval.view import View
from retrieval.views import ViewCache
from tests.unit.factories import CapitalsPool, ParagraphSplitter, content_of

PEOPLE = ("Ada Quill", "Bram Oster", "Cora Finch", "Dora Lunt", "Emil Voss", "Fay Marsh", "Gus Thorn", "Hana Reed")
DOCUMENTS = tuple(
    Document(id=f"d{number}", title=name, text=f"{name} likes {PEOPLE[number - 1]}.\n\nHere lives {name} by the lake.")
    for number, name in enumerate(PEOPLE)
)


def ask(id: str, question: str, *gold: str) -> Question:
    return Question(id, question, ("yes",), gold)


QUESTIONS = (
    ask("q-late", "Who likes Ada Quill?", "d0", "d6"),
    ask("q-first", "Where does Ada Quill live?", "d0"),
    ask("q-both", "Whom do Cora Finch and Bram Oster like?", "d2", "d1"),
    Question("q-none", "Who is unknown?", (), ()),
    ask("q-last", "Where does Hana Reed live?", "d7"),
)


@dataclass(frozen=True)
class ModeWay:
    """Searches in one mode, and walks exactly."""

    name: Mode

    def request(self, query: str, top_k: int) -> SearchRequest:
        return SearchRequest(query=query, top_k=top_k, mode=self.name)

    def params(self) -> GraphParams:
        return GraphParams(walk=WalkParams(mode="exact"))


WAYS = [ModeWay("dense"), ModeWay("graph")]
DATASET = Dataset(name="people", documents=DOCUMENTS, questions=QUESTIONS, split="recursive")


class LooseEmbedder(HashEmbedder):
    """Gives a text another third decimal in every call, as bfloat16 does from batch to batch."""

    def __init__(self) -> None:
        super().__init__(32)
        self.calls = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        return super().encode(texts) + np.float32(0.001 * self.calls)


class ForgetfulPool(CapitalsPool):
    """Finds no names from some text on, so that what is found depends on when it was learned."""

    def collect(self, texts: Sequence[str], future: Any) -> Any:
        found, seconds = super().collect(texts, future)
        return [one if len(texts) < 10 else replace(one, mentions=()) for one in found], seconds


class LateViews(ViewCache):
    """Shows what it showed before wherever no version is asked for, as while much that is new is taken in."""

    def current(self, name: str, *, min_version: int = 0, patience_s: float = 10.0) -> tuple[int, View]:
        if not hasattr(self, "shown"):
            self.shown: dict[str, tuple[int, View]] = {}
        if name not in self.shown or min_version:
            self.shown[name] = super().current(name, min_version=min_version, patience_s=patience_s)
        return self.shown[name]


def make_subject(
    database: Database,
    embedder: HashEmbedder,
    pool: CapitalsPool | None = None,
    views: Callable[[Database], ViewCache] = ViewCache,
) -> Subject:
    remembering = RememberingEmbedder(embedder)
    splitters: Any = {"recursive": ParagraphSplitter()}
    params = PipelineParams(batch_passages=1_000)
    return Subject(
        database=database,
        views=views(database),
        embedder=embedder,
        remembering=remembering,
        learner=Learner(database, remembering, PooledExtraction(pool or CapitalsPool()), splitters, params=params),  # type: ignore[arg-type]
    )


def evaluate(subject: Subject, **changes: Any) -> ContinualReport:
    params = ContinualParams(**{"commits": 4, "ks": (1, 2, 4), "windows": (2,), **changes})
    return evaluate_continual(DATASET, subject, WAYS, params)


def test_parts_follow_each_other_and_differ_by_one_at_most() -> None:
    parts = part_documents(DOCUMENTS, 3)
    assert [document for part in parts for document in part] == list(DOCUMENTS)
    assert sorted(map(len, parts)) == [2, 3, 3]
    assert [len(part) for part in part_documents(DOCUMENTS, 8)] == [1] * 8


@pytest.mark.parametrize("commits", [-1, 0, 1, 9])
def test_a_number_of_commits_that_does_not_fit_is_refused(commits: int) -> None:
    with pytest.raises(InvalidInput, match="commits: must be from 2 to 8"):
        part_documents(DOCUMENTS, commits)


def test_a_question_belongs_to_the_part_that_completes_its_gold() -> None:
    found = part_questions(QUESTIONS, part_documents(DOCUMENTS, 4))
    assert [[question.id for question in part] for part in found] == [["q-first"], ["q-both"], [], ["q-late", "q-last"]]


def test_a_set_without_gold_is_refused(database: Database) -> None:
    blind = replace(DATASET, questions=(QUESTIONS[3],))
    with pytest.raises(InvalidInput, match="'people' names a gold document"):
        evaluate_continual(blind, make_subject(database, HashEmbedder(32)), WAYS, ContinualParams(commits=2))


def test_each_commit_is_evaluated_and_read(database: Database) -> None:
    subject = make_subject(database, HashEmbedder(32))
    steps: list[tuple[str, int, int]] = []
    params = ContinualParams(commits=4, ks=(1, 2, 4), windows=(2,))
    report = evaluate_continual(DATASET, subject, WAYS, params, progress=lambda *step: steps.append(step))
    assert [(part.documents, part.passages, part.questions, part.versions) for part in report.parts] == [
        (2, 4, 1, 1),
        (2, 4, 1, 1),
        (2, 4, 0, 1),
        (2, 4, 2, 1),
    ]
    assert all(part.failed == 0 for part in report.parts)
    for way in report.ways:
        scores = way.scores[4]
        asked = ~np.isnan(scores)
        assert asked.tolist() == [
            [True, True, True, True],
            [False, True, True, True],
            [False] * 4,
            [False, False, False, True],
        ]
        assert [estimate and estimate.n for estimate in way.pooled[1]] == [1, 2, 2, 4]
        # Over two questions of the last part and one of each other: the pooled mean is that of the questions.
        last = way.pooled[2][3]
        assert last is not None
        assert last.mean == pytest.approx((way.scores[2][[0, 1, 3], 3] * [1, 1, 2]).sum() / 4)
        assert way.scores[1][0, 0] == 1.0  # of two documents, the one with the name
        assert [one.reads > 0 for one in way.reads] == [False, True, True, True]
        for one in way.reads[1:]:
            assert (one.answered, one.failed, one.empty, one.short, one.dips) == (one.reads, 0, 0, 0, 0)
            assert one.share == 1.0
        assert way.metrics[4][0].forgetting is None
        assert way.metrics[4][3].average == pytest.approx(np.nanmean(scores[:, 3]))
        final = way.at_once[4]
        assert final is not None
        assert final.n == 4
    assert steps[-1] == ("Done", steps[-1][2], steps[-1][2])
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    json.dumps(report.to_json(), allow_nan=False)


def test_the_memory_is_what_learning_at_once_makes(database: Database) -> None:
    """Although the embedder never gives a text the same vector again."""
    subject = make_subject(database, LooseEmbedder())
    report = evaluate(subject)
    assert report.differences == []
    assert report.equal
    assert content_of(database, GROWN) == content_of(database, AT_ONCE)
    assert [way.ranked_differently for way in report.ways] == [0, 0]
    for way in report.ways:
        assert way.at_once == {k: found[-1] for k, found in way.pooled.items()}


def test_what_a_commit_taught_is_asked_of_a_view_that_has_it(database: Database) -> None:
    report = evaluate(make_subject(database, HashEmbedder(32), views=LateViews))
    assert report.equal
    for way in report.ways:
        assert way.scores[1][0, 0] == 1.0
        assert way.pooled[4][-1] == way.at_once[4]
        assert [one.share for one in way.reads] == [None, 1.0, 1.0, 1.0]


def test_another_memory_is_told(database: Database) -> None:
    report = evaluate(make_subject(database, HashEmbedder(32), ForgetfulPool()))
    assert not report.equal
    assert any(line.startswith("mentions: ") and "only in the first" in line for line in report.differences)
    assert report.to_json()["state"]["equal"] is False


def test_a_text_is_embedded_once() -> None:
    embedder = RememberingEmbedder(LooseEmbedder())
    first = embedder.encode(["a", "b", "a"])
    again = embedder.encode(["c", "b", "a"])
    assert first.shape == (3, 32)
    assert (first[[0, 0, 1]] == [first[2], again[2], again[1]]).all()
    assert embedder.encode([]).shape == (0, 32)
    assert (embedder.name, embedder.dim) == ("hash-32", 32)
