"""Whole searches over a made-up memory of any size: how fast, how fresh, how soon ready, and at what cost in memory.

The question is already embedded, the walk runs, nothing is reranked, and the hits' texts are read from the database.
The passages' rows are in the database; what a view holds (vectors, graph, names) is made up and saved as if it had been
read from there, since writing tens of millions of mentions would take longer than all the rest. What is committed
during the measurement is real, and taken in as always.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from evaluation.synthetic import DOCUMENT, generate
from evaluation.walk_bench import graph_of
from memory_graph.database import Database, upgrade_schema
from memory_graph.errors import InvalidInput
from memory_graph.growing import Growing
from memory_graph.store.collections import create_collection, get_collection
from memory_graph.store.learning import Commit, LearnedDocument, LearnedPassage
from memory_graph.store.rows import now
from memory_graph.tables import collections, commits, documents, passages, phrases
from memory_graph.text import hash_text, order_key
from memory_graph.types import Document, Extraction, Mention, Passage
from retrieval.index import PassageIndex
from retrieval.names import PhraseNames
from retrieval.refreshing import save_collection
from retrieval.saved_views import SavedViews
from retrieval.search import Searcher, SearchRequest
from retrieval.view import View
from retrieval.views import ViewCache, ViewParams

_COLLECTION, _FILE = "bench", "bench.db"
_TOKEN = "made-up"
_VERSION = 1
_QUESTIONS = 400
_MB = 1e6
_NEVER = ViewParams(save_after=2**60)


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """One size; times are medians in milliseconds unless the name says otherwise.

    ``fresh_ms``: from a commit of one document to the answer of a search that asks for its version. ``unasked_ms``:
    until a search that asks for nothing shows it. ``merging_…``: searches while another process compacts and saves the
    memory. Megabytes: of this process with the view loaded, less those before; ``file_mb`` are mapped and can be
    dropped by the system at any time.
    """

    passages: int
    phrases: int
    edges: int
    made_s: float
    saved_mb: float
    load_s: float
    load_cold_s: float | None
    search_ms: float
    search_p95_ms: float
    stages_ms: dict[str, float]
    threads_8_ms: float
    threads_8_per_s: float
    ann_recall_at_100: float
    commit_ms: float
    fresh_ms: float
    fresh_worst_ms: float
    unasked_ms: float
    merge_s: float
    merging_ms: float
    merging_p95_ms: float
    merging_over_quiet: float
    resident_mb: float
    private_mb: float
    file_mb: float
    parts_mb: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the row as what ``json.dumps`` takes."""
        return asdict(self)


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
            found = searcher.search(self.collection, SearchRequest(query=text, top_k=10))
            times.append((time.perf_counter() - start) * 1000)
            assert len(found.hits) == 10
            for name, spent in found.timings_ms.items():
                by_stage.setdefault(name, []).append(spent)
        return times, {name: median(spent) for name, spent in by_stage.items() if name != "total"}


def bench_search(make: Callable[..., Subject], *given: Any, progress: Callable[[str], None]) -> SearchRow:
    """Measure searches, updates and merging on the memory that ``make(*given)`` makes."""
    progress("making the memory")
    start = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        # In a process of its own: what making takes shall not be counted as what searching takes.
        subject = other.submit(make, *given).result()
    made_s = time.perf_counter() - start
    database, texts = subject.open(), [text for text, _ in subject.questions]
    before = _memory()
    try:
        progress("loading")
        cold_s = _time_loading(subject, database) if _drop_caches() else None
        load_s = _time_loading(subject, database)
        searcher, views = subject.searcher(database, _NEVER)
        progress("searching")
        subject.search(searcher, texts[:50])  # the first touch of a page of a map reads it
        times, stages = subject.search(searcher, texts[50:250])
        threads_ms, threads_per_s = _search_from_threads(subject, searcher, texts[50:])
        resident, private, mapped = (now_ - then for now_, then in zip(_memory(), before, strict=True))
        collection_id, view = views.current(subject.collection)
        recall = _ann_recall(view, [vector for _, vector in subject.questions[:50]])
        progress("committing")
        committed, fresh, unasked = _measure_freshness(subject, database, searcher)
        quiet, _ = subject.search(searcher, texts[250:])
        progress("merging while searching")
        saves = subject.folder / str(collection_id)
        saved_mb = sum(path.stat().st_size for path in saves.rglob("*") if path.is_file()) / _MB
        merging, merge_s = _search_while_merging(subject, database, SavedViews(saves))
        return SearchRow(
            passages=view.n_passages,
            phrases=view.n_phrases,
            edges=len(view.graph.mentions.targets)
            + (len(view.graph.edges.base.targets) - len(view.graph.mentions.targets)) // 2,
            made_s=made_s,
            saved_mb=saved_mb,
            load_s=load_s,
            load_cold_s=cold_s,
            search_ms=median(times),
            search_p95_ms=float(np.percentile(times, 95)),
            stages_ms=stages,
            threads_8_ms=threads_ms,
            threads_8_per_s=threads_per_s,
            ann_recall_at_100=recall,
            commit_ms=median(committed),
            fresh_ms=median(fresh),
            fresh_worst_ms=max(fresh),
            unasked_ms=median(unasked),
            merge_s=merge_s,
            merging_ms=median(merging),
            merging_p95_ms=float(np.percentile(merging, 95)),
            merging_over_quiet=median(merging) / median(quiet),
            resident_mb=resident,
            private_mb=private,
            file_mb=mapped,
            parts_mb={name: nbytes / _MB for name, nbytes in view.nbytes.items()},
        )
    finally:
        database.close()


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
    orders = [order_key(_document(row), row % DOCUMENT) for row in range(n_passages)]
    view = View(
        version=_VERSION,
        token=_TOKEN,
        passages=Growing.of(np.arange(1, n_passages + 1)),
        documents=Growing.of(np.arange(n_passages) // DOCUMENT + 1),
        orders=Growing.of(np.array(orders, dtype=np.int64)),
        phrases=Growing.of(np.arange(1, memory.n_phrases + 1)),
        names=PhraseNames.of(memory.phrase_keys(0, memory.n_phrases)),
        index=PassageIndex.of(vectors).sealed(os.cpu_count() or 1),
        graph=graph_of(memory),
    )
    SavedViews(folder / str(collection_id)).save(view)
    questions = [
        (_ask(memory.phrase_key(int(row)) for row in rows), vector)
        for vector, rows in memory.questions(_QUESTIONS, seed=1)
    ]
    return Subject(folder=folder, collection=_COLLECTION, questions=questions)


def copy_memory(path: Path, collection: str, folder: Path) -> Subject:
    """Copy a memory's SQLite file into an empty ``folder``, and save its view there.

    Questions are stored vectors, moved away until their similarity is about 0.7, with names of the same passage.
    """
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(folder / _FILE)) as target:
        source.backup(target)
    database = Database(_url(folder))
    try:
        with database.read() as connection:
            collection_id = get_collection(connection, collection).id
        save_collection(database, collection, folder / str(collection_id), os.cpu_count() or 1)
        view = ViewCache(database, folder, _NEVER).current(collection)[1]
    finally:
        database.close()
    random = np.random.default_rng(1)
    if view.n_passages < 10:
        raise InvalidInput("--collection", f"{collection!r} has {view.n_passages} passages; searches need 10 or more")
    questions: list[tuple[str, NDArray[np.float32]]] = []
    for row in random.integers(len(view.passages), size=_QUESTIONS).tolist():
        vector = view.index.take(np.array([row]))[0].astype(np.float32)
        vector += random.standard_normal(len(vector), dtype=np.float32) / np.float32(np.sqrt(len(vector)))
        starts = view.graph.mentions.starts
        phrases = view.graph.mentions.targets[starts[row] : starts[row + 1]][:5]
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


def _time_loading(subject: Subject, database: Database) -> float:
    """Return the seconds until a view that was saved is ready, checksums included."""
    start = time.perf_counter()
    subject.searcher(database, _NEVER)[1].current(subject.collection)
    return time.perf_counter() - start


def _search_from_threads(subject: Subject, searcher: Searcher, texts: Sequence[str]) -> tuple[float, float]:
    """Return the median milliseconds of a search when 8 run at once, and how many end in a second."""
    with ThreadPoolExecutor(8) as threads:
        start = time.perf_counter()
        times = list(threads.map(lambda text: subject.search(searcher, [text])[0][0], texts))
        return median(times), len(texts) / (time.perf_counter() - start)


def _ann_recall(view: View, vectors: Sequence[NDArray[np.float32]]) -> float:
    """Return the share of the 100 nearest that the segments find."""
    shares = []
    for vector in vectors:
        fast, exact = (view.index.search(vector, 100, exact=exact)[0] for exact in (False, True))
        shares.append(len(set(fast.tolist()) & set(exact.tolist())) / len(exact))
    return float(np.mean(shares))


def _commit(subject: Subject, database: Database, number: int, vector: NDArray[np.float32]) -> int:
    """Commit one document of one passage with names, new and known ones; returns the version."""
    text = f"News {number}: Ada Quill met Bram Oster, and saw Visitor {number}."
    names = ("Ada Quill", "Bram Oster", f"Visitor {number}")
    learned = LearnedDocument(
        document=Document(id=f"news-{number}", text=text),
        content_hash=hash_text(text),
        passages=[
            LearnedPassage(
                passage=Passage(ordinal=0, text=text, start=0, end=len(text)),
                text_hash=hash_text("", "", text),
                vector=vector.astype(np.float16),
                extraction=Extraction(mentions=tuple(Mention(name, 1) for name in names), triples=()),
            )
        ],
    )
    with database.write() as connection:
        commit = Commit(connection, get_collection(connection, subject.collection).id)
        commit.write(learned, None)
        return commit.finish()


def _measure_freshness(
    subject: Subject, database: Database, searcher: Searcher
) -> tuple[list[float], list[float], list[float]]:
    """Return the milliseconds of commits, of searches for their versions, and until others show them."""
    committed: list[float] = []
    fresh: list[float] = []
    unasked: list[float] = []
    for number, (text, vector) in enumerate(subject.questions[:40]):
        start = time.perf_counter()
        version = _commit(subject, database, number, vector)
        done = time.perf_counter()
        committed.append((done - start) * 1000)
        asks = number % 2 == 0
        request = SearchRequest(query=text, top_k=10, mode="dense", min_version=version if asks else 0)
        for _ in range(1000):
            found = searcher.search(subject.collection, request)
            if any(hit.document_id == f"news-{number}" for hit in found.hits):
                (fresh if asks else unasked).append((time.perf_counter() - done) * 1000)
                break
            assert not asks, "a search that asked for a version did not see it"
        else:
            raise AssertionError("a commit was not seen by a thousand searches")
    return committed, fresh, unasked


def _search_while_merging(subject: Subject, database: Database, saves: SavedViews) -> tuple[list[float], float]:
    """Return the milliseconds of searches while a process compacts and saves, and the seconds that it took."""
    before = saves.newest_version()
    searcher, views = subject.searcher(database, ViewParams(save_after=0, save_share=0.0))
    times: list[float] = []
    start = time.perf_counter()
    views.current(subject.collection)
    while views.is_tending(subject.collection):
        times += subject.search(searcher, [subject.questions[len(times) % len(subject.questions)][0]])[0]
    assert saves.newest_version() > before, "nothing was merged"
    return times, time.perf_counter() - start


def _memory() -> tuple[float, float, float]:
    """Return the megabytes of this process that are resident, private, and mapped from files."""
    gc.collect()
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    resident, private, files = (int(fields[name].split()[0]) * 1024 / _MB for name in ("VmRSS", "RssAnon", "RssFile"))
    return resident, private, files


def _drop_caches() -> bool:
    """Make the system forget the files that it holds in memory, where we may."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True
