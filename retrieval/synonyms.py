"""Phrases that mean the same, as a view joins them: found when a phrase comes, capped by what lives.

Every phrase with a vector is compared with all others when it comes. All pairs that are near enough are kept; those
that are among the nearest of both their phrases are edges of the graph. Which ones these are is settled anew whenever
phrases come or go, so that it follows from what lives and not from the order in which it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.graph import Synonyms
from memory_graph.growing import Growing
from memory_graph.synonymy import Pairs, SynonymyParams, find_synonyms, to_edges, within_degree
from retrieval.vectors import Vectors

Ints = NDArray[np.int64]
Halves = NDArray[np.float16]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SynonymIndex:
    """Phrases with vectors: ``rows`` (e,) among a view's phrases, in the order in which the vectors came.

    ``pairs`` are rows of phrases that are near each other, left below right; ``joined`` (m,) those that are edges.
    """

    rows: Growing
    vectors: Vectors
    pairs: Pairs = field(default_factory=Pairs.none)
    joined: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))
    params: SynonymyParams = field(default_factory=SynonymyParams)

    @staticmethod
    def empty(params: SynonymyParams | None = None) -> SynonymIndex:
        """Return the index of a memory whose phrases have no vectors."""
        vectors = Vectors.of(np.zeros((0, 0), dtype=np.float16))
        return SynonymIndex(Growing.empty(np.int64), vectors, params=params or SynonymyParams())

    def __len__(self) -> int:
        """Phrases with vectors, the dead ones included."""
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        pairs = sum(part.nbytes for part in (*self.pairs, self.joined))
        return self.rows.rows.nbytes + pairs + len(self.vectors) * self.vectors.dim * 2

    def advanced(
        self, rows: Ints, vectors: Halves, dead: Ints, key_of: Callable[[int], str]
    ) -> tuple[SynonymIndex, Synonyms]:
        """Return the index with more phrases and without the pairs of those that are ``dead``, all sorted rows.

        Beside it are the edges that come and, with a negative count, go; those of phrases that die are not among them,
        because a graph takes these back by itself. ``key_of`` tells what the phrase of a row is called.
        """
        living = ~np.isin(self.pairs.lefts, dead) & ~np.isin(self.pairs.rights, dead)
        if not len(rows) and living.all():
            return self, Synonyms.none()
        n_known = len(self)
        every, all_vectors = self.rows.extended(rows), self.vectors.extended(vectors)
        found = Pairs.none()
        if len(rows):
            alive = ~np.isin(every.rows, dead)
            taken = all_vectors.take(np.arange(len(all_vectors)))
            found = find_synonyms(taken, alive, self.params, first_new=n_known)
        ends = every.rows[found.lefts], every.rows[found.rights]
        pairs = Pairs(
            np.concatenate([self.pairs.lefts[living], np.minimum(*ends)]),
            np.concatenate([self.pairs.rights[living], np.maximum(*ends)]),
            np.concatenate([self.pairs.cosines[living], found.cosines]),
        )
        before = np.concatenate([self.joined[living], np.zeros(len(found.lefts), dtype=bool)])
        joined = _within_degree(pairs, key_of, self.params.max_degree)
        come, go = (to_edges(_chosen(pairs, which)) for which in (joined & ~before, before & ~joined))
        changed = Synonyms(
            np.concatenate([come.lefts, go.lefts]),
            np.concatenate([come.rights, go.rights]),
            np.concatenate([come.counts, -go.counts]),
        )
        return replace(self, rows=every, vectors=all_vectors, pairs=pairs, joined=joined), changed

    def compacted(self, phrases: Mask) -> SynonymIndex:
        """Return the index in the order of rows, for a view that keeps those ``phrases``."""
        alive = np.flatnonzero(phrases[self.rows.rows]) if len(self) else np.zeros(0, dtype=np.int64)
        if not len(alive):
            return SynonymIndex.empty(self.params)
        alive = alive[np.argsort(self.rows.rows[alive])]
        row_of = np.cumsum(phrases) - 1
        order = np.lexsort((self.pairs.rights, self.pairs.lefts))
        pairs = _chosen(self.pairs, order)
        return replace(
            self,
            rows=Growing.of(row_of[self.rows.rows[alive]]),
            vectors=Vectors.of(self.vectors.take(alive)),
            pairs=Pairs(row_of[pairs.lefts], row_of[pairs.rights], pairs.cosines),
            joined=self.joined[order],
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return a compacted index as named arrays, to be saved."""
        vectors = self.vectors.take(np.arange(len(self.vectors)))
        return {"rows": self.rows.rows, "vectors": vectors, "joined": self.joined, **self.pairs._asdict()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> SynonymIndex:
        """Return the index that ``to_arrays`` took apart; without arrays, an empty one."""
        if not arrays:
            return SynonymIndex.empty()
        pairs = Pairs(*(arrays[part] for part in Pairs._fields))
        return SynonymIndex(Growing.of(arrays["rows"]), Vectors.of(arrays["vectors"]), pairs, arrays["joined"])


def _within_degree(pairs: Pairs, key_of: Callable[[int], str], max_degree: int) -> Mask:
    """Tell which pairs are among the nearest of both their phrases; names are looked up only where that decides."""
    ends, places = np.unique(np.concatenate([pairs.lefts, pairs.rights]), return_inverse=True)
    if np.bincount(places, minlength=1).max() <= max_degree:
        return np.ones(len(pairs.lefts), dtype=bool)
    lefts, rights = places.reshape(2, -1)
    keys = np.array([key_of(row) for row in ends.tolist()])
    return within_degree(Pairs(lefts, rights, pairs.cosines), keys, max_degree)


def _chosen(pairs: Pairs, which: NDArray[Any]) -> Pairs:
    return Pairs(pairs.lefts[which], pairs.rights[which], pairs.cosines[which])
