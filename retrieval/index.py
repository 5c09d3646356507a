"""Nearest passages by inner product: one collection's vectors, and FAISS segments over all but the newest."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.segments import Segment
from retrieval.vectors import FEW_ROWS, Doubles, Floats, Halves, Ints, Mask, Vectors


@dataclass(frozen=True, kw_only=True)
class IndexParams:
    """When segments are made and used."""

    seal_at: int = 16_384
    """Rows behind the last segment that make a new one due; until then they are scanned."""

    recall: float = 0.99
    """Share of the true nearest that a segment must find when it is measured."""

    scan_share: float = 0.05
    """Where no larger share of the rows is allowed, these are scanned: segments are poor at rare rows."""


@dataclass(frozen=True, eq=False)
class PassageIndex:
    """Unit vectors, which of them were removed, and segments that speed up the search; never changes.

    Later versions share what they have in common with earlier ones, and earlier ones keep answering. One thread at a
    time may extend; any number may search.
    """

    _vectors: Vectors = field(repr=False)
    params: IndexParams = field(default_factory=IndexParams)
    dead: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    """The rows that were removed, ascending."""
    segments: tuple[Segment, ...] = ()
    """Ranges of rows, contiguous from row 0."""

    @staticmethod
    def of(vectors: Halves, params: IndexParams | None = None, dead: Ints | None = None) -> PassageIndex:
        """Return an index without segments over ``vectors`` (n, dim), which must not change afterwards.

        Shape (0, 0) stands for a collection whose dimension is not known yet.
        """
        index = PassageIndex(Vectors.of(vectors), params or IndexParams())
        return index if dead is None else index.without(dead)

    def __len__(self) -> int:
        """Return the number of rows, the removed ones included."""
        return len(self._vectors)

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of the base vectors, of the segments, and of the vectors that came later."""
        return {
            "vectors": self._vectors.base.nbytes,
            "segments": sum(segment.nbytes for segment in self.segments),
            "tail": self._vectors.tail.rows.nbytes,
        }

    @property
    def recall(self) -> float:
        """The lowest recall that was measured on a segment; 1 where there is none."""
        return min((segment.recall for segment in self.segments), default=1.0)

    def take(self, rows: Ints) -> Halves:
        """Return the stored vectors (k, dim) of these rows (k,)."""
        return self._vectors.take(rows)

    def extended(self, vectors: Halves) -> PassageIndex:
        """Return an index with ``vectors`` (k, dim) behind the present rows, at the cost of k rows.

        Raises ValueError if their dimension is another one.
        """
        return replace(self, _vectors=self._vectors.extended(vectors))

    def without(self, rows: Ints) -> PassageIndex:
        """Return an index that never answers with these rows; raises IndexError if there is no such row."""
        if not len(rows):
            return self
        if np.min(rows) < 0 or np.max(rows) >= len(self):
            raise IndexError(f"rows {np.min(rows)} to {np.max(rows)} of an index of {len(self)}")
        return replace(self, dead=np.union1d(self.dead, rows).astype(np.int64))

    def search(
        self,
        query: Floats,
        k: int,
        *,
        allowed: Mask | None = None,
        exact: bool = False,
        ties: Ints | None = None,
    ) -> tuple[Ints, Doubles]:
        """Return the ``k`` nearest live rows, or all if there are fewer, best first, and their similarities.

        A similarity is the float64 inner product of ``query`` (dim,) and the stored vector. Rows whose similarities
        are equal after rounding to 1e-12 are ordered by ``ties`` (n,), else by row. ``allowed`` (n,) limits what may
        be returned. With ``exact`` every live row is looked at; otherwise segments may miss some of the nearest.
        Raises ValueError for a query or a mask of another length.
        """
        if allowed is not None and len(allowed) != len(self):
            raise ValueError(f"a mask of {len(allowed)} rows does not fit an index of {len(self)}")
        query = np.ascontiguousarray(query, dtype=np.float32)
        wanted = self._wanted(allowed)
        count = len(self) if wanted is None else int(np.count_nonzero(wanted))
        k = min(k, count)
        if k <= 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        if query.shape != (self._vectors.dim,):
            raise ValueError(f"a query of shape {query.shape} does not fit vectors of {self._vectors.dim} components")
        if not exact and self.segments and count > max(self.params.scan_share * len(self), FEW_ROWS):
            candidates = self._candidates(query, k, wanted)
            if len(candidates) >= k:
                return self._vectors.best(query, candidates, k, ties)
        return self._vectors.best(query, self._vectors.nearest(query, k, wanted, 0, len(self)), k, ties)

    def _candidates(self, query: Floats, k: int, wanted: Mask | None) -> Ints:
        """Return rows among which nearly all of the ``k`` nearest are: the best of the segments, and the tail's."""
        candidates = [self._vectors.nearest(query, k, wanted, self._sealed_rows, len(self))]
        rows, scores = [], []
        for segment in self.segments:
            found = segment.search(query, k, wanted)
            if found is None:
                candidates.append(self._vectors.nearest(query, k, wanted, segment.start, segment.stop))
            else:
                rows.append(found[0])
                scores.append(found[1])
        if rows:
            # No more than one segment gives: those of the others that are far behind cannot be among the nearest.
            best = np.argsort(-np.concatenate(scores))[: max(map(len, rows))]
            candidates.append(np.concatenate(rows)[best])
        return np.concatenate(candidates)

    def _wanted(self, allowed: Mask | None) -> Mask | None:
        """Return which rows (n,) may be returned, or None if all may."""
        if not len(self.dead):
            return allowed
        wanted = np.ones(len(self), dtype=np.bool_) if allowed is None else allowed.copy()
        wanted[self.dead] = False
        return wanted

    @property
    def _sealed_rows(self) -> int:
        return self.segments[-1].stop if self.segments else 0

    @property
    def due(self) -> bool:
        """Whether so many rows lie behind the last segment that ``sealed`` would make a new one."""
        return len(self) - self._sealed_rows >= max(self.params.seal_at, 1)

    def sealed(self, threads: int = 1) -> PassageIndex:
        """Return an index whose last rows are a segment too, if that is due; minutes for a million rows.

        Segments at most twice as large as what comes behind them are built again as one with it. So their number grows
        with the logarithm of the rows, and so does how often a row is built again. FAISS does not hold the
        interpreter's lock meanwhile. ``with_segments_of`` takes the result over into an index that has grown since.
        """
        if not self.due:
            return self
        kept, start = list(self.segments), self._sealed_rows
        while kept and len(kept[-1]) <= 2 * (len(self) - start):
            start = kept.pop().start
        built = Segment.built(self._vectors, start, len(self), self.params.recall, threads)
        return replace(self, segments=(*kept, built))

    def with_segments_of(self, sealed: PassageIndex) -> PassageIndex:
        """Return this index with the segments of ``sealed``, whose rows must be the first of this index's rows.

        Raises ValueError if it has more rows.
        """
        if sealed._sealed_rows > len(self):
            raise ValueError(f"segments over {sealed._sealed_rows} rows do not fit an index of {len(self)}")
        return replace(self, segments=sealed.segments)

    def compacted(self, threads: int = 1) -> PassageIndex:
        """Return an index over the live rows alone, in their order, as one segment if they are enough for one."""
        live = np.delete(np.arange(len(self)), self.dead)
        return PassageIndex.of(self.take(live), self.params).sealed(threads)

    def save(self, folder: Path) -> list[Path]:
        """Write this index into an existing folder, all rows as base, and return the files."""
        vectors, dead, description = folder / "vectors.npy", folder / "dead.npy", folder / "index.json"
        with vectors.open("wb") as file:
            shape = (len(self), self._vectors.dim)
            np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
            for _, rows in self._vectors.parts(0, len(self)):
                rows.tofile(file)
        np.save(dead, self.dead)
        described = [segment.save(_segment_path(folder, segment.start)) for segment in self.segments]
        description.write_text(json.dumps({"segments": described}), encoding="utf-8")
        indexed = [_segment_path(folder, segment.start) for segment in self.segments if segment.index is not None]
        return [vectors, dead, description, *indexed]

    @staticmethod
    def load(folder: Path, params: IndexParams | None = None) -> PassageIndex:
        """Return what ``save`` wrote, mapped into memory: nothing is read but what searches touch.

        The caller has checked that the files are whole; what is not raises OSError, ValueError, KeyError, TypeError
        or RuntimeError.
        """
        described = json.loads((folder / "index.json").read_text(encoding="utf-8"))["segments"]
        mapped: NDArray[np.float16] = np.load(folder / "vectors.npy", mmap_mode="c")
        vectors = Vectors.of(mapped)
        segments = tuple(Segment.load(_segment_path(folder, one["start"]), one, vectors) for one in described)
        return PassageIndex(vectors, params or IndexParams(), np.load(folder / "dead.npy"), segments)


def _segment_path(folder: Path, start: int) -> Path:
    return folder / f"segment-{start}.faiss"
