"""Why the hits stand where they stand: their places in each channel, and how the walk's mass came to the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.flow import Flow, Inflow
from memory_graph.walk import WalkParams
from retrieval.scene import Scene
from retrieval.stages import Stage
from retrieval.view import View

Ints = NDArray[np.int64]

# What bounds the trace: at most FLOW_HITS · FLOW_PHRASES phrases, and as many links again for each of FLOW_SOURCES.
PLACED_HITS = 50
FLOW_HITS = 6
FLOW_PHRASES = 4
FLOW_SOURCES = 3


def explain_hits(scene: Scene, params: WalkParams, passage_ids: Sequence[int]) -> dict[str, Any]:
    """Return, as JSON, the places of hits (ids, best first) before reranking, and where the mass on them came from.

    A place counts from 1, and is None where the channel did not find the passage. ``mass`` = ``reset`` + the sum of
    ``from`` + ``other``, of a hit and of a phrase.
    """
    view = scene.view
    rows = np.searchsorted(view.passage_ids, np.asarray(passage_ids[:PLACED_HITS], dtype=np.int64))
    places = [_places(found, rows) for found in (scene.dense, scene.lexical.rows, scene.walked)]
    told = [
        {"passage_id": one, "dense": dense, "lexical": lexical, "walk": walked}
        for one, dense, lexical, walked in zip(passage_ids, *places, strict=False)
    ]
    flow = Flow(view.graph, scene.walk, *scene.reset, params)
    hits = flow.into(rows[:FLOW_HITS].tolist(), FLOW_PHRASES)
    phrases = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(hit.sources for hit in hits)]))
    return {
        "places": told,
        "hits": [_tell(view, hit) for hit in hits],
        "phrases": [_tell(view, phrase) for phrase in flow.into(phrases.tolist(), FLOW_SOURCES)],
    }


def told_phrases(stage: Stage) -> Iterator[dict[str, Any]]:
    """Yield what a stage tells of phrases, each with its ``phrase_id``."""
    detail = stage.detail
    if stage.name in ("walk", "chain"):  # in others "phrases" is a number
        yield from detail.get("phrases", ())
        yield from detail.get("chains", ())
    elif stage.name == "flow":
        for phrase in detail.get("phrases", ()):
            yield phrase
            yield from (one for one in phrase["from"] if "phrase_id" in one)


def _places(found: Ints, rows: Ints) -> list[int | None]:
    place = {row: number for number, row in enumerate(found.tolist(), start=1)}
    return [place.get(row) for row in rows.tolist()]


def _tell(view: View, inflow: Inflow) -> dict[str, Any]:
    came = [
        _name(view, source) | {"mass": _digits(mass)}
        for source, mass in zip(inflow.sources.tolist(), inflow.masses.tolist(), strict=True)
    ]
    parts = {"mass": inflow.mass, "reset": inflow.reset, "other": max(0.0, inflow.other)}
    return _name(view, inflow.node) | {name: _digits(part) for name, part in parts.items()} | {"from": came}


def _name(view: View, node: int) -> dict[str, Any]:
    if node < view.graph.n_passages:
        return {"passage_id": int(view.passage_ids[node])}
    return {"phrase_id": int(view.phrase_ids[node - view.graph.n_passages])}


def _digits(mass: float) -> float:
    """Return a mass with five digits, which no picture shows more of."""
    return float(f"{mass:.5g}")
