"""How names stand to each other, for people: those around some names, and what joins each two of them.

Other than in the graph that a search walks, passages are no nodes here: two names that a passage mentions are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import networkx
import numpy as np
from scipy.sparse import csr_matrix, triu
from sqlalchemy import Connection, Row

from memory_graph.contexts import Contexts, Ints, names_in, passages_of
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.graph_files import TIE_KINDS, TieKind, name_phrases
from memory_graph.inspect import HUB, MAX_HOPS, MAX_NODES, NAMES_PER_PASSAGE, check_bound
from memory_graph.store import inspecting

# Ids of phrases with similarities, 0 to 1.
Synonyms: TypeAlias = Callable[[int], Sequence[tuple[int, float]]]

MAX_TIES = 6_000
MAX_PASSAGES = 20_000  # read in one step
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class NameNode:
    """A name; ``degree`` is how many passages mention it, ``community`` its group among those shown, 0 the largest.

    ``distance`` is how many ties lead to it from the names that were asked for.
    """

    id: int
    name: str
    degree: int
    distance: int
    community: int


@dataclass(frozen=True, kw_only=True)
class Tie:
    """What joins two names.

    ``weight`` is how many passages state the fact or mention both names, or how similar synonyms are, 0 to 1. A fact
    leads from its subject to its object and has ``fact_id`` and ``predicate``; for the others the lower id comes first.
    """

    source: int
    target: int
    kind: TieKind
    weight: float
    fact_id: int | None = None
    predicate: str | None = None


@dataclass(frozen=True, kw_only=True)
class NameGraph:
    """Names with their ties, the nearest first; ``cut`` says that there is more than is told."""

    names: tuple[NameNode, ...]
    ties: tuple[Tie, ...]
    cut: bool


def names_around(
    connection: Connection,
    collection_id: int,
    phrase_ids: Sequence[int],
    *,
    members: Sequence[int] = (),
    steps: int = 1,
    limit: int = 100,
    kinds: Collection[TieKind] = TIE_KINDS,
    least: int = 1,
    synonyms: Synonyms | None = None,
) -> NameGraph:
    """Return names with those within ``steps`` ties of ``phrase_ids``; of ``members`` only what joins them is told.

    At most ``limit`` names: of equally near ones those with most facts and shared passages with those taken before,
    then those in most passages. Facts and passages need a weight of ``least``. Errors: ``NotFound`` for an id,
    ``InvalidInput`` for a bound.
    """
    check_bound("steps", steps, MAX_HOPS)
    check_bound("limit", limit, MAX_NODES)
    asked = list(dict.fromkeys([*phrase_ids, *members]))
    if not asked:
        raise InvalidInput("phrase", "give the id of a phrase, more than once for several")
    if len(asked) > limit:
        raise InvalidInput("limit", f"must be at least the {len(asked):,} names that are asked for")
    known = inspecting.known_phrases(connection, collection_id, asked)
    for one in asked:
        if one not in known:
            raise NotFound("phrase", str(one))
    search = _Search(connection, collection_id, frozenset(kinds), least, synonyms)
    distance = dict.fromkeys(asked, 0)
    frontier = list(dict.fromkeys(phrase_ids))
    for step in range(1, steps + 1):
        found = search.neighbours(frontier, distance)
        frontier = _strongest(connection, found, limit - len(distance))
        search.cut |= len(frontier) < len(found)
        distance |= dict.fromkeys(frontier, step)
        if not frontier:
            break
    ties = search.ties(list(distance))
    names = name_phrases(connection, list(distance))
    degrees = inspecting.read_degrees(connection, list(distance))
    group = _groups(list(distance), ties)
    return NameGraph(
        names=tuple(
            NameNode(id=one, name=names[one], degree=degrees.get(one, 0), distance=away, community=group[one])
            for one, away in distance.items()
        ),
        ties=tuple(ties),
        cut=search.cut,
    )


class _Search:
    """Reads the ties of names with bounds, and remembers in ``cut`` whether one was met."""

    def __init__(
        self,
        connection: Connection,
        collection_id: int,
        kinds: frozenset[TieKind],
        least: int,
        synonyms: Synonyms | None,
    ) -> None:
        self._connection = connection
        self._collection_id = collection_id
        self._kinds = kinds
        self._least = least
        self._synonyms = synonyms
        self.cut = False

    def neighbours(self, frontier: Sequence[int], known: Collection[int]) -> dict[int, float]:
        """Return the names that a tie joins with ``frontier`` and that are not known, with the strength of all ties."""
        strengths: dict[int, float] = {}

        def add(one: int, strength: float) -> None:
            if one not in known:
                strengths[one] = strengths.get(one, 0) + strength

        if "passage" in self._kinds:
            for one, shared in self._beside(frontier):
                add(one, shared)
        if "fact" in self._kinds:
            rows, many = inspecting.read_facts(self._connection, frontier, HUB)
            self.cut |= many
            for row, weight in self._weighed(rows):
                add(row.subject_id, weight)  # one end at least is known
                add(row.object_id, weight)
        if self._synonyms is not None and "synonym" in self._kinds:
            near = {other: likeness for one in frontier for other, likeness in self._synonyms(one)}
            # A view may be older than the rows.
            there = inspecting.known_phrases(self._connection, self._collection_id, sorted(near))
            for one in there:
                add(one, near[one])
        return strengths

    def ties(self, phrase_ids: Sequence[int]) -> list[Tie]:
        """Return what joins these names with each other: facts, synonyms, then shared passages, the strongest first."""
        found: list[Tie] = []
        inside = set(phrase_ids)
        if "fact" in self._kinds:
            rows = inspecting.read_facts_among(self._connection, phrase_ids)
            found += (
                Tie(
                    source=row.subject_id,
                    target=row.object_id,
                    kind="fact",
                    weight=weight,
                    fact_id=row.id,
                    predicate=row.predicate,
                )
                for row, weight in islice(self._weighed(rows), MAX_TIES + 1)
            )
        if self._synonyms is not None and "synonym" in self._kinds:
            found += (
                Tie(source=one, target=other, kind="synonym", weight=likeness)
                for one in phrase_ids
                for other, likeness in self._synonyms(one)
                if one < other and other in inside
            )
        if "passage" in self._kinds:
            found += self._shared(sorted(phrase_ids))
        self.cut |= len(found) > MAX_TIES
        return found[:MAX_TIES]

    def _weighed(self, rows: Sequence[Row[Any]]) -> Iterable[tuple[Row[Any], int]]:
        sources = inspecting.count_fact_sources(self._connection, [row.id for row in rows])
        return ((row, sources.get(row.id, 0)) for row in rows if sources.get(row.id, 0) >= self._least)

    def _beside(self, frontier: Sequence[int]) -> Iterable[tuple[int, int]]:
        """Yield names with how many passages each shares with one of ``frontier``."""
        mentioned = passages_of(self._connection, frontier, HUB)
        passages = np.unique(mentioned.passages)
        self.cut |= mentioned.cut or len(passages) > MAX_PASSAGES
        passages = passages[:MAX_PASSAGES]
        beside = names_in(self._connection, passages, NAMES_PER_PASSAGE)
        self.cut |= beside.cut
        starts, others = np.unique(mentioned.phrase_ids), np.unique(beside.phrase_ids)
        shared = (_incidence(mentioned, passages, starts).T @ _incidence(beside, passages, others)).tocoo()
        is_enough = shared.data >= self._least
        yield from zip(others[shared.col[is_enough]].tolist(), shared.data[is_enough].tolist(), strict=True)

    def _shared(self, phrase_ids: Sequence[int]) -> list[Tie]:
        found = passages_of(self._connection, phrase_ids, HUB)
        self.cut |= found.cut
        held = _incidence(found, np.unique(found.passages), np.array(phrase_ids))
        pairs = triu(held.T @ held, k=1).tocoo()
        # Ties of equal weight in the order of their names, so that a bound always leaves out the same.
        order = np.lexsort((pairs.col, pairs.row, -pairs.data))
        order = order[pairs.data[order] >= self._least][: MAX_TIES + 1]
        return [
            Tie(source=phrase_ids[one], target=phrase_ids[other], kind="passage", weight=weight)
            for one, other, weight in zip(
                pairs.row[order].tolist(), pairs.col[order].tolist(), pairs.data[order].tolist(), strict=True
            )
        ]


def _incidence(found: Contexts, passages: Ints, phrase_ids: Ints) -> csr_matrix:
    """Return which of these phrases stands in which of these passages, (n_passages, n_phrases); both are sorted."""
    within = np.isin(found.passages, passages)
    rows = np.searchsorted(passages, found.passages[within])
    columns = np.searchsorted(phrase_ids, found.phrase_ids[within])
    shape = (len(passages), len(phrase_ids))
    return csr_matrix((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=shape)


def _strongest(connection: Connection, strengths: dict[int, float], room: int) -> list[int]:
    """Return the ``room`` strongest; passages are counted only for those whose strength does not decide."""
    ranked = sorted(strengths, key=lambda one: (-strengths[one], one))
    if room <= 0 or not ranked:
        return []
    least = strengths[ranked[min(room, len(ranked)) - 1]]
    tied = [one for one in ranked if strengths[one] == least]
    degrees = inspecting.read_degrees(connection, tied)
    tied.sort(key=lambda one: (-degrees.get(one, 0), one))
    return [*(one for one in ranked if strengths[one] > least), *tied][:room]


def _groups(phrase_ids: Sequence[int], ties: Sequence[Tie]) -> dict[int, int]:
    """Group names by their ties (Louvain, with a fixed seed); source: Blondel et al. 2008, arXiv:0803.0476."""
    graph = networkx.Graph()
    graph.add_nodes_from(sorted(phrase_ids))
    for tie in ties:
        before = graph.get_edge_data(tie.source, tie.target, {"weight": 0})["weight"]
        graph.add_edge(tie.source, tie.target, weight=before + tie.weight)
    groups = sorted(
        networkx.community.louvain_communities(graph, weight="weight", seed=_SEED),
        key=lambda members: (-len(members), min(members)),
    )
    return {one: number for number, members in enumerate(groups) for one in members}
