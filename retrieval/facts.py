"""The facts nearest to a question, and the phrases that they give a walk to start from.

Facts have vectors where a language model read them. All of them are compared, exactly; the nearest ones may pass a
filter that knows the question (recognition memory, as in HippoRAG 2), which answers with places in a list and never
with text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memory_graph.edges import Kind
from memory_graph.errors import GeneratorOutputInvalid
from memory_graph.graph import Graph
from memory_graph.growing import Growing
from memory_graph.types import Usage
from retrieval.vectors import Vectors

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_IDS = ("ids", "ends", "orders")


@dataclass(frozen=True, kw_only=True)
class FactChoice:
    """Which facts are relevant, by their places from 0; none is an answer too.

    ``out_of_range`` counts the places that were named and do not exist, ``usage`` what the choice cost.
    """

    places: Sequence[int]
    out_of_range: int = 0
    usage: Usage = field(default_factory=Usage)


class FactFilter(Protocol):
    """Knows which facts speak of a question."""

    def choose(self, question: str, facts: Sequence[str]) -> FactChoice:
        """Return which of ``facts`` are relevant.

        Errors: ``GeneratorError`` where there is no answer to be had.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class FactParams:
    """``share`` of a walk's mass starts at the phrases of the ``nearest`` facts, taken from that of the passages.

    A fact weighs exp((similarity - best) / temperature), and each of its phrases that times its idf. What a passage
    states counts as evidence: its similarity becomes (1 - mix) · its own + mix · that of its best fact among the
    ``evidence`` nearest; one that states none of these has the last one's.
    """

    share: float = 0.15
    nearest: int = 5
    temperature: float = 0.05
    evidence: int = 30
    mix: float = 0.5


@dataclass(frozen=True)
class FactIndex:
    """Facts with vectors, by row in the order of their ids; a row that is ``dead`` (sorted) is never found."""

    ids: Growing
    ends: Growing  # (n, 2): rows of the subject and the object among the phrases
    orders: Growing  # by which facts of equal similarity are ordered
    vectors: Vectors
    dead: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @staticmethod
    def empty() -> FactIndex:
        """Return the index of a memory without facts."""
        return FactIndex(
            Growing.empty(np.int64),
            Growing.empty(np.int64, 2),
            Growing.empty(np.int64),
            Vectors.of(np.zeros((0, 0), dtype=np.float16)),
        )

    def __len__(self) -> int:
        """Facts that live."""
        return len(self.ids) - len(self.dead)

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        ids = sum(part.rows.nbytes for part in (self.ids, self.ends, self.orders))
        return ids + len(self.vectors) * self.vectors.dim * 2

    def extended(self, ids: Ints, ends: Ints, orders: Ints, vectors: NDArray[np.float16]) -> FactIndex:
        """Return the index with more facts (n,), whose ids may lie below those that are there."""
        if not len(ids):
            return self
        return replace(
            self,
            ids=self.ids.extended(ids),
            ends=self.ends.extended(ends),
            orders=self.orders.extended(orders),
            vectors=self.vectors.extended(vectors),
        )

    def without(self, ids: Ints) -> FactIndex:
        """Return the index without the facts of these ids; those that it never held are passed over."""
        dead = np.union1d(self.dead, np.flatnonzero(np.isin(self.ids.rows, ids))) if len(ids) else self.dead
        return replace(self, dead=dead)

    def compacted(self, phrases: NDArray[np.bool_]) -> FactIndex:
        """Return the index in the order of ids and without dead rows, for a view that keeps those ``phrases``."""
        alive = np.setdiff1d(np.arange(len(self.ids)), self.dead, assume_unique=True)
        if not len(alive):
            return FactIndex.empty()
        alive = alive[np.argsort(self.ids.rows[alive], kind="stable")]
        row_of = np.cumsum(phrases) - 1
        return FactIndex(
            Growing.of(self.ids.rows[alive]),
            Growing.of(row_of[self.ends.rows[alive]].reshape(-1, 2)),
            Growing.of(self.orders.rows[alive]),
            Vectors.of(self.vectors.take(alive)),
        )

    def search(self, query: NDArray[np.float32], k: int) -> tuple[Ints, Floats]:
        """Return the rows and similarities of the ``k`` facts nearest to a unit vector (dim,), best first.

        A similarity is the float64 inner product; those that are equal to 1e-12 are ordered by ``orders``.
        """
        k = min(k, len(self))
        if not k:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        alive: NDArray[np.bool_] | None = None
        if len(self.dead):
            alive = np.ones(len(self.ids), dtype=bool)
            alive[self.dead] = False
        candidates = self.vectors.nearest(np.ascontiguousarray(query, np.float32), k, alive, 0, len(self.ids))
        return self.vectors.best(query, candidates, k, self.orders.rows)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return a compacted index as named arrays, to be saved."""
        if len(self.dead):
            raise ValueError("only a compacted index can be saved")
        arrays = {name: getattr(self, name).rows for name in _IDS}
        return arrays | {"vectors": self.vectors.take(np.arange(len(self.vectors)))}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]]) -> FactIndex:
        """Return the index that ``to_arrays`` took apart; without arrays, an empty one."""
        if not arrays:
            return FactIndex.empty()
        ids, ends, orders = (Growing.of(arrays[name]) for name in _IDS)
        return FactIndex(ids, ends, orders, Vectors.of(arrays["vectors"]))


def check_choice(choice: Sequence[int], n: int) -> list[int]:
    """Return what a filter chose among ``n`` facts, each once. Errors: ``GeneratorOutputInvalid`` for anything else."""
    for place in choice:
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < n:
            raise GeneratorOutputInvalid(f"the filter of facts chose {place!r}, which is none of 0 to {n - 1}")
    return list(dict.fromkeys(choice))


def weigh_ends(
    index: FactIndex, graph: Graph, rows: Ints, similarities: Floats, params: FactParams
) -> tuple[Ints, Floats]:
    """Return the phrases of facts as seeds: rows of phrases, ascending, and weights (k,) that sum to 1.

    ``rows`` and ``similarities`` are those of facts. Phrases that no passage mentions are left out: they lead nowhere.
    """
    ends = index.ends.rows[rows].ravel()
    if not len(ends):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    weights = np.repeat(np.exp((similarities - similarities.max()) / params.temperature), 2)
    phrases, inverse = np.unique(ends, return_inverse=True)
    totals = np.bincount(inverse, weights=weights) * graph.idf_of(phrases)
    lead = graph.edges.degrees_of(Kind.context, phrases) > 0
    phrases, totals = phrases[lead], totals[lead]
    return phrases, totals / totals.sum() if len(totals) else totals


def mix_evidence(rows: Ints, own: Floats, stated: tuple[Ints, Floats], floor: float, mix: float) -> Floats:
    """Return the likeness (k,) of passages, ascending distinct ``rows`` of similarities ``own``, with what facts say.

    ``stated`` (m,) are rows, all among ``rows``, and the similarity of a fact that each states; ``floor`` is that of
    the last fact looked at.
    """
    evidence = np.full(len(rows), floor)
    np.maximum.at(evidence, np.searchsorted(rows, stated[0]), stated[1])
    return (1.0 - mix) * own + mix * evidence


def join_seeds(*seeds: tuple[Ints, Floats]) -> tuple[Ints, Floats]:
    """Return seeds of several kinds as one: rows in the order in which they first come, masses of equal rows added."""
    rows, masses = (np.concatenate(columns) for columns in zip(*seeds, strict=True))
    distinct, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    totals: Floats = np.bincount(inverse, weights=masses, minlength=len(distinct)).astype(np.float64)
    order = np.argsort(first)
    return distinct[order].astype(np.int64), totals[order]
