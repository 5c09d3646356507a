"""One search, from the question to the hits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, ModelMissing, StoreBusy
from memory_graph.store.collections import current_commit, get_collection
from memory_graph.store.reading import filter_documents, phrase_names, read_hits
from memory_graph.types import Hit
from retrieval.batching import in_lane
from retrieval.chain_ranking import rank_by_chains, share_own_titles, stays_ahead
from retrieval.chains import ChainParams
from retrieval.cross_encoder import CrossParams, PairScorer, rank_by_pairs
from retrieval.embedder import Embedder
from retrieval.explaining import explain_hits, told_phrases
from retrieval.fact_linking import LinkedFacts, link_facts
from retrieval.facts import FactFilter
from retrieval.folding import read_folded
from retrieval.graph_search import GraphParams, fuse, guard
from retrieval.kept_notes import RecalledNote, recall_note
from retrieval.ranker import ChainRanker, read_ranker
from retrieval.scene import Query, Scene, link, look, match_words
from retrieval.stages import Stage, Stages
from retrieval.view import View, small_view
from retrieval.views import ViewCache

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

_TRIES = 100
_SIDE_BY_SIDE = 8  # searches of one call to search_many

Mode = Literal["graph", "dense", "hybrid"]
Rerank = Literal["chain", "cross", "none"]


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """A question to a collection; ``filter`` limits what may be returned, not what the walk may cross.

    ``rerank`` None means *chain* in mode graph and *none* in the others; *cross* in mode graph comes on top of *chain*.
    """

    query: str
    top_k: int = 10
    mode: Mode = "graph"
    rerank: Rerank | None = None
    filter: Mapping[str, Any] = field(default_factory=dict)
    min_version: int = 0
    fold: bool = True
    """Whether copies in linked documents are left out behind the best of them (``retrieval/folding.py``)."""
    thoughts: tuple[str, ...] = ()
    """Texts about the question; the passages nearest to the mean of their vectors and the question's are found."""
    explain: bool = False
    """Whether the trace tells how the hits came to their places (``retrieval/explaining.py``)."""


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


@dataclass(frozen=True)
class Ranked:
    """Rows of passages, best first, and their scores."""

    rows: list[int]
    scores: list[float]

    def then(self, others: Ranked) -> Ranked:
        """Return this ranking with what only ``others`` has behind it; scores there start from the last one here."""
        known = set(self.rows)
        more = [(row, score) for row, score in zip(others.rows, others.scores, strict=True) if row not in known]
        if not more or not self.rows:
            return self if self.rows else others
        highest, floor = max(abs(score) for score in others.scores) or 1.0, self.scores[-1]
        # Where the last is below zero, as in mode hybrid, nothing behind it may be above it.
        low = [min(floor, floor * score / highest if score > 0 else 0.0) for _, score in more]
        return Ranked(self.rows + [row for row, _ in more], self.scores + low)

    def first(self, count: int, view: View) -> list[tuple[int, float]]:
        """Return the ids and scores of the first ``count`` passages."""
        rows = np.array(self.rows[:count], dtype=np.int64)
        return list(zip(view.passage_ids[rows].tolist(), self.scores[:count], strict=True))

    def guarded(self, rows: Sequence[int], within: int) -> Ranked:
        """Return this ranking with ``rows`` among its first."""
        scores = dict(zip(self.rows, self.scores, strict=True))
        order = guard(self.rows, list(rows), within)
        return Ranked(order, [scores.get(row, 0.0) for row in order])


class Searcher:
    """Searches collections with one embedder."""

    def __init__(
        self,
        database: Database,
        views: ViewCache,
        embedder: Embedder,
        params: GraphParams | None = None,
        chains: ChainParams | None = None,
        ranker: ChainRanker | None = None,
        scorer: PairScorer | None = None,
        cross: CrossParams | None = None,
        fact_filter: FactFilter | None = None,
    ) -> None:
        self._database = database
        self._views = views
        self._embedder = embedder
        self._params = params or GraphParams()
        self._chains = chains or ChainParams()
        self._ranker = ranker or read_ranker()
        self._scorer = scorer
        self._cross = cross or CrossParams()
        self._fact_filter = fact_filter
        self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="search")
        self.listener: Callable[[SearchRequest, SearchResult], None] | None = None
        """Told of every search that succeeded."""

    @property
    def embedder(self) -> Embedder:
        """What makes vectors of questions, and of what is learned."""
        return self._embedder

    def warm(self) -> None:
        """Load the embedder and all that is compiled, so that the first question need not."""
        vectors = self._embedder.encode(["Ada Quill", "Bram Oster"])
        view = small_view(vectors, ["ada quill", "bram oster"])
        *_, scene = self._rank(view, vectors[0], SearchRequest(query="Ada Quill"), Stages(), None)
        assert scene is not None  # the view has edges
        explain_hits(scene, self._params.walk, view.passage_ids.tolist())

    def search(self, collection: str, request: SearchRequest) -> SearchResult:
        """Find the passages for a question.

        Errors: ``NotFound`` for the collection, ``InvalidInput`` for a filter or a way of reranking that does not fit
        the mode, ``Conflict`` for a version that does not come.
        """
        self._check(request)
        with in_lane(collection):
            found = self._search_now(collection, request)
        if self.listener is not None:
            self.listener(request, found)
        return found

    def search_many(self, collection: str, requests: Sequence[SearchRequest]) -> list[SearchResult]:
        """Find the passages for several questions, each as ``search`` would, and return the results in their order.

        They run side by side, and an embedder that joins calls (``retrieval/batching.py``) embeds them together.

        Errors: those of ``search``, of the first question that has one; then there are no results.
        """
        for request in requests:
            self._check(request)
        # In a context of its own each, since a context cannot be entered twice.
        running = [self._pool.submit(copy_context().run, self.search, collection, request) for request in requests]
        try:
            return [one.result() for one in running]
        finally:
            for one in running:
                one.cancel()

    def _check(self, request: SearchRequest) -> None:
        if request.rerank == "chain" and request.mode != "graph":
            raise InvalidInput("rerank", f"chain needs mode graph; it is {request.mode}. Leave it out, or say none.")
        if request.rerank == "cross" and self._scorer is None:
            raise ModelMissing("rerank cross needs a reranker, and this search was made without one")

    def _search_now(self, collection: str, request: SearchRequest) -> SearchResult:
        stages = Stages()
        with stages.measure("view") as detail:
            collection_id, view = self._views.current(collection, min_version=request.min_version)
            detail |= _describe(view)
        result, gone = self._search(collection_id, view, request, stages, self._database.read)
        if not gone:
            return result
        # A document was replaced or forgotten since the ranking: once more, with nothing in between.
        stages = Stages()
        with self._hold(collection, request.min_version) as (collection_id, view, connection):
            with stages.measure("view") as detail:
                detail |= _describe(view) | {"again": True}
            return self._search(collection_id, view, request, stages, lambda: nullcontext(connection))[0]

    def _search(
        self,
        collection_id: int,
        view: View,
        request: SearchRequest,
        stages: Stages,
        read: Callable[[], AbstractContextManager[Connection]],
    ) -> tuple[SearchResult, int]:
        """Search in one view; return also how many passages that were found are there no more when they are read."""
        ranked, reason, scene = Ranked([], []), None, None
        query: Query = np.zeros(0, dtype=np.float32)
        allowed: Mask | None = None
        if view.n_passages:
            with stages.measure("embed") as detail:
                query = _mean_direction(self._embedder.encode([request.query, *request.thoughts]))
                detail |= {"thoughts": len(request.thoughts)} if request.thoughts else {}
            if request.filter:
                with stages.measure("filter") as detail, read() as connection:
                    documents = filter_documents(connection, collection_id, request.filter)
                    allowed = np.isin(view.document_ids, documents)
                    detail["passages"] = int(allowed.sum())
            ranked, reason, scene = self._rank(view, query, self._deepened(request), stages, allowed)
            if request.rerank == "cross":
                chained = request.mode == "graph" and reason != "empty_graph"
                ranked = self._read_again(view, request.query, ranked, stages, chained)
        elif request.filter:
            with read() as connection:
                filter_documents(
                    connection, collection_id, request.filter
                )  # what makes no sense is refused all the same
        with stages.measure("read") as detail, read() as connection:
            if request.fold:
                first = partial(self._first, view, query, request, allowed, ranked)
                folding = read_folded(connection, request.top_k, first)
                hits = folding.hits()
                detail["folded"] = [{"passage_id": one, "into": into} for one, into in folding.folded]
                gone = folding.gone
            else:
                scored = ranked.first(request.top_k, view)
                hits = read_hits(connection, scored)
                gone = len(scored) - len(hits)
            detail["hits"] = len(hits)
            _name_phrases(connection, stages.done)
        if request.explain and scene is not None:
            with stages.measure("flow") as detail, read() as connection:
                detail |= explain_hits(scene, self._params.walk, [hit.passage_id for hit in hits])
                _name_phrases(connection, [Stage(name="flow", ms=0.0, detail=detail)])
        result = SearchResult(
            hits=hits,
            version=view.version,
            collection_id=collection_id,
            fallback_reason=reason,
            stages=stages.done,
        )
        return result, gone

    @contextmanager
    def _hold(self, collection: str, min_version: int) -> Iterator[tuple[int, View, Connection]]:
        """Yield a collection's id, its view, and a connection that sees the very commit at which the view stands.

        Errors: ``StoreBusy`` where commits follow each other so closely that the view never was the newest.
        """
        for _ in range(_TRIES):
            with self._database.read() as connection:
                version = get_collection(connection, collection).version
            collection_id, view = self._views.current(collection, min_version=max(version, min_version))
            with self._database.read() as connection:
                if current_commit(connection, collection_id) == (view.version, view.token):
                    yield collection_id, view, connection
                    return
        raise StoreBusy(f"{collection!r} is written to so often that this search could not keep up; try again")

    def recall_note(self, found: SearchResult, question: str) -> RecalledNote | None:
        """Return the note that was kept for a question much like this one and rests on what this search found."""
        ids = [hit.passage_id for hit in found.hits]
        return recall_note(self._database, self._embedder, found.collection_id, question, ids)

    def _first(
        self, view: View, query: Query, request: SearchRequest, allowed: Mask | None, ranked: Ranked, depth: int
    ) -> list[tuple[int, float]]:
        """Return the ids and scores of the first ``depth`` of a ranking; behind its own come others by similarity."""
        if depth > max(len(ranked.rows), request.top_k):
            near, *_ = self._rank(view, query, replace(request, mode="dense", top_k=depth), Stages(), allowed)
            ranked = near if request.mode == "dense" and request.rerank != "cross" else ranked.then(near)
        return ranked.first(depth, view)

    def _deepened(self, request: SearchRequest) -> SearchRequest:
        """Return the request with a ``top_k`` that brings all candidates of the cross-encoder."""
        return replace(request, top_k=max(request.top_k, self._cross.candidates if request.rerank == "cross" else 0))

    def _read_again(self, view: View, question: str, ranked: Ranked, stages: Stages, chained: bool) -> Ranked:
        """Rank the first of a ranking by what the cross-encoder makes of their texts; the others follow."""
        assert self._scorer is not None
        with stages.measure("cross") as detail:
            row_of = {int(view.passage_ids[row]): row for row in ranked.rows[: self._cross.candidates]}
            with self._database.read() as connection:
                hits = read_hits(connection, list(zip(row_of, ranked.scores, strict=False)))
            found = rank_by_pairs(self._scorer, question, hits, self._cross.beside_chain if chained else None)
            detail |= found.detail
        return Ranked([row_of[one] for one in found.passage_ids], found.scores).then(ranked)

    def _rank(
        self, view: View, query: Query, request: SearchRequest, stages: Stages, allowed: Mask | None
    ) -> tuple[Ranked, str | None, Scene | None]:
        """Rank at least ``top_k`` rows of passages that may be returned, if there are so many, best first."""
        params, orders, top_k = self._params, view.orders.rows, request.top_k
        with stages.measure("dense") as detail:
            wanted = top_k if request.mode == "dense" else max(top_k, params.seeds)
            near = rows, _ = view.index.search(query, wanted, exact=params.exact, ties=orders)
            if allowed is not None:
                near = view.index.search(query, top_k, allowed=allowed, exact=params.exact, ties=orders)
            detail["best"] = [
                {"passage_id": int(view.passage_ids[row]), "similarity": round(float(s), 4)}
                for row, s in list(zip(*near, strict=True))[:20]
            ]
        dense = Ranked(near[0].tolist(), near[1].tolist())
        if request.mode == "dense":
            return dense, None, None
        if request.mode == "hybrid":
            found = match_words(view, link(view, request.query), params, stages)
            fused = fuse(view, query, rows, found, (1.0, params.hybrid_weight))
            return _allowed(fused.rows, fused.scores, allowed).then(dense), None, None
        if not view.graph.total_count:
            return dense, "empty_graph", None
        facts = self._link_facts(view, query, request.query, stages)
        scene = look(view, query, request.query, rows[: params.seeds], params, stages, facts)
        reason = None if len(scene.phrases) else "no_known_phrase_in_question"
        if facts is not None and facts.fallback_reason:
            reason = facts.fallback_reason
        ranked, ahead = _allowed(scene.walked, scene.walk_scores, allowed), False
        if request.rerank != "none":
            with stages.measure("chain") as detail:
                own_titles = share_own_titles(view.titles.names.rows[scene.walked[: self._chains.by_walk]])
                detail["own_titles"] = round(own_titles, 2)
                if request.rerank is None and own_titles < self._chains.own_titles:
                    detail["left_out"] = "titles_repeat"
                else:
                    encode = self._embedder.encode if self._chains.looks > 1 else None
                    chained = rank_by_chains(scene, self._ranker, self._chains, encode, allowed)
                    best = Ranked(chained.rows.tolist(), chained.scores.tolist())
                    words = len(scene.question.tokens)
                    ahead = stays_ahead(best.rows, best.scores, dense.rows[:1], words, self._chains)
                    detail |= chained.detail | {"nearest_stays_ahead": ahead}
                    ranked = best.then(ranked)
        # Passages that the walk did not reach follow in dense order, so that top_k means the same in every mode.
        ranked = ranked.then(dense).guarded(dense.rows[: params.guard], params.guard_within)
        return ranked.guarded(dense.rows[:1], 2) if ahead else ranked, reason, scene

    def _link_facts(self, view: View, query: Query, question: str, stages: Stages) -> LinkedFacts | None:
        if not len(view.facts):
            return None
        with stages.measure("facts") as detail:
            linked = link_facts(self._database, view, question, query, self._params.facts, self._fact_filter)
            if linked is not None:
                detail |= linked.detail
        return linked


def _describe(view: View) -> dict[str, int]:
    return {"version": view.version, "passages": view.n_passages, "phrases": view.n_phrases}


def _mean_direction(vectors: Query) -> Query:
    """Return the mean of unit vectors (n, dim) as a unit vector (dim,); the first where they cancel out."""
    mean = vectors.mean(axis=0)
    norm = np.linalg.norm(mean)
    first: Query = vectors[0]
    averaged: Query = (mean / max(norm, 1e-6)).astype(vectors.dtype)
    return first if len(vectors) == 1 or norm < 1e-6 else averaged


def _allowed(rows: Ints, scores: Doubles, allowed: Mask | None) -> Ranked:
    kept = slice(None) if allowed is None else allowed[rows]
    return Ranked(rows[kept].tolist(), scores[kept].tolist())


def _name_phrases(connection: Connection, stages: list[Stage]) -> None:
    """Write into the stages how the phrases that they speak of are written."""
    found = [one for stage in stages for one in told_phrases(stage)]
    names = phrase_names(connection, list({one["phrase_id"] for one in found}))
    for one in found:
        one["phrase"] = names.get(one["phrase_id"], "")
