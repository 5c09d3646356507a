"""The words of passages: whatever their history, what BM25 makes of those that live is what a plain reading makes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_graph.hashing import hash_keys
from retrieval.lexical import FUNCTION_WORDS, LexicalIndex, LexicalParams

WORDS = ("new", "york", "of", "東京", "q", "7")
TEXT = st.lists(st.sampled_from(WORDS), max_size=8)
EVERY_WORD = LexicalParams(common=1.0)
HISTORIES = settings(max_examples=120, deadline=None)


def hashed(texts: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    return hash_keys([" ".join(text) for text in texts])


def word(text: str) -> np.ndarray:
    return hash_keys([text])[0]


@dataclass
class Plain:
    """Passages as lists of words; the place in ``texts`` is the row, ``dead`` are those that died."""

    texts: list[list[str]] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)

    @property
    def living(self) -> list[int]:
        return [row for row in range(len(self.texts)) if row not in self.dead]

    def bm25(self, question: list[str], params: LexicalParams) -> dict[int, float]:
        """Robertson and Zaragoza 2009, over the passages that live."""
        living = self.living
        average = sum(len(self.texts[row]) for row in living) / max(len(living), 1)
        scores: dict[int, float] = {}
        for one in set(question) - set(FUNCTION_WORDS.split()):
            holding = [row for row in living if one in self.texts[row]]
            if not 0 < len(holding) <= max(params.common * len(living), 1):
                continue
            idf = log(1 + (len(living) - len(holding) + 0.5) / (len(holding) + 0.5))
            for row in holding:
                count, length = self.texts[row].count(one), len(self.texts[row])
                norm = params.k1 * (1 - params.b + params.b * length / average)
                scores[row] = scores.get(row, 0.0) + idf * count * (params.k1 + 1) / (count + norm)
        return scores

    def holding(self, name: list[str], rows: int) -> dict[int, int]:
        counts = {
            row: sum(text[place : place + len(name)] == name for place in range(len(text) - len(name) + 1))
            for row, text in enumerate(self.texts[:rows])
        }
        return {row: count for row, count in counts.items() if count}


def check(index: LexicalIndex, plain: Plain, question: list[str], params: LexicalParams, k: int) -> None:
    dead = np.array(sorted(plain.dead), dtype=np.int64)
    assert len(index) == len(plain.texts)
    assert index.living_words == sum(len(plain.texts[row]) for row in plain.living)
    expected = plain.bm25(question, params)
    found = index.search(hashed([question])[0], k, dead, params)
    sums = np.zeros(len(plain.texts))
    for row, score in expected.items():
        sums[row] = score
    np.testing.assert_allclose(found.sums, sums, rtol=1e-12)
    ranked = sorted(expected, key=lambda row: (-round(expected[row], 9), row))
    assert found.rows.tolist() == ranked[:k]
    held = [one for one in set(question) if any(one in plain.texts[row] for row in expected)]
    assert set(found.words.tolist()) <= {int(word(one)[0]) for one in held}
    assert (np.diff(found.words.astype(np.int64)) > 0).all()
    for one in WORDS:
        rows, counts = index.holding(int(word(one)[0]))
        assert dict(zip(rows.tolist(), counts.tolist(), strict=True)) == plain.holding([one], len(plain.texts))
        assert (np.diff(rows) > 0).all()
    for name in (["new", "york"], ["new", "new"], ["q"], ["7", "of", "q"], ["new", "nowhere"], []):
        rows, counts = index.settled_holding(hashed([name])[0])
        settled = {} if not name else plain.holding(name, index.n_settled)
        assert dict(zip(rows.tolist(), counts.tolist(), strict=True)) == settled


STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "go", "compact", "save", "fork"]), st.lists(TEXT, max_size=5), st.integers()),
    min_size=1,
    max_size=8,
)


@HISTORIES
@given(st.lists(TEXT, max_size=4), STEPS, TEXT, st.sampled_from([0.2, 0.5, 1.0]), st.integers(1, 6))
def test_any_history_scores_as_the_living_passages_say(
    first: list[list[str]],
    history: list[tuple[str, list[list[str]], int]],
    question: list[str],
    common: float,
    k: int,
) -> None:
    index, plain, params = LexicalIndex.of(*hashed(first)), Plain(list(first)), LexicalParams(common=common)
    older = [(index, plain)]
    for kind, came, seed in history:
        if kind == "fork":  # another version goes on from an earlier one
            index, plain = older[seed % len(older)]
        index, plain = index.extended(*hashed(came)), Plain(plain.texts + came, set(plain.dead))
        if kind == "go" and plain.living:
            gone = random.Random(seed).sample(plain.living, random.Random(seed).randint(1, len(plain.living)))
            index = index.without(np.array(sorted(gone), dtype=np.int64))
            plain.dead |= set(gone)
        if kind in ("compact", "save"):
            alive = np.ones(len(plain.texts), dtype=bool)
            alive[sorted(plain.dead)] = False
            index, plain = index.compacted(alive), Plain([plain.texts[row] for row in plain.living])
            if kind == "save":
                index = LexicalIndex.from_arrays(index.to_arrays())
        older.append((index, plain))
    for version, known in older:  # what came later changed none of the earlier
        check(version, known, question, params, k)


def test_saved_words_are_mapped_into_memory(tmp_path: Path) -> None:
    texts = [["new", "york"], [], ["york", "of", "new", "york"]]
    arrays = LexicalIndex.of(*hashed(texts)).to_arrays()
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays}
    index = LexicalIndex.from_arrays(mapped)
    check(index, Plain(texts), ["new", "york"], EVERY_WORD, 3)
    grown = index.extended(*hashed([["new"]]))
    check(grown, Plain([*texts, ["new"]]), ["new", "york"], EVERY_WORD, 3)


def test_only_settled_words_can_be_saved() -> None:
    index = LexicalIndex.of(*hashed([["new"]])).extended(*hashed([["york"]]))
    with pytest.raises(ValueError, match="compacted"):
        index.to_arrays()


def test_words_of_most_passages_are_passed_over() -> None:
    texts = [["bay", "new"], ["bay", "york"], ["bay"], ["bay", "q"], ["bay"], ["new"], ["new"]]
    index, nobody = LexicalIndex.of(*hashed(texts)), np.zeros(0, dtype=np.int64)
    found = index.search(word("bay"), 5, nobody, LexicalParams(common=0.2))
    assert (found.rows.tolist(), found.words.tolist(), found.sums.tolist()) == ([], [], [0.0] * 7)
    # One passage may always hold a word, however few there are.
    assert index.search(hashed([["bay", "q"]])[0], 5, nobody, LexicalParams(common=0.01)).rows.tolist() == [3]
    # Two of seven hold "new" once one has died, and the living alone count.
    assert index.search(word("new"), 5, nobody, LexicalParams(common=0.3)).rows.tolist() == []
    assert index.search(word("new"), 5, np.array([6]), LexicalParams(common=0.34)).rows.tolist() == [5, 0]


def test_words_that_only_make_a_question_are_passed_over() -> None:
    index, nobody = LexicalIndex.of(*hashed([["who"], ["of", "q"], ["new"]])), np.zeros(0, dtype=np.int64)
    found = index.search(hashed([["who", "of", "new"]])[0], 5, nobody, EVERY_WORD)
    assert (found.rows.tolist(), found.words.tolist()) == ([2], word("new").tolist())


def test_equal_scores_go_by_the_order_given() -> None:
    index, nobody = LexicalIndex.of(*hashed([["q"]] * 6)), np.zeros(0, dtype=np.int64)
    ties = np.array([3, 1, 2, 0, 9, 4])
    assert index.search(word("q"), 3, nobody, EVERY_WORD, ties=ties).rows.tolist() == [3, 1, 2]
    assert index.search(word("q"), 9, nobody, EVERY_WORD, ties=ties).rows.tolist() == [3, 1, 2, 0, 5, 4]
    assert index.search(word("q"), 3, np.array([3, 1]), EVERY_WORD, ties=ties).rows.tolist() == [2, 0, 5]
    assert index.search(word("q"), 3, nobody, EVERY_WORD).rows.tolist() == [0, 1, 2]


def test_a_word_counts_at_most_255_times_settled_or_not() -> None:
    often, more = [["q"] * 255 + ["new"] * 745], [["q"] * 1000]
    settled = LexicalIndex.of(*hashed(more + often))
    later = LexicalIndex.of(*hashed([])).extended(*hashed(more + often))
    for index in (settled, later):
        assert [count.tolist() for count in index.holding(int(word("q")[0]))] == [[0, 1], [255, 255]]
        scores = index.search(word("q"), 2, np.zeros(0, dtype=np.int64), EVERY_WORD).sums
        assert scores[0] == scores[1]


def test_no_passages_and_no_words_find_nothing() -> None:
    nobody = np.zeros(0, dtype=np.int64)
    empty = LexicalIndex.of(*hashed([]))
    assert empty.search(word("q"), 3, nobody, EVERY_WORD).rows.tolist() == []
    assert empty.extended(*hashed([])) is empty
    assert empty.without(nobody) is empty
    blank = empty.extended(*hashed([[], []]))
    for found in (blank.search(word("q"), 3, nobody, EVERY_WORD), blank.search(word(""), 3, nobody, EVERY_WORD)):
        assert (found.rows.tolist(), found.sums.tolist()) == ([], [0.0, 0.0])
    dead = LexicalIndex.of(*hashed([["q"]])).without(np.array([0]))
    assert dead.search(word("q"), 3, np.array([0]), EVERY_WORD).rows.tolist() == []


def test_spans_are_where_the_words_of_a_passage_are() -> None:
    index = LexicalIndex.of(*hashed([["new", "york"], [], ["q"]])).extended(*hashed([["of", "7"]]))
    begins, ends = index.spans(np.array([3, 0, 1, 2]))
    assert (begins.tolist(), ends.tolist()) == ([3, 0, 2, 2], [5, 2, 2, 3])
    assert index.words.rows[3:5].tolist() == hashed([["of", "7"]])[0].tolist()
    assert index.nbytes > index.words.rows.nbytes
