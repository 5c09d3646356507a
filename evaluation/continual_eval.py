"""A question set that is learned in several commits, evaluated after each of them and read during all of them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from evaluation.continual import score_commit
from evaluation.continual_report import ContinualReport, Part, WayReport
from evaluation.datasets import Dataset, Question
from evaluation.memory import RememberingEmbedder, learn_documents, learn_more
from evaluation.metrics import Estimate, estimate_mean, recall_at_k
from evaluation.reads import Availability, Read, count_gold, count_reads, keep_reading
from evaluation.searches import Search, rank_documents, search_in
from ingest.jobs import document_items
from ingest.pipeline import Learner
from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from memory_graph.store.collections import create_collection, get_collection
from memory_graph.store.jobs import Job
from memory_graph.store.reading import passage_names
from memory_graph.types import Document
from retrieval.content import canonical, find_differences
from retrieval.embedder import Embedder
from retrieval.graph_search import GraphParams
from retrieval.search import Searcher, SearchRequest
from retrieval.view import View
from retrieval.views import ViewCache

GROWN, AT_ONCE = "grown", "at-once"


@dataclass(frozen=True, kw_only=True)
class ContinualParams:
    """``commits`` parts; recall at each of ``ks``; windows in evaluations; ``seed`` orders the questions of reads."""

    commits: int = 10
    ks: Sequence[int] = (2, 5, 10)
    windows: Sequence[int] = (2, 10)
    seed: int = 0

    @property
    def top_k(self) -> int:
        """How many passages a search asks for."""
        return max(self.ks)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An empty memory and what learns and searches it; ``learner`` embeds with ``remembering``."""

    database: Database
    views: ViewCache
    embedder: Embedder
    remembering: RememberingEmbedder
    learner: Learner


class Way(Protocol):
    """A way of searching: what is asked for, and with which parameters."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def request(self, query: str, top_k: int) -> SearchRequest:
        """Return the request for the ``top_k`` passages."""
        ...

    def params(self) -> GraphParams:
        """Return how the graph is walked."""
        ...


class Progress(Protocol):
    """Is told what is being done, and how many steps of how many are behind."""

    def __call__(self, what: str, done: int, total: int, /) -> None: ...


def part_documents(documents: Sequence[Document], commits: int) -> list[Sequence[Document]]:
    """Cut the documents into parts that follow each other, whose sizes differ by one at most.

    Errors: ``InvalidInput`` for fewer than two parts, or more than there are documents.
    """
    if not 2 <= commits <= len(documents):
        raise InvalidInput("commits", f"must be from 2 to {len(documents)}, the number of documents.")
    ends = [len(documents) * part // commits for part in range(commits + 1)]
    return [documents[start:end] for start, end in pairwise(ends)]


def part_questions(questions: Sequence[Question], parts: Sequence[Sequence[Document]]) -> list[list[Question]]:
    """Give each question to the part with which all its gold documents are there; those without gold are left out."""
    part_of = {document.id: number for number, part in enumerate(parts) for document in part}
    found: list[list[Question]] = [[] for _ in parts]
    for question in questions:
        if question.gold_ids:
            found[max(part_of[gold] for gold in question.gold_ids)].append(question)
    return found


def evaluate_continual(
    dataset: Dataset,
    subject: Subject,
    ways: Sequence[Way],
    params: ContinualParams,
    *,
    order: str = "file",
    progress: Progress = lambda what, done, total: None,
) -> ContinualReport:
    """Learn the documents in their order, part by part; then all at once into another memory, to compare.

    After each commit all questions are asked whose gold documents are all there. While a part is learned, a thread
    asks those that were known before. Errors: ``InvalidInput`` for ``params`` that do not fit the set.
    """
    parts = part_documents(dataset.documents, params.commits)
    asked = part_questions(dataset.questions, parts)
    if not any(asked):
        raise InvalidInput("questions", f"none of {dataset.name!r} names a gold document: retrieval cannot be scored.")
    runs = [_Run(subject, way, asked, params) for way in ways]
    with subject.database.write() as connection:
        collection_id = create_collection(connection, GROWN).id
    learned: list[Part] = []
    reached = 0
    steps = len(ways) * sum(len(some) * (len(asked) - part) for part, some in enumerate(asked)) + len(parts) + 1
    done = 0
    for number, documents in enumerate(parts):
        progress(f"Learning part {number + 1} of {len(parts)}", done, steps)
        before = sum(part.passages for part in learned)
        known = [question for some in asked[:number] for question in some]
        random.Random(f"{params.seed} {number}").shuffle(known)
        searches: dict[str, Search] = {run.name: run.read for run in runs}
        start = time.perf_counter()
        version = reached
        with keep_reading(searches, known, top_k=params.top_k, expected=min(params.top_k, before)) as reads:
            job = learn_more(
                subject.database, subject.learner, collection_id, document_items(documents), split=dataset.split
            )
            seconds = time.perf_counter() - start
        reached = _version(subject.database)
        learned.append(_part(job, len(asked[number]), reached - version, seconds))
        done += 1
        for run in runs:
            progress(f"Asking after commit {number + 1} of {len(parts)}, {run.name}", done, steps)
            run.evaluate(number, reached)
            run.count(number, [read for read in reads if read.way == run.name])
            done += sum(len(some) for some in asked[: number + 1])
    progress("Learning all at once", done, steps)
    grown = subject.views.current(GROWN, min_version=reached)[1]
    fresh = _learn_at_once(dataset, subject)
    report = ContinualReport(
        dataset=dataset.name,
        order=order,
        seed=params.seed,
        windows=params.windows,
        parts=learned,
        ways=[run.report() for run in runs],
        differences=find_differences(_content(subject.database, GROWN, grown), fresh),
    )
    progress("Done", steps, steps)
    return report


class _Run:
    """One way of searching while the evaluation goes on."""

    def __init__(
        self, subject: Subject, way: Way, asked: Sequence[Sequence[Question]], params: ContinualParams
    ) -> None:
        self.name = way.name
        self._way = way
        self._params = params
        self._asked = asked
        self._repeating = Searcher(subject.database, subject.views, subject.remembering, way.params())
        self.read = _search(Searcher(subject.database, subject.views, subject.embedder, way.params()), GROWN, way)
        self._scores = {k: np.full((len(asked), len(asked)), np.nan) for k in sorted(set(params.ks))}
        self._pooled: dict[int, list[Estimate | None]] = {k: [] for k in self._scores}
        self._found: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._rankings: dict[str, list[str]] = {}
        self._reads: list[Availability] = []

    def evaluate(self, commit: int, version: int) -> None:
        """Ask the questions of all parts up to ``commit``, of what the memory holds at ``version``."""
        ask = _search(self._repeating, GROWN, self._way, min_version=version)
        self._before, self._found = self._found, {}
        recalls: dict[int, list[float]] = {k: [] for k in self._scores}
        for part, questions in enumerate(self._asked[: commit + 1]):
            for question in questions:
                self._rankings[question.id], passages = self._rank(ask, question)
                self._found[question.id] = count_gold(question, passages)
            for k, scores in self._scores.items():
                values = [recall_at_k(one.gold_ids, self._rankings[one.id], k) for one in questions]
                recalls[k] += values
                if values:
                    scores[part, commit] = np.mean(values)
        for k, found in recalls.items():
            self._pooled[k].append(estimate_mean(found))

    def count(self, commit: int, reads: Sequence[Read]) -> None:
        """Count the reads beside ``commit``, once the questions were asked after it."""
        self._reads.append(count_reads(reads, self._before, self._found))

    def report(self) -> WayReport:
        """Ask all questions of the memory that learned all at once, and report."""
        questions = [question for part in self._asked for question in part]
        ask = _search(self._repeating, AT_ONCE, self._way)
        rankings = {question.id: self._rank(ask, question)[0] for question in questions}
        return WayReport(
            way=self.name,
            scores=self._scores,
            pooled=self._pooled,
            metrics={
                k: [score_commit(scores, n, self._params.windows) for n in range(len(self._asked))]
                for k, scores in self._scores.items()
            },
            reads=self._reads,
            at_once={
                k: estimate_mean([recall_at_k(one.gold_ids, rankings[one.id], k) for one in questions])
                for k in self._scores
            },
            ranked_differently=sum(rankings[id] != self._rankings[id] for id in rankings),
        )

    def _rank(self, search: Search, question: Question) -> tuple[list[str], Sequence[str]]:
        """Return the first documents, each once at its best rank, and those of the passages that a read returns."""
        count = self._params.top_k
        first = search(question.question, count)
        return rank_documents(search, question.question, count, first), first.documents


def _search(searcher: Searcher, collection: str, way: Way, *, min_version: int = 0) -> Search:
    return search_in(searcher, collection, lambda query, k: replace(way.request(query, k), min_version=min_version))


def _learn_at_once(dataset: Dataset, subject: Subject) -> dict[str, Any]:
    """Learn all documents in one job, in the order of their ids, and return the content of a view made from nothing."""
    documents = sorted(dataset.documents, key=lambda document: document.id)
    learn_documents(subject.database, subject.learner, AT_ONCE, documents, split=dataset.split)
    return _content(subject.database, AT_ONCE, ViewCache(subject.database).current(AT_ONCE)[1])


def _content(database: Database, collection: str, view: View) -> dict[str, Any]:
    with database.read() as connection:
        names = passage_names(connection, get_collection(connection, collection).id)
    return canonical(view, names)


def _version(database: Database) -> int:
    with database.read() as connection:
        return get_collection(connection, GROWN).version


def _part(job: Job, questions: int, versions: int, seconds: float) -> Part:
    return Part(
        documents=job.documents,
        passages=job.passages,
        questions=questions,
        versions=versions,
        failed=job.failed,
        seconds=seconds,
    )
