"""What adding one document costs, in an empty memory and in large ones, side by side in one run.

All that learning does is real but for the embedder and the extractor, whose cost does not know the memory: the job, the
look-ups of what is known, the commit, and the view of a reader that takes it in. A document has 20 passages, each with
six new names and seven that the whole memory mentions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.bench_memories import Subject, make_memory
from evaluation.bench_rows import write_evidence
from evaluation.memory import learn_more
from evaluation.synthetic import DOCUMENT, generate
from ingest.extracting import Finding, Wanted
from ingest.jobs import document_items
from ingest.pipeline import Learner
from memory_graph.database import upgrade_schema
from memory_graph.store.collections import create_collection, get_collection
from memory_graph.types import Document, Extraction, Mention, Passage, Triple
from retrieval.views import ViewCache, ViewParams

_NEVER = ViewParams(save_after=2**60)
_NEW_NAMES, _KNOWN_NAMES, _HUBS = 6, 7, 40
_WARM_UP = 3  # documents that are not counted
_BREAK = "\n\n"


@dataclass(frozen=True, kw_only=True)
class AddingRow:
    """One size; medians in milliseconds, and the median over the documents of how many times the first size's.

    ``learn_ms``: a job with one document, from its rows to its end. ``commit_ms``: the commit in it. ``searchable_ms``:
    from there until a reader's view holds it.
    """

    passages: int
    made_s: float
    learn_ms: float
    commit_ms: float
    searchable_ms: float
    learn_ratio: float
    commit_ratio: float
    searchable_ratio: float

    def to_json(self) -> dict[str, Any]:
        """Return the row as what ``json.dumps`` takes."""
        return asdict(self)


def bench_adding(
    sizes: Sequence[int], folder: Path, *, documents: int = 20, progress: Callable[[str], None] = lambda _: None
) -> list[AddingRow]:
    """Add the same documents to a memory of each size, in turns, so that each meets what else the machine does."""
    memories: list[_Memory] = []
    hubs = _hub_names(max([*sizes, 1000]))
    try:
        for number, size in enumerate(sizes):
            progress(f"Making up {size:,} passages")
            place = folder / str(number)
            place.mkdir()
            memories.append(_Memory(size, place))
        for number in range(_WARM_UP + documents):
            progress(f"Adding document {number + 1} of {_WARM_UP + documents}")
            for memory in memories:
                memory.add(_make_document(number, hubs))
    finally:
        for memory in memories:
            memory.close()
    return [memory.row(memories[0]) for memory in memories]


class _Memory:
    """A memory of one size, with a learner and a reader."""

    def __init__(self, size: int, folder: Path) -> None:
        start = time.perf_counter()
        self._size = size
        self._subject = make_with_evidence(size, folder)
        self._database = self._subject.open()
        with self._database.read() as connection:
            self._collection_id = get_collection(connection, self._subject.collection).id
        self._views = ViewCache(self._database, folder, _NEVER)
        splitters: Any = {"none": _Paragraphs()}
        self._learner = Learner(self._database, _NoEmbedder(), _NoExtraction(), splitters)
        self._views.current(self._subject.collection)
        self._made_s = time.perf_counter() - start
        self.figures: list[NDArray[np.float64]] = []

    def add(self, document: Document) -> None:
        """Learn one document and bring the view up to date."""
        start = time.perf_counter()
        job = learn_more(self._database, self._learner, self._collection_id, document_items([document]), split="none")
        learned = time.perf_counter()
        assert job.documents == 1, job
        self._views.current(self._subject.collection, min_version=job.version or 0)
        ended = time.perf_counter()
        self.figures.append(np.array([learned - start, job.seconds["commit"], ended - learned]) * 1000)

    def row(self, first: _Memory) -> AddingRow:
        """Return the medians, and those of the ratios to what was measured next to each in the ``first`` memory."""
        figures, beside = np.array(self.figures[_WARM_UP:]), np.array(first.figures[_WARM_UP:])
        learn, commit, searchable = np.median(figures, axis=0).tolist()
        learn_ratio, commit_ratio, searchable_ratio = np.median(figures / beside, axis=0).tolist()
        return AddingRow(
            passages=self._size,
            made_s=self._made_s,
            learn_ms=learn,
            commit_ms=commit,
            searchable_ms=searchable,
            learn_ratio=learn_ratio,
            commit_ratio=commit_ratio,
            searchable_ratio=searchable_ratio,
        )

    def close(self) -> None:
        """Close the database."""
        self._views.close()
        self._database.close()


def make_with_evidence(size: int, folder: Path) -> Subject:
    """Write a made-up memory of so many passages into an empty ``folder``, names, mentions and facts included."""
    if size:
        subject = make_memory(size, folder)
        database = subject.open()
        with database.write() as connection:
            write_evidence(connection, get_collection(connection, subject.collection).id, generate(size))
        database.close()
        return subject
    subject = Subject(folder=folder, collection="bench", questions=[])
    database = subject.open()
    upgrade_schema(database)
    with database.write() as connection:
        create_collection(connection, subject.collection)
    database.close()
    return subject


def _hub_names(size: int) -> list[str]:
    """Return the names that most passages of a memory of that size mention."""
    memory = generate(min(size, 10_000))
    frequency = np.bincount(memory.context.phrase_rows, minlength=memory.n_phrases)
    return [memory.phrase_key(int(row)) for row in np.argsort(-frequency, kind="stable")[:_HUBS]]


def _make_document(number: int, hubs: Sequence[str]) -> Document:
    """Return a document whose passages are lists of names."""
    texts = []
    for passage in range(DOCUMENT):
        new = [f"Visitor {number} {passage} {one}" for one in range(_NEW_NAMES)]
        at = number * DOCUMENT + passage
        texts.append(", ".join([*new, *(hubs[(at + one) % len(hubs)] for one in range(_KNOWN_NAMES))]))
    return Document(id=f"added-{number}", text=_BREAK.join(texts), title=f"Guest book {number}")


class _Paragraphs:
    """Makes each paragraph a passage."""

    def split(self, document: Document) -> tuple[Passage, ...]:
        found, start = [], 0
        for ordinal, text in enumerate(document.text.split(_BREAK)):
            found.append(Passage(ordinal=ordinal, text=text, start=start, end=start + len(text)))
            start += len(text) + len(_BREAK)
        return tuple(found)


class _NoEmbedder:
    """Gives vectors at no cost."""

    name = "made-up"
    dim = 384

    def __init__(self) -> None:
        self._random = np.random.default_rng(5)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors (n, dim)."""
        vectors = self._random.standard_normal((len(texts), self.dim), dtype=np.float32)
        norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / norms


class _NoExtraction:
    """Reads the names that stand between commas, and that each met the next, at no cost; for any job."""

    made_by = "commas"

    def begin(self, job_id: str, collection_id: int) -> _NoExtraction:
        """Return itself."""
        return self

    def submit(self, wanted: Wanted) -> Future[None]:
        """There is nothing to begin."""
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def collect(self, wanted: Wanted, future: Future[None]) -> tuple[dict[str, Finding], float]:
        """Return what stands in the passages."""
        found: dict[str, Finding] = {}
        for text_hash, passage in wanted.items():
            names = passage.text.split(", ")
            found[text_hash] = Extraction(
                mentions=tuple(Mention(name, 1) for name in names),
                triples=tuple(Triple(one, "met", other) for one, other in pairwise(names)),
            )
        return found, 0.0

    def end(self) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """There is nothing to end."""
