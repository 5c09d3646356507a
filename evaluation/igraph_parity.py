"""HippoRAG 2's ranking once more, with dictionaries and igraph: what the product's parity mode is checked against.

Written from the description of the published program, and sharing no code with ``retrieval/parity.py``. igraph is GPL:
it is a yardstick of tests and benchmarks, imported here alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from string import ascii_lowercase, digits
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fact = tuple[str, str, str]
Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

_KEPT = frozenset(ascii_lowercase + digits + " ")
_LINKED_FACTS = 5
_LINKED_PHRASES = 5
_PASSAGE_WEIGHT = 0.05
_DAMPING = 0.5
_SAME = 0.8
_MAX_SYNONYMS = 101
_BLOCK = 512


def plain(text: str) -> str:
    """Lower case, with a space for whatever is not an ASCII letter, a digit or a space."""
    return "".join(character if character in _KEPT else " " for character in text.lower()).strip()


def plain_facts(triples: Sequence[Sequence[tuple[str, str, str]]]) -> list[list[Fact]]:
    """Return the facts of each passage under plain words."""
    return [[(plain(s), plain(p), plain(o)) for s, p, o in of_passage] for of_passage in triples]


class IgraphParity:
    """The reference ranking of passages (n_passages, dim) over their plain facts, with a vector for each text."""

    def __init__(
        self,
        facts: Sequence[Sequence[Fact]],
        *,
        passages: Vectors,
        fact_vectors: Mapping[Fact, NDArray[Any]],
        phrase_vectors: Mapping[str, NDArray[Any]],
    ) -> None:
        import igraph

        self._passages = passages
        self._facts = sorted({fact for of_passage in facts for fact in of_passage})
        self._fact_vectors = np.array([fact_vectors[fact] for fact in self._facts], dtype=np.float32)
        phrases = sorted({end for subject, _, object_ in self._facts for end in (subject, object_)})
        self._holders: dict[str, set[int]] = defaultdict(set)
        weights: dict[tuple[Any, Any], float] = defaultdict(float)
        for passage, of_passage in enumerate(facts):
            for subject, _, object_ in of_passage:
                weights[subject, object_] += 1.0
                weights[object_, subject] += 1.0
                self._holders[subject].add(passage)
                self._holders[object_].add(passage)
        for phrase, holders in self._holders.items():
            for passage in holders:
                weights[passage, phrase] = 1.0
        weights.update(_synonyms(phrases, phrase_vectors))
        self._node: dict[Any, int] = {name: node for node, name in enumerate([*range(len(facts)), *phrases])}
        edges = {pair: weight for pair, weight in weights.items() if pair[0] != pair[1]}
        self._graph = igraph.Graph(
            n=len(self._node), edges=[(self._node[one], self._node[other]) for one, other in edges], directed=False
        )
        self._graph.es["weight"] = list(edges.values())

    def score(self, query: Vectors) -> Floats:
        """Return the score of every passage (n_passages,) for a question's unit vector."""
        near = _stretch(self._passages @ query)
        if not self._facts:
            return near
        fact_scores = _stretch(self._fact_vectors @ query)
        linked = sorted(range(len(self._facts)), key=lambda row: -fact_scores[row])[:_LINKED_FACTS]
        found: dict[str, list[float]] = defaultdict(list)
        for row in linked:
            subject, _, object_ = self._facts[row]
            for phrase in (subject, object_):
                found[phrase].append(float(fact_scores[row]) / max(1, len(self._holders[phrase])))
        weight = {phrase: sum(scores) / len(scores) for phrase, scores in found.items()}
        reset = np.zeros(len(self._node))
        for phrase in sorted(weight, key=lambda one: -weight[one])[:_LINKED_PHRASES]:
            reset[self._node[phrase]] = weight[phrase]
        reset[: len(near)] = _PASSAGE_WEIGHT * near
        scores = self._graph.personalized_pagerank(
            damping=_DAMPING, directed=False, weights="weight", reset=reset.tolist(), implementation="prpack"
        )
        return np.array(scores[: len(near)])


def _synonyms(phrases: Sequence[str], vectors: Mapping[str, NDArray[Any]]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    everything = np.array([vectors[phrase] for phrase in phrases], dtype=np.float64)
    for start in range(0, len(phrases), _BLOCK):
        cosines = everything[start : start + _BLOCK] @ everything.T
        for phrase, row in zip(phrases[start : start + _BLOCK], cosines, strict=True):
            if sum(character.isalnum() for character in phrase) <= 2:
                continue
            near = [place for place in np.flatnonzero(row >= _SAME).tolist() if phrases[place] not in ("", phrase)]
            for place in sorted(near, key=lambda one: -row[one])[:_MAX_SYNONYMS]:
                found[phrase, phrases[place]] = float(row[place])
    return found


def _stretch(scores: NDArray[Any]) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    span = values.max() - values.min()
    return (values - values.min()) / span if span else np.ones_like(values)
