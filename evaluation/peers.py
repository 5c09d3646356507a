"""Sharpwave beside its peers, in one run on the same passages, vectors and triples.

A peer answers as Sharpwave does, from the text of a question to the ids of documents, with the same embedder. BM25 and
igraph are yardsticks of the ``bench`` extra; they are imported when they are measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.datasets import Dataset
from evaluation.igraph_parity import IgraphParity, plain_facts
from evaluation.openie import Reading, count_tokens
from evaluation.resident import resident_mb
from evaluation.retrieval_eval import RetrievalReport, evaluate_retrieval
from evaluation.searches import Found, Search
from memory_graph.database import Database
from memory_graph.store.reading import read_hits
from memory_graph.types import Document
from retrieval.embedder import Embedder, passage_input
from retrieval.parity import Parity, index_triples
from retrieval.view import View

Vectors = NDArray[np.float32]
Scorer = Callable[[str], NDArray[Any]]
Memory = Literal["arrays", "resident"]

_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class PeerRow:
    """One way of searching a set: its scores and what it takes.

    ``index_s`` are seconds by stage from the documents to the first search. ``llm_tokens`` is None where the triples
    came without a count. ``memory_mb`` is the size of what a search needs beside the texts: of its ``arrays``, or what
    the process grew by (``resident``) where it lives in objects; None where the system does not say.
    """

    name: str
    retrieval: RetrievalReport
    index_s: Mapping[str, float]
    llm_tokens: int | None
    memory_mb: float | None
    memory_kind: Memory

    def to_json(self) -> dict[str, Any]:
        """Return the row as what ``json.dumps`` takes."""
        return {
            "name": self.name,
            "retrieval": self.retrieval.to_json(),
            "index_s": {stage: round(spent, 3) for stage, spent in self.index_s.items()},
            "index_total_s": round(sum(self.index_s.values()), 3),
            "llm_tokens": self.llm_tokens,
            "memory_mb": self.memory_mb,
            "memory_kind": self.memory_kind,
        }


class Corpus(NamedTuple):
    """Documents of one passage each, their float16 vectors (n, dim) as the product stores them, and the embedder.

    ``embed_s`` is what making the vectors took.
    """

    documents: Sequence[Document]
    vectors: NDArray[np.float16]
    embedder: Embedder
    embed_s: float

    @property
    def texts(self) -> list[str]:
        """What is embedded, and what BM25 reads: title and text."""
        return [passage_input(document.title, "", document.text) for document in self.documents]

    def embed(self, text: str) -> Vectors:
        """Return a question's vector (dim,)."""
        vector: Vectors = self.embedder.encode([text])[0]
        return vector


def read_corpus(database: Database, view: View, dataset: Dataset, embedder: Embedder, embed_s: float = 0.0) -> Corpus:
    """Return the documents in their order in the set, with the vectors that a memory holds of them."""
    with database.read() as connection:
        hits = read_hits(connection, [(int(passage_id), 0.0) for passage_id in view.passage_ids])
    row_of = {hit.document_id: row for row, hit in enumerate(hits)}
    rows = np.array([row_of[document.id] for document in dataset.documents])
    return Corpus(dataset.documents, view.index.take(rows), embedder, embed_s)


def measure_peer(
    dataset: Dataset,
    name: str,
    search: Search,
    *,
    index_s: Mapping[str, float],
    memory_mb: float | None,
    memory_kind: Memory = "arrays",
    llm_tokens: int | None = 0,
) -> PeerRow:
    """Ask all questions, and put the scores beside the costs."""
    search("warm up", 10)
    return PeerRow(
        name=name,
        retrieval=evaluate_retrieval(dataset, search, way=name),
        index_s=index_s,
        llm_tokens=llm_tokens,
        memory_mb=memory_mb,
        memory_kind=memory_kind,
    )


def measure_dense(dataset: Dataset, corpus: Corpus) -> PeerRow:
    """Compare the question with all vectors."""
    vectors = corpus.vectors.astype(np.float32)
    search = _ranking(corpus, lambda question: vectors @ corpus.embed(question))
    return measure_peer(dataset, "dense", search, index_s={"embed": corpus.embed_s}, memory_mb=vectors.nbytes / _MB)


def measure_bm25(dataset: Dataset, corpus: Corpus) -> PeerRow:
    """BM25 over English stems without stop words (Robertson's form, k1 1.5, b 0.75, as the library sets them)."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    start = time.perf_counter()
    index = bm25s.BM25()
    index.index(bm25s.tokenize(corpus.texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    built_s = time.perf_counter() - start

    def score(question: str) -> NDArray[Any]:
        (terms,) = bm25s.tokenize([question], stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
        scores: NDArray[Any] = index.get_scores(terms) if terms else np.zeros(len(corpus.documents))
        return scores

    arrays = [part for part in index.scores.values() if isinstance(part, np.ndarray)]
    return measure_peer(
        dataset,
        "BM25",
        _ranking(corpus, score),
        index_s={"index": built_s},
        memory_mb=sum(array.nbytes for array in arrays) / _MB,
    )


def measure_triples(dataset: Dataset, corpus: Corpus, readings: Mapping[str, Reading]) -> list[PeerRow]:
    """HippoRAG 2's ranking with unfiltered facts, by igraph and by ``retrieval/parity.py``, on the same vectors."""
    triples = [readings[document.id].triples for document in corpus.documents]
    passages = corpus.vectors.astype(np.float32)
    start = time.perf_counter()
    index = index_triples(triples)
    index_s = time.perf_counter() - start
    start = time.perf_counter()
    facts = corpus.embedder.encode(index.fact_texts)
    phrases = corpus.embedder.encode(index.phrases).astype(np.float16)
    embed_s = {"embed": corpus.embed_s, "embed facts and phrases": time.perf_counter() - start}
    tokens = count_tokens(readings)

    before, start = resident_mb(), time.perf_counter()
    theirs = IgraphParity(
        plain_facts([[(one.subject, one.predicate, one.object) for one in found] for found in triples]),
        passages=passages,
        fact_vectors=dict(zip(index.facts, facts, strict=True)),
        phrase_vectors=dict(zip(index.phrases, phrases, strict=True)),
    )
    their_s, after = time.perf_counter() - start, resident_mb()
    rows = [
        measure_peer(
            dataset,
            "HippoRAG 2, igraph",
            _ranking(corpus, lambda question: theirs.score(corpus.embed(question))),
            index_s=embed_s | {"graph": their_s},
            llm_tokens=tokens,
            memory_mb=None if before is None or after is None else after - before,
            memory_kind="resident",
        )
    ]
    start = time.perf_counter()
    ours = Parity(index, passages=passages, fact_vectors=facts, phrase_vectors=phrases)
    our_s = index_s + time.perf_counter() - start
    rows.append(
        measure_peer(
            dataset,
            "parity",
            _ranking(corpus, lambda question: ours.score(corpus.embed(question))),
            index_s=embed_s | {"graph": our_s},
            llm_tokens=tokens,
            memory_mb=ours.nbytes / _MB,
        )
    )
    return rows


def search_by_parity(corpus: Corpus, readings: Mapping[str, Reading]) -> Search:
    """Return the published ranking of the set's own triples as a search."""
    index = index_triples([readings[document.id].triples for document in corpus.documents])
    ranking = Parity(
        index,
        passages=corpus.vectors.astype(np.float32),
        fact_vectors=corpus.embedder.encode(index.fact_texts),
        phrase_vectors=corpus.embedder.encode(index.phrases).astype(np.float16),
    )
    return _ranking(corpus, lambda question: ranking.score(corpus.embed(question)))


def _ranking(corpus: Corpus, score: Scorer) -> Search:
    """Return a search by scores (n_passages,), equal ones in the order of the documents."""

    def search(question: str, k: int) -> Found:
        best = np.argsort(-score(question), kind="stable")[:k]
        return Found([corpus.documents[row].id for row in best.tolist()])

    return search
