"""Segments: ranges of rows behind short codes, which are read for a question thirty times faster than the vectors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval.vectors import Floats, Ints, Mask, Vectors

_VALUES = 16  # of a code of 4 bits
_TRAINED_ON = 4096  # rows; so few values need no more
_ITERATIONS = 5
_BLOCK = 65_536

# How many candidates are rescored for each row that is wanted, and the fewest.
_FACTORS = (2, 4, 8, 16, 32)
_SPARE = 32
# Where more than this share of the rows would be candidates, scanning the stored vectors is quicker and misses nothing.
_WORTH = 0.25

# What is asked when a segment is measured: so many stored vectors, moved by noise of this length and made unit again.
# With noise of length 1 the similarity to the vector itself is 0.7, about that of a question to a passage on it.
_PROBES = 100
_NOISE = 1.0
_DEPTHS = (10, 100, 300, 1000)

_faiss: Any = faiss  # its type stubs miss much of what it has


@dataclass(frozen=True, eq=False, kw_only=True)
class Segment:
    """The rows ``start:stop`` as 4-bit product codes, two components each; never changes.

    ``factor`` candidates a wanted row reach the wanted recall once they are rescored; ``recall`` was measured. Where no
    factor reaches it, as with vectors that are not like those of texts, there is no index and the rows are scanned.
    """

    start: int
    stop: int
    factor: int
    recall: float
    index: Any = field(default=None, repr=False)
    gpu: _GpuCopy | None = field(default=None, repr=False)

    @staticmethod
    def built(vectors: Vectors, start: int, stop: int, recall: float, threads: int) -> Segment:
        """Return the rows ``start:stop`` as a segment; takes some 20 µs a row."""
        if stop - start < _VALUES:
            return Segment(start=start, stop=stop, factor=0, recall=1.0)
        with _omp_threads(threads):
            index = _trained(vectors, start, stop)
            for _, rows in vectors.parts(start, stop, _BLOCK):
                index.add(rows.astype(np.float32))  # which numbers them from 0
            factor, measured = _measured(vectors, start, stop, index, recall)
        if not factor:
            return Segment(start=start, stop=stop, factor=0, recall=1.0)
        gpu = _GpuCopy.of(vectors, start, stop)
        return Segment(start=start, stop=stop, factor=factor, recall=measured, index=index, gpu=gpu)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return len(self) * int(self.index.code_size) if self.index is not None else 0

    def search(self, query: Floats, k: int, wanted: Mask | None) -> tuple[Ints, Floats] | None:
        """Return candidate rows for the ``k`` nearest with approximate scores, or None to scan instead.

        ``wanted`` (n,), over all rows of the collection, leaves out the rows where it is False.
        """
        if self.index is None:
            return None
        mask = None if wanted is None else wanted[self.start : self.stop]
        count = len(self) if mask is None else int(np.count_nonzero(mask))
        if not count:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        # The codes know no selector: where one row in ten is wanted, ten times as many are asked for.
        room = ceil((self.factor * k + _SPARE) * len(self) / count)
        if room > _WORTH * len(self):
            return None
        found = self.gpu.search(query, room) if self.gpu else None
        if found is None:
            scores, places = self.index.search(query[None], room)
            found = scores[0], places[0]
        scores, places = found
        hit = places >= 0 if mask is None else (places >= 0) & mask[places]
        return self.start + places[hit], scores[hit]

    def save(self, path: Path) -> dict[str, Any]:
        """Write the index, where there is one, to ``path`` and return the rest of the segment, fit for JSON."""
        if self.index is not None:
            faiss.write_index(self.index, str(path))
        return {name: getattr(self, name) for name in ("start", "stop", "factor", "recall")}

    @staticmethod
    def load(path: Path, described: dict[str, Any], vectors: Vectors) -> Segment:
        """Return what ``save`` wrote and returned, the codes mapped into memory.

        Raises RuntimeError if FAISS cannot read the file.
        """
        if not described["factor"]:
            return Segment(**described)
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        return Segment(**described, index=index, gpu=_GpuCopy.of(vectors, described["start"], described["stop"]))


@contextmanager
def _omp_threads(threads: int) -> Iterator[None]:
    """Let FAISS use so many OpenMP threads in this thread; OpenMP keeps the number per calling thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _trained(vectors: Vectors, start: int, stop: int) -> Any:
    """Return an empty index that learnt 16 values for each pair of components from a sample of the rows."""
    pairs = vectors.dim // 2 if vectors.dim % 2 == 0 else vectors.dim
    index: Any = faiss.IndexPQFastScan(vectors.dim, pairs, 4, faiss.METRIC_INNER_PRODUCT)
    index.pq.cp.niter = _ITERATIONS
    index.pq.cp.min_points_per_centroid = 1  # fewer is no reason to print a warning
    index.train(vectors.take(_sampled(start, stop, _TRAINED_ON)).astype(np.float32))
    return index


def _sampled(start: int, stop: int, count: int) -> Ints:
    """Return ``count`` rows of ``start:stop``, or all if there are fewer, ascending and always the same."""
    if count >= stop - start:
        return np.arange(start, stop)
    return start + np.sort(np.random.default_rng(0).choice(stop - start, count, replace=False))


def _measured(vectors: Vectors, start: int, stop: int, index: Any, recall: float) -> tuple[int, float]:
    """Return the least factor with which ``recall`` is reached at every depth, and the lowest recall then; 0 if none.

    Depths at which a search would scan anyway do not count.
    """
    queries = vectors.take(_sampled(start, stop, _PROBES)).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal(queries.shape, dtype=np.float32)
    queries += noise * np.float32(_NOISE / np.sqrt(vectors.dim))
    queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-6))
    deepest = min(_DEPTHS[-1], stop - start)
    truth = [
        vectors.best(query, vectors.nearest(query, deepest, None, start, stop), deepest)[0] - start for query in queries
    ]
    for factor in _FACTORS:
        rooms = {depth: factor * depth + _SPARE for depth in _DEPTHS}
        met = {depth: room for depth, room in rooms.items() if room <= _WORTH * (stop - start)}
        if not met:
            break
        _, places = index.search(queries, max(met.values()))
        # A true neighbour among the candidates is also among the best of them once they are rescored.
        recalls = [
            np.mean([np.isin(true[:depth], found[:room]).mean() for true, found in zip(truth, places, strict=True)])
            for depth, room in met.items()
        ]
        if min(recalls) >= recall:
            return factor, float(min(recalls))
    return 0, 1.0


class _GpuCopy:
    """A segment's vectors on the first GPU, where there is one; not exercised by our tests, which run without.

    They are compared as they are, in float16. A GPU index takes one search at a time.
    """

    _MOST = 2048  # results that a GPU search can have

    def __init__(self, vectors: Vectors, start: int, stop: int) -> None:
        self._lock = threading.Lock()
        self._resources = _faiss.StandardGpuResources()
        options = _faiss.GpuIndexFlatConfig()
        options.useFloat16 = True
        self._index = _faiss.GpuIndexFlatIP(self._resources, vectors.dim, options)
        for _, rows in vectors.parts(start, stop, _BLOCK):
            self._index.add(rows.astype(np.float32))

    @staticmethod
    def of(vectors: Vectors, start: int, stop: int) -> _GpuCopy | None:
        """Return a copy, or None without faiss-gpu and a GPU."""
        return _GpuCopy(vectors, start, stop) if faiss.get_num_gpus() > 0 else None

    def search(self, query: Floats, k: int) -> tuple[Floats, Ints] | None:
        """Return the scores and places of the ``k`` nearest, or None where only the CPU can tell."""
        if k > self._MOST:
            return None
        with self._lock:
            scores, places = self._index.search(query[None], k)
        return scores[0], places[0]
