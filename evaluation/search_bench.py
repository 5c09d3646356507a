"""Whole searches: how fast, how fresh, how soon ready, and at what cost in memory.

The question is already embedded, the walk runs, nothing is reranked, and the hits' texts are read from the database.
What is committed during the measurement is real, and taken in as always.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.bench_memories import Subject
from memory_graph.database import Database
from memory_graph.store.collections import get_collection
from memory_graph.store.learning import Commit, LearnedDocument, LearnedPassage
from memory_graph.text import hash_text
from memory_graph.types import Document, Extraction, Mention, Passage
from retrieval.saved_views import SavedViews
from retrieval.search import Searcher, SearchRequest
from retrieval.view import View
from retrieval.views import ViewParams

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
            edges=len(view.graph.mentions.base.targets)
            + (len(view.graph.edges.base.targets) - len(view.graph.mentions.base.targets)) // 2,
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
