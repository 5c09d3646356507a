"""One search, from the question to the hits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from memory_graph.database import Database
from memory_graph.graph import empty_graph
from memory_graph.store.reading import filter_documents, phrase_names, read_hits
from memory_graph.types import Hit
from memory_graph.walk import walk
from retrieval.embedder import Embedder
from retrieval.fact_linking import LinkedFacts, link_facts, weigh_evidence
from retrieval.facts import FactFilter
from retrieval.graph_search import GraphParams, rank_by_walk
from retrieval.view import View
from retrieval.views import ViewCache

Mode = Literal["graph", "dense"]


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """A question to a collection; ``filter`` limits what may be returned, not what the walk may cross."""

    query: str
    top_k: int = 10
    mode: Mode = "graph"
    filter: Mapping[str, Any] = field(default_factory=dict)
    min_version: int = 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage saw and did."""

    name: str
    ms: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The hits, best first, the version they were found at, and how."""

    hits: list[Hit]
    version: int
    collection_id: int
    fallback_reason: str | None
    stages: list[Stage]

    @property
    def timings_ms(self) -> dict[str, float]:
        """Milliseconds by stage, and in all."""
        spent = {stage.name: round(stage.ms, 3) for stage in self.stages}
        return spent | {"total": round(sum(stage.ms for stage in self.stages), 3)}


class Stages:
    """Collects the stages of one request."""

    def __init__(self) -> None:
        self.done: list[Stage] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a block; what it puts into the dict becomes the stage's detail."""
        detail: dict[str, Any] = {}
        start = time.perf_counter()
        yield detail
        self.done.append(Stage(name=name, ms=(time.perf_counter() - start) * 1000, detail=detail))


class Searcher:
    """Searches the collections of one database with one embedder."""

    def __init__(
        self,
        database: Database,
        views: ViewCache,
        embedder: Embedder,
        params: GraphParams | None = None,
        fact_filter: FactFilter | None = None,
    ) -> None:
        self._database = database
        self._views = views
        self._embedder = embedder
        self._params = params or GraphParams()
        self._fact_filter = fact_filter

    def warm(self) -> None:
        """Load the embedder and the compiled walk, so that the first question need not."""
        self._embedder.encode(["warm up"])
        lone_passage = empty_graph().extended(passages=1)
        walk(lone_passage, np.zeros(1, dtype=np.int64), np.ones(1), self._params.walk)

    def search(self, collection: str, request: SearchRequest) -> SearchResult:
        """Find the passages for a question.

        Errors: ``NotFound`` for the collection, ``InvalidInput`` for a filter, ``Conflict`` for a version that does
        not come.
        """
        stages = Stages()
        with stages.measure("view") as detail:
            collection_id, view = self._views.current(collection, min_version=request.min_version)
            detail |= {"version": view.version, "passages": view.n_passages, "phrases": view.n_phrases}
        reason: str | None = None
        scored: list[tuple[int, float]] = []
        if view.n_passages:
            with stages.measure("embed"):
                query = self._embedder.encode([request.query])[0]
            scored, reason = self._rank(collection_id, view, query, request, stages)
        with stages.measure("read") as detail, self._database.read() as connection:
            hits = read_hits(connection, scored)
            detail["hits"] = len(hits)
            _name_phrases(connection, stages.done)
        return SearchResult(
            hits=hits,
            version=view.version,
            collection_id=collection_id,
            fallback_reason=reason,
            stages=stages.done,
        )

    def _rank(
        self, collection_id: int, view: View, query: NDArray[np.float32], request: SearchRequest, stages: Stages
    ) -> tuple[list[tuple[int, float]], str | None]:
        allowed: NDArray[np.bool_] | None = None
        if request.filter:
            with stages.measure("filter") as detail, self._database.read() as connection:
                documents = filter_documents(connection, collection_id, request.filter)
                allowed = np.isin(view.document_ids, documents)
                detail["passages"] = int(allowed.sum())
        exact, orders = self._params.exact, view.orders.rows
        with stages.measure("dense") as detail:
            wanted = request.top_k if request.mode == "dense" else max(request.top_k, self._params.seeds)
            seeds = rows, similarities = view.index.search(query, wanted, exact=exact, ties=orders)
            if allowed is not None:
                rows, similarities = view.index.search(query, request.top_k, allowed=allowed, exact=exact, ties=orders)
            detail["best"] = [
                {"passage_id": int(view.passage_ids[row]), "similarity": round(float(s), 4)}
                for row, s in list(zip(rows, similarities, strict=True))[:20]
            ]
        dense = list(zip(rows.tolist(), similarities.tolist(), strict=True))[: request.top_k]
        if request.mode == "dense":
            return [(int(view.passage_ids[row]), score) for row, score in dense], None
        seeds = seeds[0][: self._params.seeds], seeds[1][: self._params.seeds]
        linked: LinkedFacts | None = None
        if len(view.facts):
            with stages.measure("facts") as detail:
                facts = self._params.facts
                linked = link_facts(self._database, view, request.query, query, facts, self._fact_filter)
                if linked is not None:
                    seeds = weigh_evidence(view, query, seeds, linked, facts)
                    detail |= linked.detail
        with stages.measure("walk") as detail:
            ranking = rank_by_walk(
                view,
                request.query,
                seeds,
                rows,
                self._params,
                top_k=request.top_k,
                allowed=allowed,
                facts=(linked.phrases, linked.weights) if linked is not None and self._params.facts.share else None,
            )
            if ranking.fallback_reason == "empty_graph":
                return [(int(view.passage_ids[row]), score) for row, score in dense], ranking.fallback_reason
            detail |= ranking.detail
        ranked = list(zip(ranking.rows, ranking.scores, strict=True))[: request.top_k]
        # Passages that the walk did not reach follow in dense order, so that top_k means the same in every mode.
        reached = {row for row, _ in ranked}
        ranked += [(row, 0.0) for row, _ in dense if row not in reached][: request.top_k - len(ranked)]
        reason = (linked and linked.fallback_reason) or ranking.fallback_reason
        return [(int(view.passage_ids[row]), score) for row, score in ranked], reason


def _name_phrases(connection: Connection, stages: list[Stage]) -> None:
    """Write into the walk's stage how the phrases that it started from are written."""
    found = [phrase for stage in stages if stage.name == "walk" for phrase in stage.detail.get("phrases", ())]
    names = phrase_names(connection, [phrase["phrase_id"] for phrase in found])
    for phrase in found:
        phrase["phrase"] = names.get(phrase["phrase_id"], "")
