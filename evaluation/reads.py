"""Whether a memory can be read while it learns: searches that go on beside a commit, and what came of each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle, product
from threading import Event, Thread
from typing import Any, Literal, TypeAlias

from evaluation.datasets import Question
from evaluation.metrics import find_median_and_p95
from evaluation.searches import Search

Outcome: TypeAlias = Literal["answered", "failed", "empty", "short"]


@dataclass(frozen=True, kw_only=True)
class Read:
    """One search beside a commit: the documents of its passages, best first, or the error that it ended with.

    ``expected`` is how many passages it had to return: as many as asked for, or all that were known before the commit.
    """

    way: str
    question: Question
    expected: int
    ms: float
    documents: Sequence[str] = ()
    error: str | None = None

    @property
    def outcome(self) -> Outcome:
        """What came of it; ``answered`` is a full answer."""
        if self.error is not None:
            return "failed"
        if not self.documents:
            return "empty"
        return "answered" if len(self.documents) >= self.expected else "short"


@dataclass(frozen=True, kw_only=True)
class Availability:
    """The reads beside one commit, by what came of them; ``answered`` of ``reads`` is the availability.

    ``dips`` are the answered reads that found fewer gold documents than the same search did right before the commit
    and right after it. Times are in milliseconds, of all reads, None without any.
    """

    reads: int
    answered: int
    failed: int
    empty: int
    short: int
    dips: int
    ms_median: float | None
    ms_p95: float | None
    ms_max: float | None
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """Answered of all reads, None without any."""
        return self.answered / self.reads if self.reads else None

    def to_json(self) -> dict[str, Any]:
        """Return the counts as what ``json.dumps`` takes."""
        return {"availability": self.share, **asdict(self)}


@contextmanager
def keep_reading(
    searches: Mapping[str, Search],
    questions: Sequence[Question],
    *,
    top_k: int,
    expected: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[list[Read]]:
    """Search in a thread while the block runs, one question after the other and in each way in turn.

    Yields the list that the reads go to. After the block each way is searched once more, so that the first read that
    meets what the block committed is always among them. Without questions nothing is read.
    """
    reads: list[Read] = []
    if not questions:
        yield reads
        return
    stop = Event()
    turns = cycle(product(questions, searches))

    def read(question: Question, way: str) -> None:
        reads.append(_read(searches[way], way, question, top_k, expected, clock))

    def run() -> None:
        while not stop.is_set():
            read(*next(turns))
        for way in searches:
            read(next(turns)[0], way)

    thread = Thread(target=run, name="reads", daemon=True)
    thread.start()
    try:
        yield reads
    finally:
        stop.set()
        thread.join()


def count_reads(reads: Sequence[Read], before: Mapping[str, int], after: Mapping[str, int]) -> Availability:
    """Count the reads in one way; ``before`` and ``after`` are the gold documents found by question id."""
    outcomes = Counter(read.outcome for read in reads)
    times = [read.ms for read in reads]
    median, p95 = find_median_and_p95(times) if times else (None, None)
    return Availability(
        reads=len(reads),
        answered=outcomes["answered"],
        failed=outcomes["failed"],
        empty=outcomes["empty"],
        short=outcomes["short"],
        dips=sum(
            count_gold(read.question, read.documents) < min(before[read.question.id], after[read.question.id])
            for read in reads
            if read.outcome == "answered"
        ),
        ms_median=median,
        ms_p95=p95,
        ms_max=max(times, default=None),
        errors=dict(Counter(read.error for read in reads if read.error is not None).most_common()),
    )


def count_gold(question: Question, documents: Sequence[str]) -> int:
    """Count the question's gold documents among those found."""
    return len(set(question.gold_ids).intersection(documents))


def _read(search: Search, way: str, question: Question, top_k: int, expected: int, clock: Callable[[], float]) -> Read:
    documents: Sequence[str] = ()
    error = None
    start = clock()
    try:
        documents = search(question.question, top_k).documents
    except Exception as fault:  # noqa: BLE001 - a read that fails, in whatever way, is what is counted here
        error = f"{type(fault).__name__}: {fault}"
    ms = (clock() - start) * 1000
    return Read(way=way, question=question, expected=expected, ms=ms, documents=documents, error=error)
