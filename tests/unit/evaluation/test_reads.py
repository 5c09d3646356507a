"""Reads beside a commit are counted for what they were."""

from __future__ import annotations

from itertools import count
from threading import Event

import pytest

from evaluation.datasets import Question
from evaluation.reads import Availability, Read, count_reads, keep_reading
from evaluation.searches import Found
from memory_graph.errors import StoreBusy
from tests.unit.factories import wait_until

ONE = Question("one", "Who?", ("Ada",), ("a", "b"))
TWO = Question("two", "Where?", ("Dunmore",), ("c",))


def read(*documents: str, question: Question = ONE, error: str | None = None, ms: float = 1.0) -> Read:
    return Read(way="graph", question=question, expected=3, ms=ms, documents=documents, error=error)


def test_every_outcome_is_counted_once() -> None:
    reads = [
        read("a", "b", "x", ms=4.0),
        read("a", "x", "y", ms=1.0),
        read("x", "y", "z", question=TWO, ms=2.0),
        read(),
        read("a", "b"),
        read(error="StoreBusy: wait"),
        read(error="StoreBusy: wait"),
        read(error="IndexError: 7", ms=9.0),
    ]
    counted = count_reads(reads, before={"one": 2, "two": 1}, after={"one": 2, "two": 0})
    assert counted == Availability(
        reads=8,
        answered=3,
        failed=3,
        empty=1,
        short=1,
        dips=1,  # "one" lost b; "two" lost c before the commit was over, and never found it again
        ms_median=1.0,
        ms_p95=pytest.approx(7.25),
        ms_max=9.0,
        errors={"StoreBusy: wait": 2, "IndexError: 7": 1},
    )
    assert counted.share == 3 / 8
    assert counted.to_json()["availability"] == 3 / 8


def test_no_read_is_no_availability() -> None:
    counted = count_reads([], {}, {})
    assert (counted.share, counted.ms_median, counted.ms_max, counted.reads) == (None, None, None, 0)


def test_reads_go_on_while_the_block_runs_and_once_more_after_it() -> None:
    committed = Event()
    asked: list[tuple[str, str, int, bool]] = []

    def search(mode: str, query: str, k: int) -> Found:
        asked.append((mode, query, k, committed.is_set()))
        return Found(["a", "b", "c"])

    searches = {mode: lambda query, k, mode=mode: search(mode, query, k) for mode in ("dense", "graph")}
    with keep_reading(searches, [ONE, TWO], top_k=5, expected=3, clock=map(float, count()).__next__) as reads:
        wait_until(lambda: len(asked) >= 9)
        committed.set()
    assert [one[:3] for one in asked[:4]] == [
        ("dense", "Who?", 5),
        ("graph", "Who?", 5),
        ("dense", "Where?", 5),
        ("graph", "Where?", 5),
    ]
    assert [(mode, after) for mode, _, _, after in asked[-2:]] == [("dense", True), ("graph", True)]
    assert [(one.way, one.question.question) for one in reads] == [one[:2] for one in asked]
    assert all(one.outcome == "answered" and one.ms == 1000.0 for one in reads)


def test_a_read_that_fails_is_a_failed_read_and_the_next_goes_on() -> None:
    replies = iter([StoreBusy("locked"), IndexError("of a bug"), [], ["a"], ["a", "b", "c"]])

    def search(query: str, k: int) -> Found:
        reply = next(replies, ["a", "b", "c"])
        if isinstance(reply, Exception):
            raise reply
        return Found(reply)

    with keep_reading({"graph": search}, [ONE], top_k=10, expected=3) as reads:
        wait_until(lambda: len(reads) >= 5)
    assert [one.outcome for one in reads[:5]] == ["failed", "failed", "empty", "short", "answered"]
    assert [one.error for one in reads[:2]] == ["StoreBusy: locked", "IndexError: of a bug"]


def test_nothing_known_is_nothing_read() -> None:
    def search(query: str, k: int) -> Found:
        raise AssertionError("was asked")

    with keep_reading({"graph": search}, [], top_k=10, expected=0) as reads:
        pass
    assert reads == []


def test_the_reads_end_with_a_block_that_fails() -> None:
    asked = []

    def search(query: str, k: int) -> Found:
        asked.append(query)
        return Found(["a"])

    def learn() -> None:
        with keep_reading({"graph": search}, [ONE], top_k=1, expected=1):
            raise StoreBusy("locked")

    with pytest.raises(StoreBusy):
        learn()
    behind = len(asked)
    assert behind >= 1
    assert asked == ["Who?"] * behind
