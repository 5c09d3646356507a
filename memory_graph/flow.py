"""Where the mass on a node of a walk came from: from the reset vector, and from which of its neighbours how much.

At the fixed point π = c·r + d·S π, with c the share of all mass that returns to the reset vector r at each step. So
what node j holds came to c·r_j from the reset vector, and to d·S_ji·π_i from each neighbour i.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_graph.edges import Kind
from memory_graph.graph import Graph
from memory_graph.push import arrays_of, send_among
from memory_graph.walk import Walk, WalkParams

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CANDIDATES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Inflow:
    """What arrived at a ``node`` in a walk: ``mass`` = ``reset`` + the sum of ``masses`` + ``other``.

    ``sources`` (k,) are neighbours, ``masses`` (k,) what came from each, the most first. ``other`` came from neighbours
    that are not listed; it is below zero by at most (1 - damping) · the walk's residual where all are listed, since the
    scores of a push are lower bounds.
    """

    node: int
    mass: float
    reset: float
    sources: Ints
    masses: Floats

    @property
    def other(self) -> float:
        """What came from neighbours that are not listed."""
        return self.mass - self.reset - float(self.masses.sum())


class Flow:
    """The mass of one walk, to be asked where it came from; ``seeds`` (k,) and ``masses`` (k,) are its reset vector."""

    def __init__(self, graph: Graph, walked: Walk, seeds: Ints, masses: Floats, params: WalkParams) -> None:
        order = np.argsort(walked.nodes)
        self._graph, self._params = graph, params
        self._arrays = arrays_of(graph)
        self._nodes, self._scores = walked.nodes[order], walked.scores[order]
        self._returning = walked.returning
        self._resets = dict(zip(seeds.tolist(), masses.tolist(), strict=True))

    def into(self, targets: Sequence[int], most: int, candidates: int = _CANDIDATES) -> list[Inflow]:
        """Return what arrived at each of these distinct nodes, from the ``most`` neighbours that gave the most.

        Of a node with more neighbours that the walk reached than ``candidates``, those with the highest scores are
        looked at. The cost goes by the edges that leave what is looked at.
        """
        near = {target: self._neighbours(target, candidates) for target in targets}
        sources = _distinct(near.values())
        sent = self._send(sources, np.sort(np.asarray(targets, dtype=np.int64)))
        column = {target: place for place, target in enumerate(sorted(targets))}
        return [self._inflow(target, near[target], sources, sent[:, column[target]], most) for target in targets]

    def score(self, nodes: Ints) -> Floats:
        """Return the scores (k,) of nodes, 0 for those that the walk did not reach."""
        if not len(self._nodes):
            return np.zeros(len(nodes))
        places = np.minimum(np.searchsorted(self._nodes, nodes), len(self._nodes) - 1)
        scores: Floats = np.where(self._nodes[places] == nodes, self._scores[places], 0.0)
        return scores

    def _neighbours(self, node: int, candidates: int) -> Ints:
        """Return the neighbours that the walk reached, ascending, those with the highest scores if there are many."""
        n_passages = self._graph.n_passages
        if node < n_passages:
            found = self._graph.mentions.row(node)[0].astype(np.int64) + n_passages
        else:
            row = (node - n_passages) * len(Kind)
            walked = [kind for kind in Kind if getattr(self._params.shares, kind.name)]
            offsets = {Kind.context: 0}
            found = _distinct(
                self._graph.edges.row(row + kind)[0] + np.int64(offsets.get(kind, n_passages)) for kind in walked
            )
        scores = self.score(found)
        reached = np.flatnonzero(scores > 0)
        if len(reached) > candidates:
            reached = reached[np.argsort(-scores[reached], kind="stable")[:candidates]]
        return np.sort(found[reached])

    def _send(self, sources: Ints, targets: Ints) -> Floats:
        masses = self._params.damping * self.score(sources)
        return send_among(self._arrays, sources, masses, targets, self._params.shares)

    def _inflow(self, target: int, near: Ints, sources: Ints, sent: Floats, most: int) -> Inflow:
        masses = sent[np.searchsorted(sources, near)]
        order = np.argsort(-masses, kind="stable")[:most]
        order = order[masses[order] > 0]
        return Inflow(
            node=target,
            mass=float(self.score(np.array([target]))[0]),
            reset=self._returning * self._resets.get(target, 0.0),
            sources=near[order],
            masses=masses[order],
        )


def _distinct(parts: Iterable[Ints]) -> Ints:
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))
