"""Passages ranked as HippoRAG 2 ranks them, with unfiltered facts: the yardstick for what this product does itself.

The published program decides where it differs from the paper. What it counts is kept, oddities included: an edge of
a relation counts in both directions, a synonym takes a relation's place, and every passage is a seed.
Source: Gutiérrez et al. 2025, arXiv:2502.14802, and the program published with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, coo_array, csr_array, csr_matrix

from memory_graph.synonymy import Pairs, SynonymyParams, find_synonyms
from memory_graph.types import Triple
from memory_graph.walk import WalkParams, power_iteration

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_NOT_ASCII_WORD = re.compile(r"[^a-z0-9 ]")
_SHORT = 2


@dataclass(frozen=True, kw_only=True)
class ParityParams:
    """The published defaults.

    ``facts`` nearest facts give the ``phrases`` best phrases, whose weight is divided by the passages that hold them
    where ``specificity`` is set. Passages weigh ``passage_weight``. A phrase is joined to the ``synonyms`` nearest at
    ``threshold`` or more. ``doubled`` counts both directions of what joins two phrases, as the program does and the
    paper does not.
    """

    facts: int = 5
    phrases: int = 5
    passage_weight: float = 0.05
    specificity: bool = True
    threshold: float = 0.8
    synonyms: int = 101
    doubled: bool = True
    walk: WalkParams = field(default_factory=lambda: WalkParams(mode="exact", damping=0.5))


@dataclass(frozen=True)
class TripleIndex:
    """Distinct facts and their phrases, and which passage holds which: what the published form ranks by.

    ``subjects`` and ``objects`` (n_facts,) are rows of ``phrases``. ``relations`` (n_phrases, n_phrases) counts, in
    both directions, how often a passage joins two phrases; ``context`` (n_passages, n_phrases) is 1 where a passage
    holds a phrase.
    """

    phrases: Sequence[str]
    facts: Sequence[tuple[str, str, str]]
    subjects: Ints
    objects: Ints
    relations: csr_array
    context: csr_array

    @property
    def fact_texts(self) -> list[str]:
        """What is embedded for each fact: the triple as the published program writes it."""
        return [str(fact) for fact in self.facts]

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take; those of the texts are not counted."""
        matrices = (self.relations, self.context)
        parts = [array for one in matrices for array in (one.data, one.indices, one.indptr)]
        return int(sum(array.nbytes for array in (*parts, self.subjects, self.objects)))


def normalize_ascii(text: str) -> str:
    """Normalise as the published program does: lower case, and a space for all but ASCII letters, digits and spaces.

    It erases every other script: for comparisons alone, never for what the product stores.
    """
    return _NOT_ASCII_WORD.sub(" ", text.lower()).strip()


def index_triples(
    triples: Sequence[Sequence[Triple]], normalize: Callable[[str], str] = normalize_ascii
) -> TripleIndex:
    """Index the triples of each passage."""
    phrase_rows: dict[str, int] = {}
    fact_rows: dict[tuple[str, str, str], int] = {}
    joined: list[tuple[int, int]] = []
    held: dict[tuple[int, int], None] = {}
    for passage, found in enumerate(triples):
        for triple in found:
            fact = (normalize(triple.subject), normalize(triple.predicate), normalize(triple.object))
            fact_rows.setdefault(fact, len(fact_rows))
            ends = [phrase_rows.setdefault(end, len(phrase_rows)) for end in (fact[0], fact[2])]
            held.update({(passage, end): None for end in ends})
            if ends[0] != ends[1]:
                joined.append((ends[0], ends[1]))
    n = len(phrase_rows)
    left, right = _columns(joined)
    rows, columns = np.concatenate([left, right]), np.concatenate([right, left])
    passages, phrases = _columns(list(held))
    ends_of = np.array([(phrase_rows[fact[0]], phrase_rows[fact[2]]) for fact in fact_rows], dtype=np.int64)
    subjects, objects = ends_of.reshape(-1, 2).T
    return TripleIndex(
        phrases=list(phrase_rows),
        facts=list(fact_rows),
        subjects=subjects,
        objects=objects,
        relations=coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n)).tocsr(),
        context=coo_array((np.ones(len(passages)), (passages, phrases)), shape=(len(triples), n)).tocsr(),
    )


def published_synonyms(phrases: Sequence[str], vectors: NDArray[np.float16], params: ParityParams) -> csr_array:
    """Return the synonymy edges (n_phrases, n_phrases) that leave each phrase, weighted by cosine.

    A phrase of two letters or digits at most has none of its own, though another may lead to it; the empty phrase is
    nobody's synonym.
    """
    n = len(phrases)
    named = np.array([bool(phrase) for phrase in phrases])
    pairs = find_synonyms(vectors, named, SynonymyParams(threshold=params.threshold))
    rows, others, cosines = _both_ways(pairs)
    long_enough = np.array([sum(map(str.isalnum, phrase)) > _SHORT for phrase in phrases], dtype=bool)
    kept = long_enough[rows]
    rows, others, cosines = rows[kept], others[kept], cosines[kept]
    order = np.lexsort((others, -cosines, rows))
    rows, others, cosines = rows[order], others[order], cosines[order]
    near = np.arange(len(rows)) - np.searchsorted(rows, rows) < params.synonyms
    return coo_array((cosines[near], (rows[near], others[near])), shape=(n, n)).tocsr()


class Parity:
    """The published ranking over one set of triples; nothing of it changes after it is made.

    ``passages``, ``fact_vectors`` and ``phrase_vectors`` have a unit vector a row: (n_passages, dim), (n_facts, dim),
    (n_phrases, dim).
    """

    def __init__(
        self,
        index: TripleIndex,
        *,
        passages: Singles,
        fact_vectors: Singles,
        phrase_vectors: NDArray[np.float16],
        params: ParityParams | None = None,
    ) -> None:
        self.params = params or ParityParams()
        self.index = index
        self._passages = passages
        self._facts = fact_vectors
        synonyms = published_synonyms(index.phrases, phrase_vectors, self.params)
        self._step = _step(index, synonyms, self.params)
        self._spread = np.maximum(1.0, index.context.sum(axis=0)) if self.params.specificity else np.ones(self._n)

    @property
    def _n(self) -> int:
        return len(self.index.phrases)

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take, the vectors included."""
        step = self._step
        arrays = (self._passages, self._facts, step.data, step.indices, step.indptr, self._spread)
        return self.index.nbytes + int(sum(array.nbytes for array in arrays))

    def score(self, query: Singles) -> Floats:
        """Return the score of every passage for a question's unit vector (dim,), shape (n_passages,)."""
        near = min_max((self._passages @ query).astype(np.float64))
        if not len(self.index.facts):
            return near
        fact_scores = min_max((self._facts @ query).astype(np.float64))
        best = np.argsort(-fact_scores, kind="stable")[: self.params.facts]
        phrases = weigh_phrases(
            fact_scores[best], self.index.subjects[best], self.index.objects[best], self._spread, self.params.phrases
        )
        reset = np.concatenate([self.params.passage_weight * near, phrases])
        scores = power_iteration(self._step, reset / reset.sum(), self.params.walk)
        return scores[: len(near)]

    def rank(self, query: Singles, k: int) -> Ints:
        """Return the rows of the ``k`` best passages; equal ones in the order of their rows."""
        best: Ints = np.argsort(-self.score(query), kind="stable")[:k]
        return best


def min_max(scores: Floats) -> Floats:
    """Stretch scores (n,) to 0..1; all are 1 where they are equal."""
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    return np.ones_like(scores) if high == low else (scores - low) / (high - low)


def weigh_phrases(scores: Floats, subjects: Ints, objects: Ints, spread: Floats, keep: int) -> Floats:
    """Return the weight of every phrase (n_phrases,): the mean score of the facts it ends, over its ``spread``.

    ``scores``, ``subjects`` and ``objects`` (k,) are those of the linked facts, ``spread`` (n_phrases,) how many
    passages hold a phrase. All but the ``keep`` heaviest are 0; of equal ones those that come first in the facts stay.
    """
    ends, values = np.column_stack([subjects, objects]).ravel(), np.repeat(scores, 2)
    rows, places, inverse, counts = np.unique(ends, return_index=True, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=values) / counts / spread[rows]
    heaviest = np.lexsort((places, -means))[:keep]
    weights = np.zeros(len(spread))
    weights[rows[heaviest]] = means[heaviest]
    return weights


def _step(index: TripleIndex, synonyms: csr_array, params: ParityParams) -> csr_matrix:
    """Return the walk's step, passages first: columns sum to 1, or to 0 where a node has no edge."""
    replaced = synonyms.copy()
    replaced.data = np.ones_like(replaced.data)
    directed = index.relations - index.relations.multiply(replaced) + synonyms
    between = directed + directed.T if params.doubled else directed.maximum(directed.T)
    n_passages = index.context.shape[0]
    weights = block_array(
        [[csr_array((n_passages, n_passages)), index.context], [index.context.T, between]], format="csr"
    )
    totals = weights.sum(axis=0)
    return csr_matrix(weights * np.divide(1.0, totals, out=np.zeros(len(totals)), where=totals > 0)[None, :])


def _both_ways(pairs: Pairs) -> tuple[Ints, Ints, Floats]:
    return (
        np.concatenate([pairs.lefts, pairs.rights]),
        np.concatenate([pairs.rights, pairs.lefts]),
        np.tile(pairs.cosines, 2),
    )


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[Ints, Ints]:
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return left, right
