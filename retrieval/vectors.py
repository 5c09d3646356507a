"""The stored vectors of one collection: float16 rows that grow at their end, scanned and scored exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from memory_graph.growing import Growing

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Mask = NDArray[np.bool_]

# A float32 inner product of unit vectors is off by less than this, so rows this close to the k-th may belong before it.
MARGIN = 1e-5
# Similarities equal to this many decimals are ties; float64 sums differ by less.
DECIMALS = 12
# So many rows are scored one by one sooner than a scan would have passed over all the others.
FEW_ROWS = 2048
_BLOCK = 4096

_faiss: Any = faiss  # its type stubs miss much of what it has


@dataclass(frozen=True, eq=False)
class Vectors:
    """Unit vectors (n, dim) float16: a base, often a memory map, and a tail behind it that later versions share."""

    base: Halves
    tail: Growing

    @staticmethod
    def of(rows: Halves) -> Vectors:
        """Return these rows (n, dim), which must not change afterwards; contiguous float16 is not copied."""
        base = np.ascontiguousarray(rows, dtype=np.float16)
        return Vectors(base, Growing.empty(np.float16, base.shape[1]))

    def __len__(self) -> int:
        return len(self.base) + len(self.tail)

    @property
    def dim(self) -> int:
        """Components of a vector; 0 until there was a first one."""
        return int(self.base.shape[1])

    def extended(self, rows: Halves) -> Vectors:
        """Return a version with ``rows`` (k, dim) behind the present ones, at the cost of k rows."""
        if not len(rows):
            return self
        here = self if len(self) or self.dim else Vectors.of(np.zeros((0, rows.shape[1]), dtype=np.float16))
        if rows.shape[1] != here.dim:
            raise ValueError(f"vectors of {rows.shape[1]} components do not fit an index of {here.dim}")
        return Vectors(here.base, here.tail.extended(rows))

    def take(self, rows: Ints) -> Halves:
        """Return the vectors of these rows (k,) as (k, dim), in their order."""
        if not len(self.tail):
            return self.base[rows]
        split = len(self.base)
        taken = np.empty((len(rows), self.dim), dtype=np.float16)
        in_tail = rows >= split
        taken[in_tail] = self.tail.rows[rows[in_tail] - split]
        taken[~in_tail] = self.base[rows[~in_tail]]
        return taken

    def parts(self, start: int, stop: int, size: int | None = None) -> Iterator[tuple[int, Halves]]:
        """Yield (first row, vectors) for the rows ``start:stop`` without a copy, ``size`` rows at most at a time."""
        for offset, rows in ((0, self.base), (len(self.base), self.tail.rows)):
            low, high = max(start, offset), min(stop, offset + len(rows))
            step = size or max(high - low, 1)
            for at in range(low, high, step):
                yield at, rows[at - offset : min(at + step, high) - offset]

    def similarities(self, query: Floats, rows: Ints) -> Doubles:
        """Return the float64 inner products (k,) of ``query`` (dim,) with these rows (k,)."""
        scores, exact = np.empty(len(rows)), query.astype(np.float64)
        for at in range(0, len(rows), _BLOCK):  # so that a million rows do not stand in memory as float64
            block = self.take(rows[at : at + _BLOCK]).astype(np.float64)
            scores[at : at + _BLOCK] = np.vecdot(block, exact)  # row by row: the same sum in whatever company
        return scores

    def best(self, query: Floats, rows: Ints, k: int, ties: Ints | None = None) -> tuple[Ints, Doubles]:
        """Return the ``k`` nearest of these rows, best first, and their similarities.

        Ties go to the lower of ``ties`` (n,), else to the lower row.
        """
        scores = self.similarities(query, rows)
        order = np.lexsort((rows if ties is None else ties[rows], -scores.round(DECIMALS)))[:k]
        return rows[order], scores[order]

    def nearest(self, query: Floats, k: int, wanted: Mask | None, start: int, stop: int) -> Ints:
        """Return, in any order, rows of ``start:stop`` among which the ``k`` nearest surely are, ties at the k-th too.

        ``wanted`` (n,) leaves out the rows where it is False.
        """
        margin = MARGIN * max(float(np.linalg.norm(query)), 1.0)
        found = [np.zeros(0, dtype=np.int64)]
        for first, rows in self.parts(start, stop):
            mask = None if wanted is None else wanted[first : first + len(rows)]
            found.append(first + _nearest(rows, query, k, margin, mask))
        return np.concatenate(found)


def _nearest(rows: Halves, query: Floats, k: int, margin: float, mask: Mask | None) -> Ints:
    """Return the places in ``rows`` that score at least the k-th float32 score less ``margin``; maybe some more."""
    count = len(rows) if mask is None else int(np.count_nonzero(mask))
    room = k + 32
    while room < count and (count > FEW_ROWS or mask is None):
        scores, places = _scan(rows, query, room, mask)
        floor = np.partition(scores, room - k)[room - k] - margin
        if scores.min() < floor:
            reached: Ints = places[scores >= floor]
            return reached
        room *= 4  # the heap is full of ties: all of them must be seen
    return np.arange(len(rows), dtype=np.int64) if mask is None else np.flatnonzero(mask).astype(np.int64)


def _scan(rows: Halves, query: Floats, k: int, mask: Mask | None) -> tuple[Floats, Ints]:
    """Return float32 scores and places of the ``k`` nearest rows, unordered, where there are more than ``k``.

    FAISS reads the float16 rows where they lie, on the calling thread alone and without the interpreter's lock.
    """
    quantizer = _faiss.ScalarQuantizer(rows.shape[1], _faiss.ScalarQuantizer.QT_fp16)
    scores, places = np.full(k, -np.inf, dtype=np.float32), np.full(k, -1, dtype=np.int64)
    codes, chosen = rows.view(np.uint8), selector(mask)
    scanner = quantizer.select_InvertedListScanner(_faiss.METRIC_INNER_PRODUCT, None, True, chosen)
    try:
        scanner.set_query(_faiss.swig_ptr(query))
        scanner.set_list(0, 0.0)  # found rows are numbered within list 0, that is from 0
        pointers = _faiss.swig_ptr(scores), _faiss.swig_ptr(places)
        scanner.scan_codes(len(rows), _faiss.swig_ptr(codes), None, *pointers, k)
    finally:
        scanner.__swig_destroy__(scanner)  # FAISS hands it over, and its wrapper does not free what it was handed
    return scores, places


def selector(mask: Mask | None) -> Any:
    """Return what tells a FAISS search which places it may return, or None if it may return all."""
    return None if mask is None else _faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
