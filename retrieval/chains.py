"""Chains: which passage leads to which over which name, described in numbers that a ranker can weigh.

A question that takes two steps is answered by a passage that does not resemble it, but that a passage which does leads
to: over a name that is the other's title, or that both hold. What is described here is learned to be weighed in
``retrieval/ranker.py``; nothing here depends on the size of the memory or on when something was learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_graph.edges import spread
from memory_graph.graph import LEAST_IDF
from memory_graph.hashing import Hashes, Ints
from retrieval.links import LINK_COLUMNS, Rows, Steps, cover, follow, hash_spans, passages_of
from retrieval.scene import Scene
from retrieval.view import View

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FAR = 200  # the place of a passage that a list does not hold


@dataclass(frozen=True, kw_only=True)
class ChainParams:
    """What is looked at: the ``leads`` best passages, and the names in them that ``rare`` passages hold at most.

    Candidates are the best ``by_walk``, ``by_base`` and ``by_links``. A title that more than ``rare`` passages share,
    as those of a book do, leads nowhere. ``bridges`` names are put into the question, each of which brings up to
    ``bridged`` passages that hold it. With one of two ``looks`` nothing is asked again, and nothing more is embedded.

    A question of at most ``short`` words rarely takes two steps: the passage nearest to it stays among the first two,
    unless its log-odds are more than ``close`` below those of the second.

    Passages that share their titles, as those of books do, are beyond what the ranker learned from: it is left out,
    unless it is asked for by name, where the best ``by_walk`` have fewer titles than the share ``own_titles`` of them.
    """

    looks: int = 2
    leads: int = 20
    rare: int = 40
    by_walk: int = 50
    by_base: int = 20
    by_links: int = 25
    bridges: int = 20
    bridged: int = 60
    short: int = 12
    close: float = 2.0
    own_titles: float = 0.4


class LinkTable(NamedTuple):
    """Links of one kind to targets (m,): ``LINK_COLUMNS`` (m, 5), and lead and name of the strongest, -1 for none."""

    columns: Floats
    leads: Ints
    over: Ints


LINK_KINDS = ("title", "part", "name")
"""Over a name that is the title of the target, that begins or ends it, or that is held by it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Links:
    """Where the ``leads`` (l,) of ``strengths`` (l,) lead: to ``targets`` (m,), ascending passages, over names (n,).

    ``tables`` are the links by kind; their leads and names are places in ``leads`` and ``phrases``. ``scores`` (n,) say
    how promising a name is by itself, and ``lead_of`` (n,) which lead makes it so. ``covers`` (l, q) tells which of the
    question's names each lead holds.
    """

    leads: Ints
    strengths: Floats
    phrases: Ints
    hashes: Hashes
    targets: Ints
    tables: Mapping[str, LinkTable]
    scores: Floats
    lead_of: Ints
    covers: Mask


@dataclass(frozen=True, eq=False)
class Candidates:
    """Passages to be ranked (k,), ascending rows, and what is known of each: (k, number of features)."""

    rows: Ints
    features: Floats


def find_links(scene: Scene, leads: Ints, strengths: Floats, params: ChainParams) -> Links:
    """Find where passages ``leads`` (l,), best first, of ``strengths`` (l,) in 0..1, lead to."""
    view, dead = scene.view, scene.view.graph.dead_phrases
    strengths = strengths.round(9)  # what is equally strong must not be told apart by its last digit
    begins, ends = view.words.spans(leads)
    found = view.names.scan(view.words.words.rows, begins, ends, dead)
    hashes = hash_spans(view.words.words.rows, begins[found.streams] + found.places, found.lengths)
    asked = np.isin(found.rows, scene.question.inside)
    # By hash, so that nothing depends on the order in which names were learned.
    known, first, names = np.unique(hashes[~asked], return_index=True, return_inverse=True)
    phrases = found.rows[~asked][first]
    steps = np.unique(np.stack([found.streams[~asked], names.ravel()]), axis=1)
    # A lead's own title leads to its namesakes alone.
    own = view.titles.names.rows[leads][steps[0]] == known[steps[1]]
    everywhere, elsewhere = Steps(*steps), Steps(*steps[:, ~own])
    held = passages_of(scene.graph, phrases, params.rare)
    idf = np.maximum(np.log((view.n_passages + 1) / (held.degrees + 0.5)), LEAST_IDF)
    titled, partly = (_to_rows(view, *pairs, len(known), params.rare) for pairs in view.titles.find(known))
    targets = np.unique(np.concatenate([held.passages, titled.passages, partly.passages]))
    nearness = np.maximum(scene.similarities(leads), 0.0)
    ways = ((everywhere, np.ones(len(known)), titled), (elsewhere, idf, partly), (elsewhere, idf, held))
    tables = {
        kind: LinkTable(*follow(way, strengths, nearness, weights, rows, leads, targets))
        for kind, (way, weights, rows) in zip(LINK_KINDS, ways, strict=True)
    }
    promise = np.sqrt(strengths[elsewhere.leads]) * nearness[elsewhere.leads] * idf[elsewhere.names]
    promise *= np.where(titled.degrees[elsewhere.names] > 0, 1.5, 1.0)
    order = np.lexsort((elsewhere.leads, -promise))
    best, at = np.unique(elsewhere.names[order], return_index=True)
    scores, lead_of = np.zeros(len(known)), np.zeros(len(known), dtype=np.int64)
    scores[best], lead_of[best] = promise[order][at], elsewhere.leads[order][at]
    covers = np.zeros((len(leads), len(scene.phrases)), dtype=bool)
    for column, phrase in enumerate(scene.phrases.tolist()):
        covers[found.streams[found.rows == phrase], column] = True
    return Links(
        leads=leads,
        strengths=strengths,
        phrases=phrases,
        hashes=known,
        targets=targets,
        tables=tables,
        scores=scores,
        lead_of=lead_of,
        covers=covers,
    )


def _to_rows(view: View, names: Ints, passages: Ints, n_names: int, limit: int) -> Rows:
    """Return pairs of name and passage by name (n_names,), without dead passages; none of names with more than
    ``limit`` passages."""
    alive = ~np.isin(passages, view.graph.dead_passages)
    names, passages = names[alive], passages[alive]
    degrees = np.bincount(names, minlength=n_names)
    few = degrees[names] <= limit
    names, passages = names[few], passages[few]
    order = np.lexsort((passages, names))
    starts = np.append(0, np.cumsum(np.bincount(names, minlength=n_names)))
    return Rows(starts, passages[order], np.where(degrees <= limit, degrees, 0))


def choose_candidates(scene: Scene, links: Links, params: ChainParams, allowed: Mask | None, also: Ints) -> Ints:
    """Return the passages to rank, ascending: the best of each channel, those most linked to, and ``also``.

    Of those that are ``allowed`` as many come besides: they alone return, but chains lead over the others too.
    """
    orders = scene.view.orders.rows
    strongest = {kind: table.columns[:, 0] for kind, table in links.tables.items()}
    linked = 3.0 * strongest["title"] + 0.5 * (strongest["name"] + strongest["part"])
    order = np.lexsort((orders[links.targets], -linked.round(9)))
    most = links.targets[order[linked[order] > 0]]
    channels = ((scene.walked, params.by_walk), (scene.base.rows, params.by_base), (most, params.by_links))
    found = [also, *(rows[:k] for rows, k in channels)]
    if allowed is not None:
        found += [rows[allowed[rows]][:k] for rows, k in channels]
    return np.unique(np.concatenate(found))


FEATURES = (
    "cosine",
    "cosine_below_best",
    "lexical",
    "base_below_best",
    "walk",
    "walk_log",
    "dense_place",
    "lexical_place",
    "walk_place",
    "base_place",
    *(f"{kind}_{column}" for kind in LINK_KINDS for column in LINK_COLUMNS),
    "title_in_question",
    "title_asked",
    "title_led",
    "phrases_share",
    "phrases_number",
    "phrase_place",
    "covered",
    *(f"{kind}_{column}" for kind in LINK_KINDS for column in ("gain", "union")),
    "back_link",
    "back_links",
    "like_leads",
    "like_first",
    "lead",
    "lead_place",
    *(f"{channel}_lead" for channel in ("cosine", "lexical", "base", "walk")),
)
SECOND_FEATURES = (
    *FEATURES,
    "first",
    "first_place",
    "bridge",
    "bridge_gain",
    "bridge_weighted",
    "first_lead",
    "bridge_lead",
)


def describe(scene: Scene, links: Links, rows: Ints, more: Mapping[str, Floats] | None = None) -> Candidates:
    """Describe candidates (k,), ascending rows, by the columns ``FEATURES``, and by those of ``more`` after them."""
    view = scene.view
    cosines = scene.similarities(rows)
    best = float(scene.similarities(scene.dense[:1])[0]) if len(scene.dense) else 0.0
    sums, matched = scene.lexical.sums, scene.lexical.rows
    lexical = sums[rows] / sums[matched[0]] if len(matched) else np.zeros(len(rows))
    walk = _values(scene.walked, scene.walk_scores, rows, 0.0)
    walk = walk / scene.walk_scores[0] if len(scene.walk_scores) else walk
    base = _values(scene.base.rows, scene.base.scores, rows, float(scene.base.scores[-1]))
    columns: dict[str, Floats] = {
        "cosine": cosines,
        "cosine_below_best": cosines - best,
        "lexical": lexical,
        "base_below_best": base - scene.base.scores[0],
        "walk": walk,
        "walk_log": np.log(walk + 1e-6),
        "dense_place": _places(scene.dense, rows),
        "lexical_place": _places(matched, rows),
        "walk_place": _places(scene.walked, rows),
        "base_place": _places(scene.base.rows, rows),
    }
    at, hit = locate(links.targets, rows)
    for kind, table in links.tables.items():
        for place, name in enumerate(LINK_COLUMNS):
            columns[f"{kind}_{name}"] = _chosen(table.columns[:, place], at, hit)
    begins, ends = view.words.spans(rows)
    words = view.words.words.rows
    found = view.names.scan(words, begins, ends, view.graph.dead_phrases)
    titles = view.titles.names.rows[rows]
    columns["title_in_question"] = ((titles > 0) & np.isin(titles, scene.question.hashes)).astype(float)
    columns |= _title_columns(scene, links, rows)
    columns |= _phrase_columns(scene, rows, cosines, found.streams, found.rows)
    covered = cover(words, begins, ends, scene.lexical.words)
    total = max(float(scene.lexical.idf.sum()), 1e-9)
    columns["covered"] = covered @ scene.lexical.idf / total
    lead_covered = cover(words, *view.words.spans(links.leads), scene.lexical.words)
    for kind, table in links.tables.items():
        lead = np.full(len(rows), -1)
        lead[hit] = table.leads[at[hit]]
        of_lead = lead_covered[np.maximum(lead, 0)]
        columns[f"{kind}_gain"] = np.where(lead >= 0, (covered & ~of_lead) @ scene.lexical.idf / total, 0.0)
        columns[f"{kind}_union"] = np.where(lead >= 0, (covered | of_lead) @ scene.lexical.idf / total, 0.0)
    hashes = hash_spans(words, begins[found.streams] + found.places, found.lengths)
    columns |= _lead_columns(scene, links, rows, found.streams, hashes)
    channels = {"cosine": cosines, "lexical": lexical, "base": base, "walk": walk}
    columns |= {f"{channel}_lead": ahead_of_others(values) for channel, values in channels.items()}
    columns |= more or {}
    # Rounded, so that what differs in the last digit, as sums do by their order, falls on one side of any threshold.
    return Candidates(rows, np.stack([columns[name] for name in (*FEATURES, *(more or ()))], axis=1).round(9))


def _title_columns(scene: Scene, links: Links, rows: Ints) -> dict[str, Floats]:
    """Describe which share of a candidate's title stands in the question, and in the leads by their strength."""
    view = scene.view
    begins, ends = view.titles.spans(rows)
    words, lengths = view.titles.words.rows, np.maximum(ends - begins, 1)
    known = np.unique(words[spread(begins, ends)])
    held = cover(words, begins, ends, known)
    in_question = np.isin(known, scene.question.words)
    in_leads = cover(view.words.words.rows, *view.words.spans(links.leads), known)
    shares = (held.astype(float) @ in_leads.T.astype(float)) / lengths[:, None]
    shares[rows[:, None] == links.leads[None, :]] = 0.0
    return {
        "title_asked": held @ in_question.astype(float) / lengths,
        "title_led": (shares * links.strengths).max(axis=1, initial=0.0),
    }


def _phrase_columns(scene: Scene, rows: Ints, cosines: Floats, streams: Ints, names: Ints) -> dict[str, Floats]:
    """Describe which of the question's names candidates hold, and how near they are among those that hold the same."""
    n = len(rows)
    if not len(scene.phrases):
        return {
            "phrases_share": np.zeros(n),
            "phrases_number": np.zeros(n),
            "phrase_place": np.full(n, np.log1p(_FAR)),
        }
    holds = np.zeros((n, len(scene.phrases)), dtype=bool)
    place = np.full(n, float(_FAR))
    nearest = np.lexsort((scene.view.orders.rows[rows], -cosines.round(12)))
    for column, phrase in enumerate(scene.phrases.tolist()):
        holds[streams[names == phrase], column] = True
        ranked = nearest[holds[nearest, column]]
        place[ranked] = np.minimum(place[ranked], np.arange(len(ranked)))
    idf = scene.phrase_idf
    return {
        "phrases_share": holds @ idf / idf.sum(),
        "phrases_number": holds.sum(axis=1).astype(float),
        "phrase_place": np.log1p(place),
    }


def _lead_columns(scene: Scene, links: Links, rows: Ints, streams: Ints, hashes: Hashes) -> dict[str, Floats]:
    """Describe what joins candidates to the leads themselves: names of theirs that they hold, and likeness."""
    view, leads, strengths, n = scene.view, links.leads, links.strengths, len(rows)
    back, number = np.zeros(n), np.zeros(n)
    for lead, title in enumerate(view.titles.names.rows[leads].tolist()):
        if title:
            holds = np.zeros(n, dtype=bool)
            holds[streams[hashes == title]] = True
            holds &= rows != leads[lead]
            back = np.maximum(back, holds * strengths[lead])
            number += holds
    near, far = (view.index.take(some).astype(np.float64) for some in (rows, leads[:5]))
    like = np.vecdot(near[:, None, :], far[None, :, :])
    like = np.where(rows[:, None] == leads[None, :5], 0.0, like)
    return {
        "back_link": back,
        "back_links": number,
        "like_leads": (like * strengths[:5]).max(axis=1, initial=0.0),
        "like_first": like[:, :2].max(axis=1, initial=0.0).astype(float),
        "lead": _values(leads, strengths, rows, 0.0),
        "lead_place": _places(leads, rows, float(len(leads))),
    }


def ahead_of_others(values: Floats) -> Floats:
    """Return by how much each value (k,) is above the best of the others, or below it."""
    if len(values) < 2:
        return np.zeros(len(values))
    second, best = np.partition(values, len(values) - 2)[-2:]
    ahead: Floats = np.where(values >= best, best - second, values - best)
    return ahead


def locate(ascending: Ints, rows: Ints) -> tuple[Ints, Mask]:
    """Return the place in ``ascending`` of each row (k,), and whether it is there; the place is 0 where it is not."""
    at = np.searchsorted(ascending, rows)
    at = np.where(at < len(ascending), at, 0)
    there = ascending[at] == rows if len(ascending) else np.zeros(len(rows), dtype=bool)
    return np.where(there, at, 0), there


def _where(listed: Ints, rows: Ints) -> tuple[Ints, Mask]:
    """Return the place in ``listed``, in any order, of each row (k,), and whether it is there."""
    order = np.argsort(listed)
    at, there = locate(listed[order], rows)
    return order[at] if len(listed) else at, there


def _values(listed: Ints, values: Floats, rows: Ints, otherwise: float) -> Floats:
    at, there = _where(listed, rows)
    return _chosen(values, at, there, otherwise)


def _chosen(values: Floats, at: Ints, there: Mask, otherwise: float = 0.0) -> Floats:
    found = np.full(len(at), otherwise)
    found[there] = values[at[there]]
    return found


def _places(listed: Ints, rows: Ints, far: float = _FAR) -> Floats:
    at, there = _where(listed, rows)
    places: Floats = np.log1p(np.where(there, np.minimum(at, far), far).astype(float))
    return places
