"""What the channels find for a question, before anything is reranked: by vector, by words, and by the walk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.hashing import Ints
from memory_graph.push import GraphArrays, arrays_of
from memory_graph.walk import Walk
from retrieval.fact_linking import LinkedFacts
from retrieval.graph_search import Base, GraphParams, best_rows, fuse, walk_from
from retrieval.lexical import Matches
from retrieval.linking import LinkedQuestion, link_question
from retrieval.stages import Stages
from retrieval.view import View

Floats = NDArray[np.float64]
Query = NDArray[np.float32]

# So many of the passages that a walk reaches can be candidates, or return.
REACHED = 1200
# So many passages that a walk starts from are told one by one.
TOLD_SEEDS = 20


@dataclass(frozen=True, eq=False)
class Scene:
    """A question before a view: ``query`` (dim,) is its vector, ``dense`` the rows that are nearest to it.

    ``walked`` are the rows that the walk reached, best first, with ``walk_scores``.
    """

    view: View
    query: Query
    question: LinkedQuestion
    dense: Ints
    lexical: Matches
    base: Base
    walked: Ints
    walk_scores: Floats
    walk: Walk
    reset: tuple[Ints, Floats]
    """The nodes that the walk started from, and how much of it at each."""

    @cached_property
    def graph(self) -> GraphArrays:
        """The view's graph as compiled functions read it."""
        return arrays_of(self.view.graph)

    @cached_property
    def phrases(self) -> Ints:
        """The rows of the longest names in the question."""
        return self.question.phrases

    @cached_property
    def phrase_idf(self) -> Floats:
        """Their idf."""
        return self.view.graph.idf_of(self.phrases)

    def similarities(self, rows: Ints) -> Floats:
        """Return the cosines (k,) of the question and these passages, the same in whatever company."""
        found: Floats = np.vecdot(self.view.index.take(rows).astype(np.float64), self.query.astype(np.float64))
        return found


def link(view: View, question: str) -> LinkedQuestion:
    """Find the names of a view in a question."""
    return link_question(question, view.names, view.graph.dead_phrases, view.aliases or {})


def match_words(view: View, question: LinkedQuestion, params: GraphParams, stages: Stages) -> Matches:
    """Find the passages that hold a question's words."""
    with stages.measure("lexical") as detail:
        found = view.words.search(
            question.words, params.seeds, view.graph.dead_passages, params.lexical, ties=view.orders.rows
        )
        detail["best"] = [
            {"passage_id": int(view.passage_ids[row]), "score": round(float(found.sums[row]), 4)}
            for row in found.rows[:20].tolist()
        ]
    return found


def look(
    view: View,
    query: Query,
    text: str,
    dense: Ints,
    params: GraphParams,
    stages: Stages,
    facts: LinkedFacts | None = None,
) -> Scene:
    """Match words and walk; the graph has edges, and ``dense`` (k,) are the nearest passages, best first."""
    question = link(view, text)
    lexical = match_words(view, question, params, stages)
    with stages.measure("walk") as detail:
        base = fuse(view, query, dense, lexical, (params.dense_weight, params.lexical_weight), facts)
        walked, passage_masses, phrases = walk_from(view, base, question.phrases, params, facts)
        are_passages = walked.nodes < view.graph.n_passages
        rows, scores = best_rows(walked.nodes[are_passages], walked.scores[are_passages], view.orders.rows, REACHED)
        detail |= _tell(view, base, passage_masses, *phrases, facts)
        detail |= {
            "mode": params.walk.mode,
            "damping": params.walk.damping,
            "nodes_reached": len(walked.nodes),
            "edges_touched": walked.edges,
            "residual": walked.residual,
        }
    nodes = np.concatenate([base.rows, phrases[0] + view.graph.n_passages])
    reset = nodes, np.concatenate([passage_masses, phrases[1]])
    return Scene(view, query, question, dense, lexical, base, rows, scores, walked, reset)


def _tell(
    view: View,
    base: Base,
    passage_masses: Floats,
    phrases: Ints,
    phrase_masses: Floats,
    facts: LinkedFacts | None = None,
) -> dict[str, Any]:
    """Say from which phrases and passages the walk started, and with how much; ``by_facts`` is that of facts in it."""
    by_facts = dict(zip(facts.phrases.tolist(), facts.masses.tolist(), strict=True)) if facts is not None else {}
    return {
        "phrases": [
            {"phrase_id": int(view.phrase_ids[row]), "reset": float(mass)}
            | ({"by_facts": by_facts[row]} if row in by_facts else {})
            for row, mass in zip(phrases.tolist(), phrase_masses, strict=True)
        ],
        "other_seeds": {
            "passages": max(0, len(base.rows) - TOLD_SEEDS),
            "reset": float(passage_masses[TOLD_SEEDS:].sum()),
        },
        "seeds": [
            {
                "passage_id": int(view.passage_ids[base.rows[place]]),
                "similarity": float(base.cosines[place]),
                "lexical": float(base.lexical[place]),
                "reset": float(passage_masses[place]),
            }
            for place in range(min(TOLD_SEEDS, len(base.rows)))
        ],
    }
