"""Made-up memories of any size with the shape that OpenIE gives, for benchmarks of the walk and of the search.

Documents are runs of 20 passages. A passage mentions new phrases, phrases of its document, and phrases that are known
everywhere: phrase r of those with a chance ∝ 1/r, which is what preferential attachment comes to (degree exponent 2).
The chances do not depend on the size of the memory, nor does the share of the passages that mention a hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.synthetic_names import make_names

Rows: TypeAlias = NDArray[np.int32]
Integers: TypeAlias = NDArray[np.int64]
Query: TypeAlias = tuple[NDArray[np.float32], Rows]
"""A unit vector (dim,) and the rows of at most five phrases."""

DOCUMENT = 20  # passages
# What a passage draws before equal draws merge: 6 new phrases, 13 distinct ones and 10 distinct pairs come of it.
_NEW_AT_LEAST, _NEW_BEYOND, _FROM_DOCUMENT, _FROM_EVERYWHERE, _PAIRS = 2, 4.0, 3, 5, 10.7
_POOL = 12  # known phrases that the passages of a document draw from
_KNOWN_SPAN = 1e7  # where 1/r ends: beyond any memory, or the shares of the hubs would move with its size
_KNOWN_EVERY = 8  # one phrase in eight can become a hub, so that the rows of hubs do not stand side by side
_CLUSTER_EXPONENT, _CLUSTER_MAX = 2.7, 64
_NEARBY_ROWS = 50.0  # phrases alike are mostly of one document or the next, and some are far apart
_TOPICS, _RANK = 512, 48
# Shares of a vector's square: cosines are about 0.3 within a topic and 0.6 within a document.
_TOPIC, _DOCUMENT_LOW_RANK, _PASSAGE_LOW_RANK, _NOISE = np.sqrt([0.3, 0.3, 0.2, 0.2]).astype(np.float32)
_QUERY_NOISE = np.float32(0.9)  # beside a passage's 1: a cosine of 0.74
_GRAPH_STREAM, _SPACE_STREAM, _VECTOR_STREAM, _QUESTION_STREAM = 1, 2, 3, 4


class Context(NamedTuple):
    """Which passage mentions which phrase: arrays (m,) sorted by passage, then phrase, each pair once."""

    passage_rows: Rows
    phrase_rows: Rows
    counts: Rows


class Relation(NamedTuple):
    """Facts between two phrases of one passage: arrays (m,) sorted by passage, ``left < right``, each triple once."""

    left: Rows
    right: Rows
    counts: Rows
    passage_rows: Rows


class Synonymy(NamedTuple):
    """Phrases alike: arrays (m,) sorted by pair, ``left < right``, each pair once; weights 800 … 999 thousandths."""

    left: Rows
    right: Rows
    weights: Rows


@dataclass(frozen=True)
class SyntheticMemory:
    """A memory as arrays; vectors, questions and phrase keys are made when asked for."""

    n_passages: int
    n_phrases: int
    seed: int
    context: Context
    relation: Relation
    synonymy: Synonymy

    def vectors(self, start: int, stop: int, dim: int = 384) -> NDArray[np.float16]:
        """Return the unit vectors (stop - start, dim) of a range of passages, the same however ranges are cut."""
        stop = min(stop, self.n_passages)
        vectors = np.empty((max(stop - start, 0), dim), np.float16)
        for begin in range(start - start % DOCUMENT, stop, DOCUMENT):
            first, last = max(begin, start), min(begin + DOCUMENT, stop)
            of_document = _make_document_vectors(self.seed, begin // DOCUMENT, dim)
            vectors[first - start : last - start] = of_document[first - begin : last - begin]
        return vectors

    def questions(self, count: int, seed: int, dim: int = 384) -> list[Query]:
        """Return queries near passages drawn at random, with phrases of those or their neighbours, rather rare ones."""
        rng = np.random.default_rng([self.seed, _QUESTION_STREAM, seed])
        frequency = np.bincount(self.context.phrase_rows, minlength=self.n_phrases)
        questions = []
        for passage in rng.integers(self.n_passages, size=count).tolist():
            # Of the sorted type: searching for a Python integer would convert all passage rows first.
            around = np.array([passage - 1, passage + 2], np.int32)
            begin, end = np.searchsorted(self.context.passage_rows, around)
            phrases = np.unique(self.context.phrase_rows[begin:end])
            rarity = 1 / frequency[phrases]
            chosen = rng.choice(phrases, min(5, len(phrases)), replace=False, p=rarity / rarity.sum())
            noise = _QUERY_NOISE * _unit(rng.standard_normal(dim, np.float32))
            questions.append((_unit(self.vectors(passage, passage + 1, dim)[0].astype(np.float32) + noise), chosen))
        return questions

    def phrase_key(self, row: int) -> str:
        """Return the name of a phrase, like ``kido litra vakiki``."""
        return self.phrase_keys(row, row + 1)[0]

    def phrase_keys(self, start: int, stop: int) -> list[str]:
        """Return the names of a range of phrases: lowercase words, no two phrases of one name."""
        return make_names(start, min(stop, self.n_phrases))


def generate(n_passages: int, seed: int = 0) -> SyntheticMemory:
    """Make a memory of ``n_passages``; equal arguments give equal memories."""
    rng = np.random.default_rng([seed, _GRAPH_STREAM])
    phrase_ends = np.cumsum(_NEW_AT_LEAST + rng.poisson(_NEW_BEYOND, n_passages))
    n_phrases = int(phrase_ends[-1]) if n_passages else 0
    context = _draw_context(rng, phrase_ends)
    relation = _draw_relation(rng, context, n_passages)
    return SyntheticMemory(n_passages, n_phrases, seed, context, relation, _draw_synonymy(rng, n_phrases))


def _draw_context(rng: np.random.Generator, phrase_ends: Integers) -> Context:
    """Draw the mentions; ``phrase_ends`` (n_passages,) are the rows past each passage's new phrases."""
    n_passages = len(phrase_ends)
    passages = np.arange(n_passages)
    new_counts = np.diff(phrase_ends, prepend=0)
    document_starts = (phrase_ends - new_counts)[::DOCUMENT].repeat(DOCUMENT)[:n_passages, None]
    # The square: what a document names first is what it is about, and is named most often.
    position = rng.random((n_passages, _FROM_DOCUMENT)) ** 2
    of_document = document_starts + (position * (phrase_ends[:, None] - document_starts)).astype(np.int64)
    pools = _draw_known(rng, phrase_ends[::DOCUMENT])
    known = pools[passages[:, None] // DOCUMENT, rng.integers(_POOL, size=(n_passages, _FROM_EVERYWHERE))]
    new = passages.repeat(new_counts) << 32 | np.arange(new_counts.sum())
    again = passages[:, None] << 32 | np.concatenate([of_document, known], axis=1)
    keys, counts = np.unique(np.concatenate([new, again.ravel()]), return_counts=True)
    return Context((keys >> 32).astype(np.int32), keys.astype(np.int32), counts.astype(np.int32))


def _draw_known(rng: np.random.Generator, limits: Integers) -> Integers:
    """Draw a pool of phrase rows for each document, (n_documents, _POOL), below ``limits``, what was known by then."""
    shape, limit = (len(limits), _POOL), limits[:, None]
    rank = (_KNOWN_SPAN ** rng.random(shape)).astype(np.int64) - 1
    rows = rank * _KNOWN_EVERY + rank * 5 % _KNOWN_EVERY
    return np.where(rows < limit, rows, (rng.random(shape) * limit).astype(np.int64))


def _draw_relation(rng: np.random.Generator, context: Context, n_passages: int) -> Relation:
    sizes = np.bincount(context.passage_rows, minlength=n_passages)
    passages = np.arange(n_passages).repeat(rng.poisson(_PAIRS, n_passages))
    size = sizes[passages]
    one = (rng.random(len(passages)) * size).astype(np.int64)
    other = (one + 1 + (rng.random(len(passages)) * (size - 1)).astype(np.int64)) % size
    # A pair as the place of its left phrase among the mentions, and how far on (< 2^16) its right phrase stands.
    places = (np.cumsum(sizes) - sizes)[passages] + np.minimum(one, other)
    keys, counts = np.unique(places << 16 | np.abs(one - other), return_counts=True)
    left, right = keys >> 16, (keys >> 16) + (keys & 0xFFFF)
    phrases = context.phrase_rows
    return Relation(phrases[left], phrases[right], counts.astype(np.int32), context.passage_rows[left])


def _draw_synonymy(rng: np.random.Generator, n_phrases: int) -> Synonymy:
    """Cut the phrases into clusters of power-law sizes and join all phrases of a cluster."""
    kinds = np.arange(1, _CLUSTER_MAX + 1)
    chances = kinds**-_CLUSTER_EXPONENT / np.sum(kinds**-_CLUSTER_EXPONENT)
    n_clusters = int(n_phrases / (chances @ kinds))
    # Even quantiles, not draws: a few large clusters more or less would show in the edges a passage.
    sizes = rng.permutation(kinds[np.searchsorted(np.cumsum(chances), (np.arange(n_clusters) + 0.5) / n_clusters)])
    ends = np.cumsum(sizes)
    order = np.argsort(np.arange(n_phrases) + _NEARBY_ROWS * rng.standard_cauchy(n_phrases)).astype(np.int32)
    keys = [np.empty(0, np.int64)]
    for size in kinds[1:]:
        starts = (ends - size)[(sizes == size) & (ends <= n_phrases), None]
        one, other = (order[starts + places].astype(np.int64).ravel() for places in np.triu_indices(size, 1))
        keys.append(np.minimum(one, other) << 32 | np.maximum(one, other))
    pairs = np.sort(np.concatenate(keys))
    weights = 800 + (200 * rng.random(len(pairs)) ** 2).astype(np.int32)  # most are just alike enough
    return Synonymy((pairs >> 32).astype(np.int32), pairs.astype(np.int32), weights)


def _make_document_vectors(seed: int, document: int, dim: int) -> NDArray[np.float32]:
    """Make the unit vectors (DOCUMENT, dim) of a document: topic, a low-rank part, a low-rank part a passage, noise."""
    topics, basis = _make_space(seed, dim)
    rng = np.random.default_rng([seed, _VECTOR_STREAM, document])
    topic = topics[int(_TOPICS * rng.random() ** 2)]
    shared = rng.standard_normal(_RANK, np.float32) * _DOCUMENT_LOW_RANK
    own = rng.standard_normal((DOCUMENT, _RANK), np.float32) * _PASSAGE_LOW_RANK
    noise = rng.standard_normal((DOCUMENT, dim), np.float32) * (_NOISE / np.float32(dim**0.5))
    return _unit(_TOPIC * topic + (shared + own) @ basis + noise)


@lru_cache(maxsize=4)
def _make_space(seed: int, dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make the unit topic centres (_TOPICS, dim) and the basis (_RANK, dim) of what varies within a topic."""
    rng = np.random.default_rng([seed, _SPACE_STREAM, dim])
    topics = _unit(rng.standard_normal((_TOPICS, dim), np.float32))
    return topics, _unit(rng.standard_normal((_RANK, dim), np.float32)) / np.float32(_RANK**0.5)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths
