"""Synthetic memories: the same for the same seed, whole as arrays, and of the shape that their docstrings state."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.synthetic import DOCUMENT, SyntheticMemory, generate

N_PASSAGES = 5003  # the last document is a short one


@pytest.fixture(scope="module")
def memory() -> SyntheticMemory:
    return generate(N_PASSAGES, seed=1)


@pytest.fixture(scope="module")
def vectors(memory: SyntheticMemory) -> NDArray[np.float32]:
    return memory.vectors(0, N_PASSAGES).astype(np.float32)


def get_arrays(memory: SyntheticMemory) -> list[NDArray[np.int32]]:
    return [*memory.context, *memory.relation, *memory.synonymy]


def pack(high: NDArray[np.int32], low: NDArray[np.int32]) -> NDArray[np.int64]:
    return high.astype(np.int64) << 32 | low


def count_mentions(memory: SyntheticMemory) -> NDArray[np.int64]:
    return np.bincount(memory.context.phrase_rows, minlength=memory.n_phrases)


def share_of_top_percent(mentions: NDArray[np.int64]) -> float:
    return float(np.sort(mentions)[-len(mentions) // 100 :].sum() / mentions.sum())


def test_equal_seeds_give_equal_memories(memory: SyntheticMemory) -> None:
    again, other = generate(N_PASSAGES, seed=1), generate(N_PASSAGES, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(get_arrays(memory), get_arrays(again), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(get_arrays(memory), get_arrays(other), strict=True))
    assert np.array_equal(memory.vectors(0, 50), again.vectors(0, 50))
    assert not np.array_equal(memory.vectors(0, 50), other.vectors(0, 50))


def test_edges_a_passage_are_those_of_openie(memory: SyntheticMemory) -> None:
    per_passage = [len(kind[0]) / N_PASSAGES for kind in (memory.context, memory.relation, memory.synonymy)]
    assert memory.n_phrases / N_PASSAGES == pytest.approx(6, rel=0.1)
    assert per_passage == pytest.approx([13, 10, 10], rel=0.1)
    assert np.median(count_mentions(memory)) == 1


def test_rows_are_in_range_and_small(memory: SyntheticMemory) -> None:
    assert {array.dtype for array in get_arrays(memory)} == {np.dtype(np.int32)}
    context, relation, synonymy = memory.context, memory.relation, memory.synonymy
    for phrases in (context.phrase_rows, relation.left, relation.right, synonymy.left, synonymy.right):
        assert 0 <= phrases.min() <= phrases.max() < memory.n_phrases
    assert np.unique(context.passage_rows).tolist() == list(range(N_PASSAGES))
    assert len(np.unique(context.phrase_rows)) == memory.n_phrases


def test_context_edges_are_sorted_and_distinct(memory: SyntheticMemory) -> None:
    context = memory.context
    assert (np.diff(pack(context.passage_rows, context.phrase_rows)) > 0).all()
    assert context.counts.min() == 1
    assert np.mean(context.counts == 1) > 0.8


def test_relation_edges_join_phrases_of_their_passage(memory: SyntheticMemory) -> None:
    context, relation = memory.context, memory.relation
    assert (relation.left < relation.right).all()
    mentions = pack(context.passage_rows, context.phrase_rows)
    for phrases in (relation.left, relation.right):
        assert np.isin(pack(relation.passage_rows, phrases), mentions).all()
    order = np.lexsort((relation.right, relation.left, relation.passage_rows))
    assert (order == np.arange(len(order))).all()
    triples = np.stack([relation.passage_rows, relation.left, relation.right])
    assert (np.diff(triples, axis=1) != 0).any(axis=0).all()
    assert relation.counts.min() == 1


def test_synonymy_edges_are_distinct_pairs_of_mostly_near_phrases(memory: SyntheticMemory) -> None:
    left, right, weights = memory.synonymy
    assert (left < right).all()
    assert (np.diff(pack(left, right)) > 0).all()
    assert 800 <= weights.min() <= weights.max() <= 999
    assert np.median(right - left) < 2 * DOCUMENT * 6


def test_a_few_phrases_are_named_everywhere_at_any_size(memory: SyntheticMemory) -> None:
    mentions, fewer = count_mentions(memory), count_mentions(generate(N_PASSAGES // 5, seed=1))
    # A geometric distribution of the same mean gives its top percent 4 % of the mentions, and its first phrase 20.
    assert share_of_top_percent(mentions) > 0.14
    assert 0.1 < mentions.max() / N_PASSAGES < 0.25
    assert mentions.max() / N_PASSAGES == pytest.approx(fewer.max() / (N_PASSAGES // 5), rel=0.35)
    tail = mentions[mentions >= 30]
    assert 1.8 < 1 + len(tail) / np.log(tail / 29.5).sum() < 2.6  # the exponent of a power law, by maximum likelihood


def test_passages_of_a_document_share_phrases(memory: SyntheticMemory) -> None:
    starts = np.searchsorted(memory.context.passage_rows, np.arange(1001, dtype=np.int32))
    phrases = [set(memory.context.phrase_rows[a:b].tolist()) for a, b in pairwise(starts)]
    near = [len(phrases[i] & phrases[i + 1]) for i in range(0, 1000, DOCUMENT)]
    far = [len(phrases[i] & phrases[i - 1]) for i in range(DOCUMENT, 1000, DOCUMENT)]
    assert np.mean(near) > 2
    assert np.mean(near) > 2 * np.mean(far)


def test_vectors_do_not_depend_on_how_ranges_are_cut(memory: SyntheticMemory) -> None:
    whole = memory.vectors(0, 100)
    cuts = [0, 1, 19, 20, 47, 48, 100]
    assert np.array_equal(whole, np.concatenate([memory.vectors(a, b) for a, b in pairwise(cuts)]))
    assert np.array_equal(memory.vectors(N_PASSAGES - 5, N_PASSAGES + 5), memory.vectors(N_PASSAGES - 5, N_PASSAGES))
    assert memory.vectors(7, 7).shape == (0, 384)
    assert np.array_equal(generate(100, seed=1).vectors(0, 100), whole)


def test_vectors_are_unit_and_near_within_a_document(vectors: NDArray[np.float32]) -> None:
    assert vectors.shape == (N_PASSAGES, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=2e-3)
    cosines = vectors[:2000] @ vectors[:2000].T
    documents = np.arange(2000) // DOCUMENT
    same = documents[:, None] == documents
    assert cosines[same].mean() > 0.5
    assert abs(cosines[~same].mean()) < 0.1


def test_questions_are_near_their_passage(memory: SyntheticMemory, vectors: NDArray[np.float32]) -> None:
    mentions = count_mentions(memory)
    drawn: list[int] = []
    for query, phrases in memory.questions(100, seed=3):
        assert query.dtype == np.float32
        assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
        assert len(set(phrases.tolist())) == 5
        cosines = vectors @ query
        passage = int(cosines.argmax())
        assert cosines[passage] > 0.6
        begin, end = np.searchsorted(memory.context.passage_rows, [passage - 1, passage + 2])
        assert set(phrases.tolist()) <= set(memory.context.phrase_rows[begin:end].tolist())
        drawn.extend(mentions[phrases].tolist())
    assert np.mean(drawn) < np.mean(mentions[memory.context.phrase_rows]) / 4


def test_questions_follow_their_seed(memory: SyntheticMemory) -> None:
    (query, phrases), (again, same), (other, _) = (memory.questions(1, seed=seed)[0] for seed in (3, 3, 4))
    assert np.array_equal(query, again)
    assert np.array_equal(phrases, same)
    assert not np.array_equal(query, other)


def test_phrase_keys_are_unique_names(memory: SyntheticMemory) -> None:
    keys = memory.phrase_keys(0, memory.n_phrases)
    assert len(set(keys)) == len(keys) == memory.n_phrases
    assert all(word.isalpha() and word.islower() for key in keys[:1000] for word in key.split(" "))
    assert all(len(key.split()) == 3 for key in keys[:1000])
    assert 15 < np.mean([len(key) for key in keys]) < 25
    assert memory.phrase_keys(10, 12) == [memory.phrase_key(10), memory.phrase_key(11)] == keys[10:12]


@pytest.mark.parametrize("n_passages", [0, 1, 2, DOCUMENT + 1])
def test_the_smallest_memories_are_whole(n_passages: int) -> None:
    memory = generate(n_passages)
    assert len(np.unique(memory.context.passage_rows)) == n_passages
    assert memory.vectors(0, n_passages).shape == (n_passages, 384)
    assert len(memory.phrase_keys(0, memory.n_phrases)) == memory.n_phrases
