"""The graph as people look at it: around a name, and in groups; ``evidence.py`` looks between two names.

Graphs are built with networkx from a bounded number of rows, so that a page answers however large the memory is, and
say when a bound was met. A search never comes by here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, TypeAlias

import networkx
import numpy as np
from scipy.sparse import csr_matrix, triu
from sqlalchemy import Connection

from memory_graph.contexts import Contexts, Ints, passages_of, strongest_of_each
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.graph_files import (
    draw_contexts,
    draw_passages,
    draw_phrases,
    draw_relations,
    name_phrases,
    passage_node,
    phrase_node,
)
from memory_graph.store import inspecting
from memory_graph.store.merged import find_or_follow
from memory_graph.text import normalize

MAX_HOPS = 6
MAX_NODES = 2000
MAX_PHRASES = 5000
# Of a name's passages and facts, so many are followed; a name with more of them tells little about any.
HUB = 1000
# Of a passage's names, so many are paired in communities: pairs grow with the square.
NAMES_PER_PASSAGE = 50
LABEL_NAMES = 5
_SEED = 0

Kind: TypeAlias = Literal["phrase", "passage"]
Place: TypeAlias = tuple[Kind, int]


@dataclass(frozen=True, kw_only=True)
class Community:
    """Names that share more passages with each other than with the rest, best connected first; ``label``: the first.

    ``phrase_ids`` are those of ``phrases``.
    """

    size: int
    label: tuple[str, ...]
    phrases: tuple[str, ...]
    phrase_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Communities:
    """The groups of a memory's names, largest first.

    ``considered`` names were looked at, ``alone`` of them share no passage with another; ``cut`` says that there are
    more names, or that a hub's passages were not all read.
    """

    communities: tuple[Community, ...]
    considered: int
    alone: int
    cut: bool


def ego_graph(
    connection: Connection, collection_id: int, center: str, *, hops: int = 1, limit: int = 100, texts: bool = False
) -> Any:
    """Return the ``networkx.MultiDiGraph`` of the phrases and passages within ``hops`` edges of a phrase.

    At most ``limit`` nodes, the nearest; among equally near ones those with the strongest edges to nodes taken before,
    then those with most edges. They stand in that order and carry their ``distance``; ``graph.graph["cut"]`` says
    whether any was left out. Errors: ``NotFound`` with similar names, ``InvalidInput`` for a bound.
    """
    check_bound("hops", hops, MAX_HOPS)
    check_bound("limit", limit, MAX_NODES)
    start: Place = ("phrase", locate(connection, collection_id, center))
    distance: dict[Place, int] = {start: 0}
    frontier: list[Place] = [start]
    cut = False
    for hop in range(1, hops + 1):
        strengths, hub = _neighbours(connection, frontier, distance)
        frontier = _best(connection, strengths, limit - len(distance))
        cut |= hub or len(frontier) < len(strengths)
        distance |= dict.fromkeys(frontier, hop)
        if cut and len(distance) == limit:
            break
    graph = networkx.MultiDiGraph()
    phrase_ids, passage_ids = _ids("phrase", distance), _ids("passage", distance)
    drawn = dict(draw_phrases(connection, phrase_ids)) | dict(draw_passages(connection, passage_ids, texts=texts))
    for (kind, row_id), hop in distance.items():
        node = phrase_node(row_id) if kind == "phrase" else passage_node(row_id)
        graph.add_node(node, **drawn[node], distance=hop)
    mentioned, _ = inspecting.read_mentions(connection, "passage_id", passage_ids)
    graph.add_edges_from(draw_contexts(row for row in mentioned if ("phrase", row.phrase_id) in distance))
    graph.add_edges_from(draw_relations(connection, inspecting.read_facts_among(connection, phrase_ids)))
    graph.graph.update(center=drawn[phrase_node(start[1])]["name"], hops=hops, limit=limit, cut=cut)
    return graph


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of a memory's names by their ids alone: the names are read when they are told.

    ``members`` stand as in ``Communities``, ``considered`` and ``cut`` too.
    """

    members: tuple[tuple[int, ...], ...]
    considered: int
    cut: bool


def communities(connection: Connection, collection_id: int, *, limit: int = 500) -> Communities:
    """Group the ``limit`` best-connected phrases by the passages that they share (Louvain, with a fixed seed).

    Errors: ``InvalidInput`` for the limit. Source: Blondel et al. 2008, arXiv:0803.0476.
    """
    return name_groups(connection, group_names(connection, collection_id, limit=limit))


def group_names(connection: Connection, collection_id: int, *, limit: int = 500) -> Groups:
    """Return the groups of ``communities``, which takes long in a large memory."""
    check_bound("limit", limit, MAX_PHRASES)
    ranked = inspecting.rank_phrases(connection, collection_id, limit + 1)
    cut = len(ranked) > limit
    column = {row.id: place for place, row in enumerate(ranked[:limit])}
    graph, hub = _shared_passages_graph(connection, column)
    groups = networkx.community.louvain_communities(graph, weight="weight", seed=_SEED) if len(graph) else []
    names = name_phrases(connection, list(column))
    id_of = list(column)
    found = []
    for group in groups:
        if len(group) > 1:
            inside = dict(graph.subgraph(group).degree(weight="weight"))
            found.append(tuple(id_of[one] for one in sorted(group, key=lambda one: (-inside[one], one))))
    found.sort(key=lambda members: (-len(members), [names[one] for one in members]))
    return Groups(members=tuple(found), considered=len(column), cut=cut or hub)


def name_groups(connection: Connection, groups: Groups) -> Communities:
    """Return groups of the version that is read with their names."""
    names = name_phrases(connection, [one for members in groups.members for one in members])
    return Communities(
        communities=tuple(
            Community(
                size=len(members),
                label=tuple(names[one] for one in members[:LABEL_NAMES]),
                phrases=tuple(names[one] for one in members),
                phrase_ids=members,
            )
            for members in groups.members
        ),
        considered=groups.considered,
        alone=groups.considered - sum(map(len, groups.members)),
        cut=groups.cut,
    )


def locate(connection: Connection, collection_id: int, name: str) -> int:
    """Return the id of the phrase that a name stands for, or that it became where it was merged away.

    Errors: ``NotFound`` with up to three similar names; ``InvalidInput`` for a name without a letter or digit.
    """
    key = normalize(name)
    if not key:
        raise InvalidInput("name", f"{name!r} holds no letter or digit")
    phrase_id = find_or_follow(connection, collection_id, key)
    if phrase_id is None:
        similar = inspecting.similar_phrases(connection, collection_id, key)
        likeness = {found: SequenceMatcher(None, key, found).ratio() for found in similar}
        near = [similar[found] for found in sorted(similar, key=lambda one: (-likeness[one], one))[:3]]
        names = name_phrases(connection, near)
        raise NotFound("phrase", name, [names[one] for one in near])
    return phrase_id


def check_bound(field: str, value: int, most: int) -> None:
    """Refuse a bound outside 1 to ``most``. Errors: ``InvalidInput`` naming the field."""
    if not 1 <= value <= most:
        raise InvalidInput(field, f"must be 1 to {most}")


def _ids(kind: Kind, places: Iterable[Place]) -> list[int]:
    return [row_id for found, row_id in places if found == kind]


def _neighbours(
    connection: Connection, frontier: Sequence[Place], known: dict[Place, int]
) -> tuple[dict[Place, int], bool]:
    """Return what is one edge away and not known, with the strength of its edges to ``frontier``."""
    phrase_ids = _ids("phrase", frontier)
    mentioned, cut = inspecting.read_mentions(connection, "phrase_id", phrase_ids, HUB)
    mentioning, crowded = inspecting.read_mentions(connection, "passage_id", _ids("passage", frontier), HUB)
    facts, many = inspecting.read_facts(connection, phrase_ids, HUB)
    strengths: dict[Place, int] = {}

    def add(place: Place, strength: int) -> None:
        if place not in known:
            strengths[place] = strengths.get(place, 0) + strength

    for row in mentioned:
        add(("passage", row.passage_id), row.times)
    for row in mentioning:
        add(("phrase", row.phrase_id), row.times)
    for row in facts:  # one end at least is known
        add(("phrase", row.subject_id), 1)
        add(("phrase", row.object_id), 1)
    return strengths, cut or crowded or many


def _best(connection: Connection, strengths: dict[Place, int], room: int) -> list[Place]:
    """Return the ``room`` strongest; edges are counted only for those whose strength does not decide."""
    ranked = sorted(strengths, key=lambda place: (-strengths[place], place))
    if room <= 0 or not ranked:
        return []
    least = strengths[ranked[min(room, len(ranked)) - 1]]
    tied = [place for place in ranked if strengths[place] == least]
    passages = inspecting.count_mentions(connection, "phrase_id", _ids("phrase", tied))
    phrases = inspecting.count_mentions(connection, "passage_id", _ids("passage", tied))
    edges = {"phrase": passages, "passage": phrases}
    tied.sort(key=lambda place: (-edges[place[0]].get(place[1], 0), place))
    return [*(place for place in ranked if strengths[place] > least), *tied][:room]


def _shared_passages_graph(connection: Connection, column: dict[int, int]) -> tuple[Any, bool]:
    """Join phrases by how many passages they share; nodes are the values of ``column`` (phrase id to place)."""
    found = passages_of(connection, list(column), HUB)
    ids = np.array(list(column), dtype=np.int64)
    by_id = np.argsort(ids)
    columns = by_id[np.searchsorted(ids[by_id], found.phrase_ids)]
    counts = _counts_where_crowded(connection, found)
    kept, crowded = strongest_of_each(found.passages, columns, counts, NAMES_PER_PASSAGE)
    passages, places = np.unique(found.passages[kept], return_inverse=True)
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(column)))
    held = csr_matrix((np.ones(len(kept)), (places, columns[kept])), shape=(len(passages), len(column)))
    shared = triu(held.T @ held, k=1).tocsr()
    shared.sort_indices()  # the order of edges decides what Louvain finds
    pairs = shared.tocoo()
    graph.add_weighted_edges_from(zip(pairs.row.tolist(), pairs.col.tolist(), pairs.data.tolist(), strict=True))
    return graph, found.cut or crowded


def _counts_where_crowded(connection: Connection, found: Contexts) -> Ints:
    """Return how often passages mention names, (m,), read for those of very many names; 1 where all are kept anyway."""
    passages, sizes = np.unique(found.passages, return_counts=True)
    rows = inspecting.read_mentioned(connection, passages[sizes > NAMES_PER_PASSAGE].tolist())
    times = {(passage_id, phrase_id): count for passage_id, phrase_id, count in rows}
    if not times:
        return np.ones(len(found.passages), dtype=np.int64)
    edges = zip(found.passages.tolist(), found.phrase_ids.tolist(), strict=True)
    return np.array([times.get(edge, 1) for edge in edges], dtype=np.int64)
