"""Texts that arrive together are embedded together, and nobody notices but the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from threading import Event, Semaphore

import numpy as np
import pytest

from memory_graph.database import Database
from memory_graph.errors import Abandoned, InvalidInput, NotFound
from retrieval.batching import BatchingEmbedder, BatchParams, Vectors, in_lane, until
from retrieval.embedder import Embedder
from retrieval.search import Searcher, SearchRequest
from retrieval.testing import HashEmbedder
from retrieval.views import ViewCache
from tests.unit.factories import EMBEDDER, commit_documents, learn_document, new_collection
from tests.unit.rankers import plain_ranker

PATIENCE_S = 30.0


class HeldEmbedder(HashEmbedder):
    """Embeds a batch when it is let: ``begun`` counts those that wait, ``seen`` holds the texts of each."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let = Semaphore(0), Semaphore(0)
        self.seen: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.seen.append(list(texts))
        self.begun.release()
        assert self.let.acquire(timeout=PATIENCE_S)
        if "poison" in texts:
            raise ValueError("poison cannot be embedded")
        return super().encode(texts)


class Queue(BatchingEmbedder):
    """Tells when a call has been queued."""

    def __init__(self, embedder: Embedder, params: BatchParams) -> None:
        super().__init__(embedder, params)
        self.threads = ThreadPoolExecutor(32)

    def waiting(self) -> int:
        with self._lock:
            return sum(len(lane) for lane in self._lanes.values())

    def start(self, texts: Sequence[str], lane: str = "") -> Future[Vectors]:
        """Call ``encode`` in a thread, and return when its texts wait."""
        before = self.waiting()

        def call() -> Vectors:
            with in_lane(lane):
                return self.encode(texts)

        # A context of its own, as a server gives each of its requests.
        found = self.threads.submit(copy_context().run, call)
        pause = Event()
        while self.waiting() == before and not found.done():
            pause.wait(0.001)
        return found


@pytest.fixture
def held() -> HeldEmbedder:
    return HeldEmbedder()


@pytest.fixture
def queue(held: HeldEmbedder) -> Queue:
    return Queue(held, BatchParams(runners=1, texts=4))


def _occupy(queue: Queue, held: HeldEmbedder) -> Future[Vectors]:
    """Keep the runner busy, so that what comes next waits."""
    first = queue.threads.submit(queue.encode, ["first"])
    assert held.begun.acquire(timeout=PATIENCE_S)
    return first


def _let(held: HeldEmbedder, batches: int = 100) -> None:
    held.let.release(batches)


def test_what_waits_is_embedded_together_and_each_gets_its_own(queue: Queue, held: HeldEmbedder) -> None:
    first = _occupy(queue, held)
    texts = [["ada"], ["bram", "old mill"], ["ada"]]
    found = [queue.start(some) for some in texts]
    _let(held)
    assert held.seen[0] == ["first"]
    for some, vectors in zip([["first"], *texts], [first, *found], strict=True):
        assert np.array_equal(vectors.result(PATIENCE_S), HashEmbedder().encode(some))
    assert held.seen == [["first"], ["ada", "bram", "old mill"]]  # the same text once
    assert (queue.batches, queue.calls) == (2, 4)


def test_a_lone_call_waits_for_nobody(held: HeldEmbedder) -> None:
    _let(held)
    queue = BatchingEmbedder(held)
    assert queue.encode(["ada"]).shape == (1, queue.dim)
    assert queue.encode([]).shape == (0, queue.dim)


def test_a_batch_holds_no_more_than_fits_and_a_larger_call_goes_alone(queue: Queue, held: HeldEmbedder) -> None:
    _occupy(queue, held)
    found = [queue.start([f"{call} {n}" for n in range(size)]) for call, size in enumerate((3, 2, 9, 1))]
    _let(held)
    assert [len(one.result(PATIENCE_S)) for one in found] == [3, 2, 9, 1]
    assert [len(texts) for texts in held.seen] == [1, 3, 2, 9, 1]


def test_the_error_of_one_is_not_shared(queue: Queue, held: HeldEmbedder) -> None:
    _occupy(queue, held)
    good, bad = queue.start(["ada"]), queue.start(["poison"])
    _let(held)
    assert np.array_equal(good.result(PATIENCE_S), HashEmbedder().encode(["ada"]))
    with pytest.raises(ValueError, match="poison cannot be embedded"):
        bad.result(PATIENCE_S)
    assert np.array_equal(queue.encode(["ada"]), HashEmbedder().encode(["ada"]))  # the runner lives on


def test_what_nobody_waits_for_is_dropped(queue: Queue, held: HeldEmbedder) -> None:
    _occupy(queue, held)
    gone, there = Event(), Event()
    with until(gone):
        left = queue.start(["left"])
    with until(there):
        stays = queue.start(["stays"])
    gone.set()
    _let(held)
    with pytest.raises(Abandoned):
        left.result(PATIENCE_S)
    assert len(stays.result(PATIENCE_S)) == 1
    assert held.seen == [["first"], ["stays"]]


def test_lanes_take_turns(queue: Queue, held: HeldEmbedder) -> None:
    _occupy(queue, held)
    flood = [queue.start([f"flood {n}"], "flood") for n in range(8)]
    other = queue.start(["other"], "other")
    _let(held)
    for one in (*flood, other):
        one.result(PATIENCE_S)
    assert held.seen[1] == ["flood 0", "other", "flood 1", "flood 2"]


@pytest.fixture
def make(database: Database) -> Callable[[Embedder], Searcher]:
    documents = [
        learn_document("ada", "Ada Quill painted the harbour."),
        learn_document("mill", "Ada Quill slept at the Old Mill."),
        learn_document("bram", "Bram Oster owned the Old Mill."),
        learn_document("rain", "it rained for a week"),
    ]
    commit_documents(database, new_collection(database).id, *documents)
    return lambda embedder: Searcher(database, ViewCache(database), embedder, ranker=plain_ranker())


REQUESTS = [
    SearchRequest(query="Who owned the mill where Ada Quill slept?", top_k=3),
    SearchRequest(query="When did it rain?", mode="dense", top_k=2),
    SearchRequest(query="Bram Oster", mode="hybrid"),
    SearchRequest(query="Who owned the mill where Ada Quill slept?", top_k=1),
]


def test_many_searches_find_what_each_finds_alone(make: Callable[[Embedder], Searcher]) -> None:
    alone = [make(EMBEDDER).search("memory", request) for request in REQUESTS]
    together = make(BatchingEmbedder(EMBEDDER)).search_many("memory", REQUESTS)
    assert [one.hits for one in together] == [one.hits for one in alone]
    assert [one.version for one in together] == [one.version for one in alone]


def test_the_error_of_one_search_of_many_is_raised(make: Callable[[Embedder], Searcher]) -> None:
    searcher = make(EMBEDDER)
    wrong = SearchRequest(query="Ada", mode="dense", rerank="chain")
    with pytest.raises(InvalidInput, match="chain needs mode graph"):
        searcher.search_many("memory", [*REQUESTS, wrong])
    with pytest.raises(NotFound):
        searcher.search_many("nowhere", REQUESTS)
    assert searcher.search_many("memory", []) == []


def test_searches_of_many_are_dropped_with_the_call(make: Callable[[Embedder], Searcher]) -> None:
    gone = Event()
    gone.set()
    with until(gone), pytest.raises(Abandoned):
        make(BatchingEmbedder(EMBEDDER)).search_many("memory", REQUESTS)
