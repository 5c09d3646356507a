"""Phrases that mean the same: every new phrase is compared with all, exactly and in blocks.

What comes out does not depend on the order in which phrases were learned. Vectors are float16 of unit length: products
of two such numbers are multiples of 2^-48, and their sums stay below 2, so that float64 holds every inner product
exactly, in whatever order it is summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_graph.graph import Synonyms

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Halves = NDArray[np.float16]

# Candidates are looked for in float32, whose sums of some hundred products err by less than this.
_MARGIN = 1e-3
_AT_ONCE = 1 << 14  # pairs
_THOUSANDTHS = 1000


@dataclass(frozen=True, kw_only=True)
class SynonymyParams:
    """Phrases whose cosine is ``threshold`` or more are joined; each keeps its ``max_degree`` nearest.

    ``block`` rows are compared at a time. Source: HippoRAG 2's synonymy edges, but new against all, and apart from the
    relations.
    """

    threshold: float = 0.8
    max_degree: int = 100
    block: int = 1024


class Pairs(NamedTuple):
    """Pairs of phrases (m,) that are near each other, each once: rows left < right, and their cosine."""

    lefts: Ints
    rights: Ints
    cosines: Floats

    @staticmethod
    def none() -> Pairs:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def find_synonyms(vectors: Halves, linkable: NDArray[np.bool_], params: SynonymyParams, *, first_new: int = 0) -> Pairs:
    """Return the pairs of which at least one is new: rows ``first_new`` and above of ``vectors`` (n, dim), unit length.

    Rows that are not ``linkable`` (n,) have no synonyms. All pairs of n phrases are those of any history: what one
    call finds with ``first_new`` 0 is the union of what several find as the rows grow.
    """
    found: list[Pairs] = []
    single = np.asarray(vectors, dtype=np.float32)
    news = np.flatnonzero(linkable[first_new:]) + first_new
    rows = np.flatnonzero(linkable)
    for start in range(0, len(news), params.block):
        some = news[start : start + params.block]
        for from_ in range(0, len(rows), params.block):
            others = rows[from_ : from_ + params.block]
            if others[0] >= some[-1]:
                break  # of two new phrases the later one finds the earlier
            near = np.argwhere(single[some] @ single[others].T >= params.threshold - _MARGIN)
            rights, lefts = some[near[:, 0]], others[near[:, 1]]
            ordered = lefts < rights
            found.append(_exact(vectors, lefts[ordered], rights[ordered], params.threshold))
    return _joined(found)


def cap_degrees(pairs: Pairs, keys: NDArray[Any], max_degree: int) -> Pairs:
    """Return the pairs that are ``within_degree``, in the order of their rows."""
    return _sorted(pairs, np.flatnonzero(within_degree(pairs, keys, max_degree)))


def within_degree(pairs: Pairs, keys: NDArray[Any], max_degree: int) -> NDArray[np.bool_]:
    """Tell which pairs (m,) are among the ``max_degree`` nearest of both their phrases.

    ``keys`` (n,) are what the phrases are called, by which those of equal cosine are ordered: the result follows from
    what lives, not from when it came.
    """
    n = len(pairs.lefts)
    if not n:
        return np.zeros(0, dtype=bool)
    _, names = np.unique(keys, return_inverse=True)
    rows, others = np.concatenate([pairs.lefts, pairs.rights]), np.concatenate([pairs.rights, pairs.lefts])
    order = np.lexsort((names[others], -np.tile(pairs.cosines, 2), rows))
    sorted_rows = rows[order]
    places = np.arange(2 * n) - np.searchsorted(sorted_rows, sorted_rows)
    kept = np.zeros(2 * n, dtype=bool)
    kept[order] = places < max_degree
    both: NDArray[np.bool_] = kept[:n] & kept[n:]
    return both


def to_edges(pairs: Pairs) -> Synonyms:
    """Return pairs as synonymy edges, whose count is the cosine in thousandths."""
    return Synonyms(
        pairs.lefts.astype(np.int32),
        pairs.rights.astype(np.int32),
        np.rint(pairs.cosines * _THOUSANDTHS).astype(np.int32),
    )


def _exact(vectors: Halves, lefts: Ints, rights: Ints, threshold: float) -> Pairs:
    cosines = np.zeros(len(lefts))
    for start in range(0, len(lefts), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        cosines[some] = np.einsum("ij,ij->i", vectors[lefts[some]].astype(np.float64), vectors[rights[some]])
    enough = cosines >= threshold
    return Pairs(lefts[enough], rights[enough], cosines[enough])


def _joined(parts: list[Pairs]) -> Pairs:
    if not parts:
        return Pairs.none()
    whole = Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return _sorted(whole, np.arange(len(whole.lefts)))


def _sorted(pairs: Pairs, chosen: Ints) -> Pairs:
    order = chosen[np.lexsort((pairs.rights[chosen], pairs.lefts[chosen]))]
    return Pairs(pairs.lefts[order], pairs.rights[order], pairs.cosines[order])
