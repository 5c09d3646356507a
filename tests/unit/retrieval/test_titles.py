"""Which passages a name is the title of, or begins or ends it, whatever their history, beside a plain reading."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory_graph.hashing import hash_keys, names_of
from retrieval.titles import Titles

WORD = st.sampled_from(["new", "york", "city", "東京"])
TITLES = st.lists(st.lists(WORD, max_size=4).map(" ".join), max_size=6)
NAMES = ["new", "york", "new york", "york new", "new york city", "city", "東京", "new new", "nowhere"]


def titles_of(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return hash_keys(texts)


def check(titles: Titles, expected: list[str], wanted: list[str] = NAMES) -> None:
    """Compare with every title read as its words."""
    whole, part = titles.find(names_of(*hash_keys(wanted)))
    words = [title.split() for title in expected]
    same, inside = [], []
    for place, name in enumerate(wanted):
        asked = name.split()
        for row, title in enumerate(words):
            if title == asked:
                same.append((place, row))
            elif title[: len(asked)] == asked or title[-len(asked) :] == asked:
                inside.append((place, row))
    assert sorted(zip(*(column.tolist() for column in whole), strict=True)) == same
    assert sorted(zip(*(column.tolist() for column in part), strict=True)) == inside
    names = names_of(*hash_keys(expected))
    assert titles.names.rows.tolist() == [int(one) if title else 0 for one, title in zip(names, expected, strict=True)]
    begins, ends = titles.spans(np.arange(len(expected)))
    found = [titles.words.rows[begin:end].tolist() for begin, end in zip(begins, ends, strict=True)]
    assert found == [hash_keys(title)[0].tolist() for title in words]


@settings(max_examples=150, deadline=None)
@given(TITLES, st.lists(st.tuples(TITLES, st.sampled_from(["come", "compact", "fork"]), st.integers()), max_size=5))
@example(["york new york", "new new", "new"], [])
@example([], [(["york new york"], "come", 0)])
def test_titles_are_those_of_a_plain_reading(first: list[str], history: list[tuple[list[str], str, int]]) -> None:
    titles, expected = Titles.of(*titles_of(first)), list(first)
    older = [(titles, expected)]
    for came, kind, seed in history:
        if kind == "fork":  # another version goes on from an earlier one
            titles, expected = older[seed % len(older)]
        titles, expected = titles.extended(*titles_of(came)), expected + came
        if kind == "compact":
            chance = random.Random(seed)
            alive = np.array([chance.random() < 0.6 for _ in expected], dtype=bool)
            expected = [title for title, one in zip(expected, alive, strict=True) if one]
            titles = Titles.from_arrays(titles.compacted(alive).to_arrays())
        older.append((titles, expected))
    for version, known in older:  # the later ones have not changed the earlier
        check(version, known)


def test_names_may_be_asked_for_in_any_order_and_number() -> None:
    titles = Titles.of(*titles_of(["new york", "york"])).extended(*titles_of(["york", "", "new"]))
    for wanted in ([], ["york"], NAMES[::-1]):
        check(titles, ["new york", "york", "york", "", "new"], wanted)


def test_passages_may_have_no_title() -> None:
    titles = Titles.none(2)
    check(titles, ["", ""])
    check(titles.extended(*titles_of(["new york"])), ["", "", "new york"])


def test_only_settled_titles_can_be_saved() -> None:
    titles = Titles.of(*titles_of(["new"])).extended(*titles_of(["york city"]))
    with pytest.raises(ValueError, match="compacted"):
        titles.to_arrays()
    small = titles.compacted(np.ones(2, dtype=bool))
    assert small.nbytes == sum(array.nbytes for array in small.to_arrays().values()) + small.names.rows.nbytes
