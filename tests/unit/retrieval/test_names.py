"""Names of phrases, found by key and by row, are those of a dictionary whatever their history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_graph.hashing import hash_keys
from retrieval import names as names_module
from retrieval.names import PhraseNames

NOBODY = np.zeros(0, dtype=np.int64)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def found_by_a_dictionary(keys: list[str], dead: list[int]) -> dict[str, int]:
    return {key: row for row, key in enumerate(keys) if row not in dead}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[list[str], list[int], bool]]:
    """Per step: keys that come (none of them alive), rows that die, whether the names are compacted."""
    keys: list[str] = []
    dead: set[int] = set()
    steps = []
    for _ in range(draw(st.integers(1, 6))):
        alive = {key for row, key in enumerate(keys) if row not in dead}
        came = [key for key in draw(st.lists(KEYS, unique=True, max_size=6)) if key not in alive]
        keys += came
        living = [row for row in range(len(keys)) if row not in dead]
        gone = draw(st.lists(st.sampled_from(living), unique=True, max_size=4)) if living else []
        dead |= set(gone)
        compact = draw(st.booleans())
        steps.append((came, sorted(gone), compact))
        if compact:
            keys, dead = [key for row, key in enumerate(keys) if row not in dead], set()
    return steps


@settings(max_examples=150, deadline=None)
@given(histories())
def test_names_are_those_of_a_dictionary(history: list[tuple[list[str], list[int], bool]]) -> None:
    names, keys, dead = PhraseNames.of([]), list[str](), list[int]()
    older: list[tuple[PhraseNames, list[str], list[int]]] = []
    for came, gone, compact in history:
        names, keys, dead = names.extended(came), keys + came, sorted(dead + gone)
        if compact:
            alive = np.ones(len(keys), dtype=bool)
            alive[dead] = False
            names, keys, dead = names.compacted(alive), [key for key, one in zip(keys, alive, strict=True) if one], []
            again = PhraseNames.from_arrays(names.to_arrays())
            assert again.find(keys, NOBODY) == found_by_a_dictionary(keys, [])
        older.append((names, keys, dead))
    for version, expected, gone in older:  # the later ones have not changed the earlier
        assert len(version) == len(expected)
        assert [version.key(row) for row in range(len(expected))] == expected
        wanted = [*expected, *keys, "nobody at all"]
        assert version.find(wanted, np.array(gone, dtype=np.int64)) == found_by_a_dictionary(expected, gone)


def test_any_text_is_found() -> None:
    keys = ["ada quill", "", "東京", "o\u0301rrin", "\0", "a" * 10_000, "\U0001f30a"]
    names = PhraseNames.of(keys[:4]).extended(keys[4:])
    assert names.find(keys, NOBODY) == {key: row for row, key in enumerate(keys)}
    assert names.find(["\ud800", "ada", "ada quill "], NOBODY) == {}
    assert names.find([], NOBODY) == {}


def test_equal_hashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "names_of", lambda words, ends: words[ends - 1].astype(np.uint64) % 2)
    keys = ["a", "bb", "ccc", "dddd", "eeeee"]
    names = PhraseNames.of(keys)
    assert names.find([*keys, "f", "gg"], NOBODY) == {key: row for row, key in enumerate(keys)}
    assert names.find(keys, np.array([0, 3])) == {"bb": 1, "ccc": 2, "eeeee": 4}
    small = names.extended(["f"]).compacted(np.array([True, False, True, True, False, True]))
    assert small.find([*keys, "f"], NOBODY) == {"a": 0, "ccc": 1, "dddd": 2, "f": 3}


WORDS = ("new", "york", "city", "東京", "of", "q")
NAMES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
TEXTS = st.lists(st.lists(st.sampled_from([*WORDS, "x"]), max_size=12), max_size=5)


@settings(max_examples=150, deadline=None)
@given(st.lists(NAMES, unique=True, max_size=8), st.lists(NAMES, unique=True, max_size=4), TEXTS, st.data())
def test_names_are_found_wherever_their_words_follow_each_other(
    settled: list[str], added: list[str], texts: list[list[str]], data: st.DataObject
) -> None:
    added = [key for key in added if key not in settled]
    keys = [*settled, *added]
    dead = sorted(data.draw(st.sets(st.sampled_from(range(len(keys))), max_size=3))) if keys else []
    first = data.draw(st.sampled_from([0, len(settled)]))
    names = PhraseNames.of(settled).extended(added)
    words, ends = hash_keys([" ".join(text) for text in texts])
    found = names.scan(words, np.append(0, ends[:-1])[: len(ends)], ends, np.array(dead, dtype=np.int64), first)
    expected = [
        (stream, row, place, len(key.split()))
        for stream, text in enumerate(texts)
        for place in range(len(text))
        for row, key in sorted(enumerate(keys), key=lambda one: len(one[1].split()))
        if row >= first and row not in dead and text[place : place + len(key.split())] == key.split()
    ]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


def test_an_older_version_goes_another_way() -> None:
    first = PhraseNames.of(["a"]).extended(["b"])
    here, there = first.extended(["c"]), first.extended(["d", "e"])
    assert here.find("abcde", NOBODY) == {"a": 0, "b": 1, "c": 2}
    assert there.find("abcde", NOBODY) == {"a": 0, "b": 1, "d": 2, "e": 3}
    assert first.find("abcde", NOBODY) == {"a": 0, "b": 1}
    assert first.extended([]) is first


def test_only_settled_names_can_be_saved() -> None:
    names = PhraseNames.of(["a"]).extended(["b"])
    with pytest.raises(ValueError, match="compacted"):
        names.to_arrays()
    small = names.compacted(np.ones(2, dtype=bool))
    assert small.nbytes == sum(array.nbytes for array in small.to_arrays().values()) > 0
    assert names.nbytes > PhraseNames.of(["a"]).nbytes


def test_each_version_finds_its_own_names_after_it_was_asked() -> None:
    """What a version keeps for its questions is not handed on to those that go on from it."""
    words, ends = hash_keys(["a b c d"])
    begins = np.zeros(1, dtype=np.int64)

    def found(names: PhraseNames, first: int = 0) -> list[int]:
        return names.scan(words, begins, ends, NOBODY, first).rows.tolist()

    one = PhraseNames.of(["a"]).extended(["b"])
    assert found(one) == [0, 1]
    here, there = one.extended(["c"]), one.extended(["d"])
    for _ in range(2):
        assert found(here) == found(there) == [0, 1, 2]
        assert found(here, first=1) == [1, 2]
        assert found(here, first=2) == [2]
        assert found(here, first=3) == []
        assert found(one) == [0, 1]
    assert here.scan(words, begins, ends, NOBODY, 2).places.tolist() == [2]
    assert there.scan(words, begins, ends, NOBODY, 2).places.tolist() == [3]
