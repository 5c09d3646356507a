"""The chain ranker at work: described, weighed, looked at again from the best, and asked again over the names found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.hashing import Hashes, Ints
from retrieval.chains import (
    Candidates,
    ChainParams,
    Floats,
    Links,
    Mask,
    ahead_of_others,
    choose_candidates,
    describe,
    find_links,
    locate,
)
from retrieval.links import passages_of
from retrieval.ranker import ChainRanker
from retrieval.scene import Scene

Encode = Callable[[Sequence[str]], NDArray[np.float32]]

_NOBODY = np.zeros(0, dtype=np.int64)
_UNKNOWN = 80.0  # the place of a passage that the first look did not see
_KEPT = 30  # of the first stage's best, so that the second can only add


@dataclass(frozen=True, eq=False)
class First:
    """The first look: from the walk's best passages."""

    links: Links
    candidates: Candidates


@dataclass(frozen=True, eq=False)
class Bridges:
    """The question with a name that was found in place of one that was asked for; what it finds for passages (m,)."""

    questions: list[str]
    names: Ints  # places in the links' phrases, one a question
    rows: Ints  # ascending
    nearness: Floats  # cosine to the bridged question
    gain: Floats  # by how much that exceeds the cosine to the plain one
    weighted: Floats  # cosine times the root of how promising the name is, the best name being 1
    over: Ints  # which question


@dataclass(frozen=True, eq=False)
class Second:
    """The second look: from what the first thinks best."""

    links: Links
    bridges: Bridges
    candidates: Candidates


def look_first(scene: Scene, params: ChainParams, allowed: Mask | None = None) -> First:
    """Describe what the walk's best passages lead to."""
    leads = scene.walked[: params.leads]
    strengths = scene.walk_scores[: params.leads] / scene.walk_scores[0]
    links = find_links(scene, leads, strengths, params)
    return First(links, describe(scene, links, choose_candidates(scene, links, params, allowed, _NOBODY)))


def look_again(
    scene: Scene,
    first: First,
    probabilities: Floats,
    params: ChainParams,
    encode: Encode,
    allowed: Mask | None = None,
) -> Second:
    """Describe what the passages that are thought best lead to; ``probabilities`` (k,) are those of the first look."""
    rows, orders = first.candidates.rows, scene.view.orders.rows
    order = np.lexsort((orders[rows], -probabilities.round(12)))
    leads = rows[order[: params.leads]]
    strengths = probabilities[order[: params.leads]] / max(float(probabilities[order[0]]), 1e-12)
    links = find_links(scene, leads, strengths, params)
    bridges = build_bridges(scene, links, rows, params, encode)
    best = rows[order]
    kept = best[:_KEPT] if allowed is None else np.concatenate([best[:_KEPT], best[allowed[best]][:_KEPT]])
    chosen = choose_candidates(scene, links, params, allowed, kept)
    at, there = locate(rows, chosen)
    ranks = np.empty(len(rows))
    ranks[order] = np.arange(len(rows))
    thought = np.where(there, probabilities[at], 0.0)
    bridged = _spread(bridges.rows, bridges.nearness, chosen)
    return Second(
        links,
        bridges,
        describe(
            scene,
            links,
            chosen,
            {
                "first": thought,
                "first_place": np.log1p(np.where(there, ranks[at], _UNKNOWN)),
                "bridge": bridged,
                "bridge_gain": _spread(bridges.rows, bridges.gain, chosen),
                "bridge_weighted": _spread(bridges.rows, bridges.weighted, chosen),
                "first_lead": ahead_of_others(thought),
                "bridge_lead": ahead_of_others(bridged),
            },
        ),
    )


def build_bridges(scene: Scene, links: Links, pool: Ints, params: ChainParams, encode: Encode) -> Bridges:
    """Ask again with the most promising names, in one call to ``encode``.

    Each takes the place of the rarest name of the question that its lead holds, or stands behind the question. Of a
    name that more than ``bridged`` passages hold, those of the ``pool`` (ascending rows) are looked at.
    """
    order = np.lexsort((links.hashes, -links.scores.round(12)))[: params.bridges]
    names = order[links.scores[order] > 0]
    if not len(names):
        return Bridges([], names, _NOBODY, np.zeros(0), np.zeros(0), np.zeros(0), _NOBODY)
    view = scene.view
    asked = [_bridge(scene, links, int(name)) for name in names]
    vectors = encode(asked)
    few = passages_of(scene.graph, links.phrases[names], params.bridged)
    begins, ends = view.words.spans(pool)
    found = view.names.scan(view.words.words.rows, begins, ends, view.graph.dead_phrases)
    parts: list[tuple[Ints, Floats, Floats, Ints]] = []
    for number, name in enumerate(names.tolist()):
        rows = few.passages[few.starts[number] : few.starts[number + 1]]
        if few.degrees[number] > params.bridged:
            rows = np.unique(pool[found.streams[found.rows == links.phrases[name]]])
        rows = rows[rows != links.leads[links.lead_of[name]]]
        near = np.vecdot(view.index.take(rows).astype(np.float64), vectors[number].astype(np.float64))
        weight = float(np.sqrt(links.scores[name] / links.scores[names[0]]))
        parts.append((rows, near, near * weight, np.full(len(rows), number)))
    rows, near, weighted, over = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    gain = near - scene.similarities(rows)
    # Of each passage the best of every column, and the question that comes nearest.
    best = np.lexsort((over, -near, rows))
    each, first = np.unique(rows[best], return_index=True)
    at = np.searchsorted(each, rows)
    highest = np.full((2, len(each)), -np.inf)
    np.maximum.at(highest[0], at, gain)
    np.maximum.at(highest[1], at, weighted)
    return Bridges(asked, names, each, near[best][first], highest[0], highest[1], over[best][first])


def _bridge(scene: Scene, links: Links, name: int) -> str:
    question, covered = scene.question, links.covers[links.lead_of[name]]
    found = scene.view.names.key(int(links.phrases[name])).split()
    idf = dict(zip(scene.phrases.tolist(), np.where(covered, scene.phrase_idf, -1.0).tolist(), strict=True))
    spans = [span for span in question.spans if idf[span[2]] >= 0]
    if not spans:
        return " ".join([*question.tokens, *found])
    start, stop, _ = max(spans, key=lambda span: idf[span[2]])
    return " ".join([*question.tokens[:start], *found, *question.tokens[stop:]])


def _spread(rows: Ints, values: Floats, chosen: Ints) -> Floats:
    """Return the value of each chosen row, 0 for those that have none; ``rows`` ascend."""
    at, there = locate(rows, chosen)
    spread = np.zeros(len(chosen))
    spread[there] = np.maximum(values[at[there]], 0.0)
    return spread


@dataclass(frozen=True, eq=False)
class ChainRanking:
    """Rows (k,) of passages, best first, their scores in 0..1, and which chains led there."""

    rows: Ints
    scores: Floats
    detail: dict[str, Any]


def rank_by_chains(
    scene: Scene,
    ranker: ChainRanker,
    params: ChainParams,
    encode: Encode | None,
    allowed: Mask | None = None,
) -> ChainRanking:
    """Rank the candidates that are ``allowed``; chains may lead over others.

    Without ``encode`` they are ranked by the first look alone, which computes no further vectors.
    """
    first = look_first(scene, params, allowed)
    probabilities = ranker.first.predict(first.candidates.features)
    if encode is None:
        return _ranking(scene, first.candidates.rows, probabilities, first.links, [], allowed)
    second = look_again(scene, first, probabilities, params, encode, allowed)
    scores = ranker.second.predict(second.candidates.features)
    return _ranking(scene, second.candidates.rows, scores, second.links, second.bridges.questions, allowed)


def share_own_titles(titles: Hashes) -> float:
    """Return how many different titles the passages (n,) of these have, as a share of ``n``; 0 stands for no title.

    A passage without a title counts as one that has its own: nothing about it misleads. 1 for no passages.
    """
    untitled = int(np.count_nonzero(titles == 0))
    return (len(np.unique(titles[titles != 0])) + untitled) / len(titles) if len(titles) else 1.0


def stays_ahead(
    rows: Sequence[int], scores: Sequence[float], nearest: Sequence[int], words: int, params: ChainParams
) -> bool:
    """Return whether the ``nearest`` passage, if there is one, belongs among the first two.

    It does where the question has few ``words``, and the ranking does not hold it for much worse than its second.
    """
    if words > params.short or len(rows) < 2 or not nearest or nearest[0] not in rows:
        return False
    own, second = (np.clip(scores[place], 1e-12, 1 - 1e-12) for place in (rows.index(nearest[0]), 1))
    return bool(np.log(own / (1 - own)) > np.log(second / (1 - second)) - params.close)


def _ranking(
    scene: Scene, rows: Ints, scores: Floats, links: Links, bridged: list[str], allowed: Mask | None
) -> ChainRanking:
    if allowed is not None:
        rows, scores = rows[allowed[rows]], scores[allowed[rows]]
    order = np.lexsort((scene.view.orders.rows[rows], -scores.round(12)))
    rows, scores = rows[order], scores[order]
    detail = {
        "candidates": len(rows),
        "leads": [int(scene.view.passage_ids[row]) for row in links.leads],
        "chains": [chain for row in rows[:20].tolist() if (chain := _chain(scene, links, row))],
        "bridged_questions": bridged,
    }
    return ChainRanking(rows, scores, detail)


def _chain(scene: Scene, links: Links, row: int) -> dict[str, Any] | None:
    """Return which lead leads most strongly to a passage, and over which name."""
    places, there = locate(links.targets, np.array([row]))
    if not there[0]:
        return None
    at = int(places[0])
    found = next(((kind, table) for kind, table in links.tables.items() if table.leads[at] >= 0), None)
    if found is None:
        return None
    kind, table = found
    return {
        "passage_id": int(scene.view.passage_ids[row]),
        "from_passage_id": int(scene.view.passage_ids[links.leads[table.leads[at]]]),
        "over": kind,
        "phrase_id": int(scene.view.phrase_ids[links.phrases[table.over[at]]]),
    }
