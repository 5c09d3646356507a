"""The rate by tenth of a run shows whether learning slows down."""

from __future__ import annotations

import pytest

from evaluation.ingest_bench import _deciles


def test_the_rate_of_an_even_run_is_the_same_in_every_tenth() -> None:
    seen = [(float(second), 10 * second) for second in range(51)]
    assert _deciles(seen, 500) == pytest.approx([10.0] * 10)


def test_a_run_that_slows_down_shows_it() -> None:
    """Each tenth takes a second longer than the one before."""
    seen, clock = [(0.0, 0)], 0.0
    for tenth in range(1, 11):
        clock += tenth
        seen.append((clock, 100 * tenth))
    assert _deciles(seen, 1000) == pytest.approx([100 / tenth for tenth in range(1, 11)])


def test_tenths_smaller_than_a_commit_are_of_no_rate() -> None:
    rates = _deciles([(0.0, 0), (2.0, 256)], 256)
    assert sum(rates) == pytest.approx(128.0)
    assert rates.count(0.0) == 9
