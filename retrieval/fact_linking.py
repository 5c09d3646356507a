"""From a question to what the facts near it say: where a walk may start, and which passages state them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.database import Database
from memory_graph.errors import GeneratorError
from memory_graph.store.facts import fact_passages, fact_texts
from retrieval.facts import FactFilter, FactParams, check_choice, mix_evidence, weigh_ends
from retrieval.view import View

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinkedFacts:
    """What the facts near a question say.

    ``phrases`` and ``masses`` (p,) are rows of phrases to start a walk from, and how much of it starts there.
    ``stated`` and ``similarities`` (m,) are rows of passages and the similarity of a fact that each states; ``floor``
    is the similarity of the last fact looked at. ``fallback_reason`` says why a filter was passed over.
    """

    phrases: Ints
    masses: Floats
    stated: Ints
    similarities: Floats
    floor: float
    mix: float
    fallback_reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def weigh(self, rows: Ints, cosines: Floats) -> Floats:
        """Return the likeness (k,) of passages to the question: their cosines, with what they state mixed in.

        ``rows`` ascend and hold all that are ``stated``. Nothing changes where no passage states any fact.
        """
        if not len(self.stated):
            return cosines
        return mix_evidence(rows, cosines, (self.stated, self.similarities), self.floor, self.mix)


def link_facts(
    database: Database,
    view: View,
    question: str,
    query: NDArray[np.float32],
    params: FactParams,
    fact_filter: FactFilter | None = None,
) -> LinkedFacts | None:
    """Link a question, with its vector (dim,), to the facts near it; None where there are none or none are wanted.

    Which passages state a fact is read from the database: it was settled when each passage was learned, so it is the
    same at every version that holds the passage. A filter that fails is passed over, with the reason.
    """
    if not len(view.facts) or not (params.share or params.mix):
        return None
    rows, similarities = view.facts.search(query, max(params.nearest, params.evidence))
    ids = view.facts.ids.rows[rows]
    kept = near = np.arange(min(params.nearest, len(rows)))
    with database.read() as connection:
        texts = fact_texts(connection, ids[near].tolist())
        sources = fact_passages(connection, ids[: params.evidence].tolist()) if params.mix else []
    reason: str | None = None
    filtered: dict[str, Any] = {}
    if fact_filter is not None:
        start = time.perf_counter()
        try:
            # A fact that was forgotten since is no candidate, but keeps its place.
            choice = fact_filter.choose(question, [texts.get(int(fact_id), "") for fact_id in ids[near]])
            kept = np.array(check_choice(choice.places, len(near)), dtype=np.int64)
            filtered = {"out_of_range": choice.out_of_range, "tokens": asdict(choice.usage)}
        except GeneratorError as error:
            reason = f"fact_filter_failed: {error.code}"
            filtered = {"failed": error.message}
        spent = round((time.perf_counter() - start) * 1000, 3)
        filtered = {"filter": {"shown": len(near), "kept": len(kept), "ms": spent} | filtered}

    def tell(places: Ints) -> list[dict[str, Any]]:
        named = zip(ids[places].tolist(), similarities[places].tolist(), strict=True)
        return [{"fact_id": one, "fact": texts.get(one, ""), "similarity": round(near, 4)} for one, near in named]

    rejected = set(ids[np.setdiff1d(near, kept)].tolist())
    similarity_of = dict(zip(ids.tolist(), similarities.tolist(), strict=True))
    pairs = [(passage, similarity_of[fact]) for fact, passage in sources if fact not in rejected]
    stated, there = _rows_of(view, np.array([passage for passage, _ in pairs], dtype=np.int64))
    phrases, weights = weigh_ends(view.facts, view.graph, rows[kept], similarities[kept], params)
    return LinkedFacts(
        phrases=phrases,
        masses=params.share * weights,
        stated=stated,
        similarities=np.array([similarity for _, similarity in pairs], dtype=np.float64)[there],
        floor=float(similarities[min(params.evidence, len(rows)) - 1]) if params.evidence else 0.0,
        mix=params.mix,
        fallback_reason=reason,
        detail={"facts": tell(kept), "dropped": tell(np.setdiff1d(near, kept))} | filtered,
    )


def _rows_of(view: View, ids: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the rows of those passages that live in the view, and which of ``ids`` these are."""
    rows = np.searchsorted(view.passage_ids, ids)
    there = rows < len(view.passage_ids)
    there[there] = view.passage_ids[rows[there]] == ids[there]
    there &= ~np.isin(rows, view.graph.dead_passages)
    return rows[there], there
