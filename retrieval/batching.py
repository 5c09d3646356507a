"""Texts of searches that run at the same time are embedded together: what waits is taken whenever a runner is free.

Nothing ever waits for company: alone, a text is embedded at once; under load, what arrived meanwhile is the next batch.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from memory_graph.errors import Abandoned
from retrieval.embedder import Embedder

Vectors = NDArray[np.float32]

_lane: ContextVar[str] = ContextVar("lane", default="")
_abandoned: ContextVar[Event | None] = ContextVar("abandoned", default=None)


@contextmanager
def in_lane(name: str) -> Iterator[None]:
    """Embed what is embedded within in this lane: lanes take turns, so that one which floods delays itself most."""
    token = _lane.set(name)
    try:
        yield
    finally:
        _lane.reset(token)


@contextmanager
def until(abandoned: Event) -> Iterator[None]:
    """Drop what is embedded within, with ``Abandoned``, once this is set and before its batch has begun."""
    token = _abandoned.set(abandoned)
    try:
        yield
    finally:
        _abandoned.reset(token)


@dataclass(frozen=True, kw_only=True)
class BatchParams:
    """How many batches are embedded at once, and of how many texts; a call with more is a batch of its own."""

    runners: int = 1
    texts: int = 32


@dataclass(frozen=True, eq=False)
class _Call:
    texts: Sequence[str]
    abandoned: Event | None
    vectors: Future[Vectors] = field(default_factory=Future)


class BatchingEmbedder:
    """An embedder that joins the calls of many threads; each gets what it would get alone, its errors included."""

    def __init__(self, embedder: Embedder, params: BatchParams | None = None) -> None:
        self.name = embedder.name
        self.batches = 0
        """How many were embedded."""
        self.calls = 0
        """How many calls were in them."""
        self._embedder = embedder
        self._params = params or BatchParams()
        self._lock = Lock()
        self._lanes: OrderedDict[str, deque[_Call]] = OrderedDict()  # none is empty; the first is next
        self._running = 0
        self._pool = ThreadPoolExecutor(self._params.runners, thread_name_prefix="batch")

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._embedder.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a text: float32 of shape (len(texts), dim).

        Errors: those of the embedder; ``Abandoned`` where nobody waits for it any more (``until``).
        """
        if not texts:
            return self._embedder.encode(texts)
        call = _Call(texts, _abandoned.get())
        with self._lock:
            self._lanes.setdefault(_lane.get(), deque()).append(call)
            starts = self._running < self._params.runners
            self._running += starts
        if starts:
            self._pool.submit(self._run)
        return call.vectors.result()

    def _run(self) -> None:
        while calls := self._take():
            living = []
            for call in calls:
                if call.abandoned is not None and call.abandoned.is_set():
                    call.vectors.set_exception(Abandoned("nobody waits for this search any more"))
                else:
                    living.append(call)
            if living:
                self._encode(living)

    def _take(self) -> list[_Call]:
        """Take the next calls, from each lane in turn, as many as fit; none where nothing waits: the runner ends."""
        taken: list[_Call] = []
        room = self._params.texts
        with self._lock:
            while self._lanes:
                name, lane = next(iter(self._lanes.items()))
                if taken and len(lane[0].texts) > room:
                    break
                taken.append(lane.popleft())
                room -= len(taken[-1].texts)
                self._lanes.move_to_end(name)
                if not lane:
                    del self._lanes[name]
            self._running -= not taken
        return taken

    def _encode(self, calls: Sequence[_Call]) -> None:
        self.batches += 1
        self.calls += len(calls)
        texts = list(dict.fromkeys(text for call in calls for text in call.texts))
        try:
            vectors = self._embedder.encode(texts)
        except Exception as error:  # noqa: BLE001 - raised where it was caused: in the one call that fails alone too
            if len(calls) == 1:
                calls[0].vectors.set_exception(error)
                return
            for call in calls:
                self._encode([call])
            return
        row_of = {text: row for row, text in enumerate(texts)}
        for call in calls:
            call.vectors.set_result(vectors[[row_of[text] for text in call.texts]])
