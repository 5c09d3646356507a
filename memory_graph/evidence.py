"""Why two names are connected: the shortest chains of names between them, with what each step rests on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import Any

import networkx
from sqlalchemy import Connection

from memory_graph.errors import InvalidInput
from memory_graph.graph_files import name_phrases
from memory_graph.inspect import HUB, check_bound, locate
from memory_graph.store import inspecting
from memory_graph.store.rows import chunks

MAX_STEPS = 6
MAX_PATHS = 20
MAX_VISITED = 200_000
_SNIPPET_CHARS = 240
_EVIDENCE = 3
_PATHS_CONSIDERED = 200
# Of a name's places in one passage, so many are looked at for the snippet.
_PLACES = 50


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A passage that a step rests on; ``ordinal`` counts the document's passages from 0."""

    passage_id: int
    document_id: str
    title: str
    ordinal: int
    snippet: str


@dataclass(frozen=True, kw_only=True)
class StatedFact:
    """A fact with the first of the passages that state it."""

    subject: str
    predicate: str
    object: str
    passages: tuple[Evidence, ...]


@dataclass(frozen=True, kw_only=True)
class PathStep:
    """Why two names are connected: the facts that join them, and the first of ``shared`` passages that mention both."""

    source: str
    source_id: int
    target: str
    target_id: int
    facts: tuple[StatedFact, ...]
    passages: tuple[Evidence, ...]
    shared: int


@dataclass(frozen=True, kw_only=True)
class EvidencePaths:
    """The shortest chains of names from ``source`` to ``target``.

    ``reason`` says why there is none; ``cut`` that a bound was met, so that shorter or other chains may exist.
    """

    source: str
    target: str
    paths: tuple[tuple[PathStep, ...], ...]
    reason: str | None
    cut: bool


def evidence_paths(
    connection: Connection,
    collection_id: int,
    source: str,
    target: str,
    *,
    steps: int = 4,
    paths: int = 3,
    limit: int = 20_000,
) -> EvidencePaths:
    """Return the shortest chains of names from one to another, with the passages and facts that each step rests on.

    A step joins two names that a passage mentions or a fact relates. At most ``steps`` steps; at most ``limit``
    names and passages are visited. Of equally short chains those through rarer names come first, since they say more.
    Errors: ``NotFound`` with similar names; ``InvalidInput`` for a bound, or where both are the same name.
    """
    check_bound("steps", steps, MAX_STEPS)
    check_bound("paths", paths, MAX_PATHS)
    check_bound("limit", limit, MAX_VISITED)
    start, goal = locate(connection, collection_id, source), locate(connection, collection_id, target)
    if start == goal:
        raise InvalidInput("target", f"{target!r} and {source!r} are the same name")
    links, cut = _connect(connection, start, goal, steps, limit)
    chains: list[list[int]] = []
    if links.has_node(goal) and links.has_node(start) and networkx.has_path(links, start, goal):
        chains = list(islice(networkx.all_shortest_paths(links, start, goal), _PATHS_CONSIDERED))
        cut |= len(chains) == _PATHS_CONSIDERED
    between = inspecting.count_mentions(connection, "phrase_id", sorted({one for chain in chains for one in chain}))
    chains.sort(key=lambda chain: (sum(between.get(one, 0) for one in chain[1:-1]), chain))
    names = name_phrases(connection, [start, goal, *(one for chain in chains[:paths] for one in chain[1:-1])])
    reason = None
    if not chains:
        within = f"within {steps} step{'' if steps == 1 else 's'}"
        reason = f"they are not connected {within}"
        if cut:
            reason = f"no connection {within} was found among {limit:,} names and passages, {HUB:,} around one name"
    return EvidencePaths(
        source=names[start],
        target=names[goal],
        paths=tuple(
            tuple(_explain(connection, one, other, names) for one, other in pairwise(chain)) for chain in chains[:paths]
        ),
        reason=reason,
        cut=cut or len(chains) > paths,
    )


@dataclass
class _Side:
    """What a search from one end has seen: names reached, those to go on from, and passages read."""

    reached: set[int]
    frontier: set[int]
    passages: set[int]

    @property
    def seen(self) -> int:
        return len(self.reached) + len(self.passages)


def _connect(connection: Connection, start: int, goal: int, steps: int, limit: int) -> tuple[Any, bool]:
    """Search from both ends, whole steps at a time, until they meet; return the links that lead away from the ends.

    Since steps are whole, the links hold every shortest chain as long as no bound was met.
    """
    links = networkx.Graph()
    counts = inspecting.count_mentions(connection, "phrase_id", [start, goal])
    # Where both frontiers are as large, the search goes on from the rarer name.
    sides = [_Side({end}, {end}, set()) for end in sorted((start, goal), key=lambda end: (counts.get(end, 0), end))]
    # A direct connection is looked up, so that it is found between hubs too.
    if inspecting.read_shared_passages(connection, start, goal, 1)[1]:
        links.add_edge(start, goal)
        return links, False
    cut = False
    for _ in range(steps):
        side, other = sorted(sides, key=lambda one: len(one.frontier))
        room = limit - side.seen - other.seen
        cut |= _expand(connection, side, links, room)
        if not side.frontier or side.frontier & other.reached:
            break
    return links, cut


def _expand(connection: Connection, side: _Side, links: Any, room: int) -> bool:
    """Take one step further from all of ``side.frontier``; return whether a bound was met."""
    names_of: dict[int, list[int]] = {}
    new: set[int] = set()
    cut = False
    for some in chunks(sorted(side.frontier)):
        left = room - len(names_of) - len(new)
        if left <= 0:
            cut = True
            break
        rows, hub = inspecting.read_mentions(connection, "phrase_id", some, HUB)
        known = side.passages | names_of.keys()
        unread = [one for one in dict.fromkeys(row.passage_id for row in rows) if one not in known]
        found, crowded = inspecting.read_mentions(connection, "passage_id", unread[:left], HUB)
        for row in found:
            names_of.setdefault(row.passage_id, []).append(row.phrase_id)
        facts, many = inspecting.read_facts(connection, some, HUB)
        cut |= hub or crowded or many or len(unread) > left
        pairs = [(row.phrase_id, name) for row in rows for name in names_of.get(row.passage_id, ())]
        pairs += [(row.subject_id, row.object_id) for row in facts if row.subject_id in side.frontier]
        pairs += [(row.object_id, row.subject_id) for row in facts if row.object_id in side.frontier]
        for one, name in pairs:
            if name not in side.reached:
                links.add_edge(one, name)
                new.add(name)
    side.passages |= names_of.keys()
    side.reached |= new
    side.frontier = new
    return cut


def _explain(connection: Connection, one: int, other: int, names: dict[int, str]) -> PathStep:
    facts = inspecting.read_facts_among(connection, [one, other])
    sources = {row.id: inspecting.read_fact_sources(connection, row.id, _EVIDENCE) for row in facts}
    shared, total = inspecting.read_shared_passages(connection, one, other, _EVIDENCE)
    spelled = {row.passage_id: (row.one_surface, row.other_surface) for row in shared}
    wanted = {*spelled, *(passage_id for found in sources.values() for passage_id in found)}
    evidence = {
        passage_id: Evidence(
            passage_id=passage_id,
            document_id=row.document_id,
            title=row.title,
            ordinal=row.ordinal,
            snippet=_snip(row.text, spelled.get(passage_id, (names[one], names[other]))),
        )
        for passage_id, row in inspecting.read_passages(connection, sorted(wanted), texts=True).items()
    }
    return PathStep(
        source=names[one],
        source_id=one,
        target=names[other],
        target_id=other,
        facts=tuple(
            StatedFact(
                subject=names[row.subject_id],
                predicate=row.predicate,
                object=names[row.object_id],
                passages=tuple(evidence[passage_id] for passage_id in sources[row.id]),
            )
            for row in facts
        ),
        passages=tuple(evidence[row.passage_id] for row in shared),
        shared=total,
    )


def _snip(text: str, names: tuple[str, str]) -> str:
    """Return the stretch of a text where both names stand nearest to each other, or a stretch for each."""
    flat = " ".join(text.split())
    if len(flat) <= _SNIPPET_CHARS:
        return flat
    places = [
        [found.start() for found in islice(re.finditer(re.escape(name), flat, re.IGNORECASE), _PLACES)]
        for name in names
    ]
    pair = min(product(*places), key=lambda one: abs(one[0] - one[1]), default=None)
    first, last = sorted(pair or [(places[0] or places[1] or [0])[0]] * 2)
    if last - first <= _SNIPPET_CHARS // 2:
        return _stretch(flat, (first + last) // 2, _SNIPPET_CHARS)
    half = _SNIPPET_CHARS // 2
    return f"{_stretch(flat, first, half)} {_stretch(flat, last, half).removeprefix('… ')}"


def _stretch(flat: str, middle: int, width: int) -> str:
    start = max(0, min(middle - width // 2, len(flat) - width))
    end = min(len(flat), start + width)
    if start and (space := flat.find(" ", start, middle)) != -1:
        start = space + 1
    if end < len(flat) and (space := flat.rfind(" ", middle, end)) != -1:
        end = space
    return ("… " if start else "") + flat[start:end] + (" …" if end < len(flat) else "")
