"""Which passages a name is the title of, whatever their history, beside a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.titles import Titles

HASHES = st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1])


def hashes(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def check(titles: Titles, expected: list[int], wanted: list[int]) -> None:
    places, rows = titles.find(hashes(wanted))
    found = sorted(zip(places.tolist(), rows.tolist(), strict=True))
    assert found == [
        (place, row) for place, name in enumerate(wanted) for row, own in enumerate(expected) if own == name
    ]
    assert titles.names.rows.tolist() == expected


@st.composite
def moves(draw: st.DrawFn) -> list[tuple[list[int], bool]]:
    return draw(st.lists(st.tuples(st.lists(HASHES, max_size=6), st.booleans()), min_size=1, max_size=5))


@settings(max_examples=200, deadline=None)
@given(moves(), st.lists(HASHES.filter(bool), unique=True, max_size=5), st.randoms(use_true_random=False))
def test_titles_are_those_of_a_dictionary(history: list[tuple[list[int], bool]], wanted: list[int], chance) -> None:
    titles, expected = Titles.of(hashes([])), list[int]()
    older: list[tuple[Titles, list[int]]] = []
    for came, compact in history:
        titles, expected = titles.extended(hashes(came)), expected + came
        if compact:
            alive = np.array([chance.random() < 0.6 for _ in expected], dtype=bool)
            titles = titles.compacted(alive)
            expected = [name for name, one in zip(expected, alive, strict=True) if one]
            check(Titles.from_arrays(titles.to_arrays()), expected, wanted)
        older.append((titles, expected))
    for version, known in older:  # the later ones have not changed the earlier
        check(version, known, wanted)


def test_two_versions_go_on_from_one() -> None:
    first = Titles.of(hashes([5, 0])).extended(hashes([6]))
    here, there = first.extended(hashes([7])), first.extended(hashes([8, 5]))
    check(here, [5, 0, 6, 7], [5, 7, 8])
    check(there, [5, 0, 6, 8, 5], [5, 7, 8])
    check(first, [5, 0, 6], [5, 7, 8])


def test_only_settled_titles_can_be_saved() -> None:
    titles = Titles.of(hashes([1])).extended(hashes([2]))
    with pytest.raises(ValueError, match="compacted"):
        titles.to_arrays()
    small = titles.compacted(np.ones(2, dtype=bool))
    assert small.nbytes == sum(array.nbytes for array in small.to_arrays().values())
