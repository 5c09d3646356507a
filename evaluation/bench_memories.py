"""Memories for the benchmark of searches: made up at any size, or a copy of one that was learned.

The passages' rows are in the database; what a view holds (vectors, graph, names) is made up and saved as if it had been
read from there, since writing tens of millions of mentions would take longer than all the rest.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from evaluation.synthetic import DOCUMENT, SyntheticMemory, generate
from evaluation.walk_bench import graph_of
from memory_graph.database import Database, upgrade_schema
from memory_graph.edges import spread
from memory_graph.errors import InvalidInput
from memory_graph.growing import Growing
from memory_graph.hashing import Words, hash_keys
from memory_graph.store.collections import create_collection, get_collection
from memory_graph.store.listing import names_of
from memory_graph.store.rows import now
from memory_graph.tables import collections, commits, documents, passages, phrases
from memory_graph.text import order_key
from retrieval.index import PassageIndex
from retrieval.lexical import LexicalIndex
from retrieval.names import PhraseNames
from retrieval.refreshing import save_collection
from retrieval.saved_views import SavedViews
from retrieval.search import Searcher, SearchRequest
from retrieval.titles import Titles
from retrieval.view import View
from retrieval.views import ViewCache, ViewParams

_COLLECTION, _FILE = "bench", "bench.db"
_TOKEN = "made-up"
_VERSION = 1
_QUESTIONS = 400
_NAME_WORDS = 3  # of every made-up name
_OTHER_WORDS, _VOCABULARY = 60, np.float32(500_000)


class _Embedded:
    """Gives each question the vector that it was made with."""

    name = "made-up"
    dim = 384

    def __init__(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        self._vectors = vectors

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of questions that are known."""
        return np.stack([self._vectors[text] for text in texts])


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A memory to measure: its collection in the database and the saves in a folder, and questions with vectors."""

    folder: Path
    collection: str
    questions: list[tuple[str, NDArray[np.float32]]]

    def open(self) -> Database:
        """Open its database."""
        return Database(_url(self.folder))

    def searcher(self, database: Database, params: ViewParams) -> tuple[Searcher, ViewCache]:
        """Return what searches it, with views of its own."""
        views = ViewCache(database, self.folder, params)
        return Searcher(database, views, _Embedded(dict(self.questions))), views

    def search(self, searcher: Searcher, texts: Sequence[str]) -> tuple[list[float], dict[str, float]]:
        """Return the milliseconds of each search but for embedding, and the median of each stage."""
        times: list[float] = []
        by_stage: dict[str, list[float]] = {}
        for text in texts:
            start = time.perf_counter()
            found = searcher.search(self.collection, SearchRequest(query=text, top_k=10, rerank="none"))
            times.append((time.perf_counter() - start) * 1000)
            assert len(found.hits) == 10
            for name, spent in found.timings_ms.items():
                by_stage.setdefault(name, []).append(spent)
        return times, {name: median(spent) for name, spent in by_stage.items() if name != "total"}


def make_memory(n_passages: int, folder: Path) -> Subject:
    """Write a made-up memory of that size into an empty ``folder``: a database and a saved view."""
    memory = generate(n_passages)
    database = Database(_url(folder))
    upgrade_schema(database)
    collection_id = _fill_database(database, n_passages, memory.n_phrases)
    database.close()
    vectors = np.empty((n_passages, _Embedded.dim), dtype=np.float16)
    for start in range(0, n_passages, 20_000):
        vectors[start : start + 20_000] = memory.vectors(start, min(start + 20_000, n_passages))
    orders = [order_key(_document(row), f"{row:032x}", 0) for row in range(n_passages)]
    view = View(
        version=_VERSION,
        token=_TOKEN,
        passages=Growing.of(np.arange(1, n_passages + 1)),
        documents=Growing.of(np.arange(n_passages) // DOCUMENT + 1),
        orders=Growing.of(np.array(orders, dtype=np.int64)),
        phrases=Growing.of(np.arange(1, memory.n_phrases + 1)),
        names=PhraseNames.of(memory.phrase_keys(0, memory.n_phrases)),
        words=LexicalIndex.of(*_make_words(memory)),
        titles=Titles.none(n_passages),
        index=PassageIndex.of(vectors).sealed(os.cpu_count() or 1),
        graph=graph_of(memory),
    )
    SavedViews(folder / str(collection_id)).save(view)
    questions = [
        (_ask(memory.phrase_key(int(row)) for row in rows), vector)
        for vector, rows in memory.questions(_QUESTIONS, seed=1)
    ]
    return Subject(folder=folder, collection=_COLLECTION, questions=questions)


def _make_words(memory: SyntheticMemory) -> tuple[Words, NDArray[np.int64]]:
    """Return the words of all passages and where those of each end: the names it mentions, then words by Zipf's law."""
    names = hash_keys(memory.phrase_keys(0, memory.n_phrases))[0].reshape(memory.n_phrases, _NAME_WORDS)
    mentions = np.bincount(memory.context.passage_rows, minlength=memory.n_passages)
    ends = np.cumsum(_NAME_WORDS * mentions + _OTHER_WORDS)
    ranks = _VOCABULARY ** np.random.default_rng(2).random(int(ends[-1]), dtype=np.float32)
    words = ranks.astype(np.uint32) * np.uint32(2654435761)
    firsts = ends - _NAME_WORDS * mentions - _OTHER_WORDS
    places = spread(firsts, firsts + _NAME_WORDS * mentions)
    words[places] = names[memory.context.phrase_rows].ravel()
    return words, ends


def copy_database(path: Path, copy: Path) -> None:
    """Copy an SQLite database as it stands, whoever else has it open."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def copy_memory(path: Path, collection: str, folder: Path) -> Subject:
    """Copy a memory's SQLite file into an empty ``folder``, and save its view there.

    Questions are stored vectors, moved away until their similarity is about 0.7, with names of the same passage.
    """
    copy_database(path, folder / _FILE)
    database = Database(_url(folder))
    try:
        with database.read() as connection:
            collection_id = get_collection(connection, collection).id
        save_collection(database, collection, folder / str(collection_id), os.cpu_count() or 1)
        view = ViewCache(database, folder, ViewParams()).current(collection)[1]
    finally:
        database.close()
    random = np.random.default_rng(1)
    if view.n_passages < 10:
        raise InvalidInput("--collection", f"{collection!r} has {view.n_passages} passages; searches need 10 or more")
    questions: list[tuple[str, NDArray[np.float32]]] = []
    for row in random.integers(len(view.passages), size=_QUESTIONS).tolist():
        vector = view.index.take(np.array([row]))[0].astype(np.float32)
        vector += random.standard_normal(len(vector), dtype=np.float32) / np.float32(np.sqrt(len(vector)))
        starts = view.graph.mentions.base.starts
        phrases = view.graph.mentions.base.targets[starts[row] : starts[row + 1]][:5]
        text = _ask([view.names.key(int(phrase)) for phrase in phrases]) + f" ({len(questions)})"
        questions.append((text, vector / np.linalg.norm(vector)))
    return Subject(folder=folder, collection=collection, questions=questions)


def _ask(names: Iterable[str]) -> str:
    return f"What joins {' and '.join(names)}?"


def _fill_database(database: Database, n_passages: int, n_phrases: int) -> int:
    """Write the rows that hits are read from, and the last phrase, so that the next gets an id behind it."""
    moment = now()
    with database.write() as connection:
        cid = create_collection(connection, _COLLECTION).id
        connection.execute(collections.update().values(version=_VERSION, embedder=_Embedded.name))
        connection.execute(insert(commits).values(collection_id=cid, version=_VERSION, token=_TOKEN, created_at=moment))
        connection.execute(
            insert(phrases).values(id=n_phrases, collection_id=cid, key="the last of the made-up", version=_VERSION)
        )
        for start in range(0, -(-n_passages // DOCUMENT), 10_000):
            stop = min(start + 10_000, -(-n_passages // DOCUMENT))
            connection.execute(
                insert(documents),
                [
                    {
                        "id": row + 1,
                        "collection_id": cid,
                        "key": _document(row * DOCUMENT),
                        "title": f"Document {row}",
                        "metadata": {},
                        "content_hash": f"{row:032x}",
                        "version": _VERSION,
                        "created_at": moment,
                        "names": names_of(_document(row * DOCUMENT), f"Document {row}", None),
                        "passages": min(DOCUMENT, n_passages - row * DOCUMENT),
                    }
                    for row in range(start, stop)
                ],
            )
            connection.execute(
                insert(passages),
                [
                    {
                        "id": row + 1,
                        "collection_id": cid,
                        "document_id": row // DOCUMENT + 1,
                        "ordinal": row % DOCUMENT,
                        "text": f"Passage {row} of a memory that was made up. " * 8,
                        "heading": "",
                        "start": 0,
                        "end": 0,
                        "text_hash": f"{row:032x}",
                        "version": _VERSION,
                    }
                    for row in range(start * DOCUMENT, min(stop * DOCUMENT, n_passages))
                ],
            )
    return cid


def _document(row: int) -> str:
    return f"document-{row // DOCUMENT}"


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / _FILE}"
