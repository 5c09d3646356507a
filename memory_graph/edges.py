"""Edges by the node they leave: compressed rows that never change, and a log of what came and went since.

Every phrase has a row for each kind of edge, side by side, so that a walk finds all of a phrase in one place: the row
of a phrase's edges of one kind is ``phrase * len(Kind) + kind``. Passages have one row each, in edges of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]


class Csr(NamedTuple):
    """Compressed rows: those of row i are ``targets[starts[i]:starts[i+1]]`` with their ``counts``."""

    starts: Ints  # (n_rows + 1,)
    targets: SmallInts  # (n_edges,)
    counts: SmallInts  # (n_edges,)


class Kind(IntEnum):
    """What an edge from a phrase means: context leads to a passage, the others to a phrase."""

    context = 0
    relation = 1
    synonymy = 2


def make_csr(sources: NDArray[Any], targets: NDArray[Any], counts: NDArray[Any], shape: tuple[int, int]) -> Csr:
    """Return the rows of edges (m,): equal pairs are summed, those that sum to zero are left out, targets ascend."""
    return to_csr(coo_array((np.asarray(counts, dtype=np.int32), (sources, targets)), shape=shape).tocsr())


def to_csr(matrix: csr_array) -> Csr:
    """Return a sparse matrix's rows in canonical form."""
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return Csr(
        matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False), matrix.data.astype(np.int32)
    )


def row_numbers(csr: Csr) -> SmallInts:
    """Return the row of each edge, (n_edges,)."""
    return np.repeat(np.arange(len(csr.starts) - 1, dtype=np.int32), np.diff(csr.starts))


def spread(starts: Ints, stops: Ints) -> Ints:
    """Return the positions start … stop-1 of several stretches, one after the other."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    positions: Ints = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return positions


@dataclass
class Log:
    """Records of edges with a sign, in the order in which they came; those before ``used`` never change again.

    The records of one row are chained, newest first: ``newest[row]`` and ``previous[record]`` hold a record's number
    plus one, 0 for none. ``net[record]`` is by how many edges the row has grown up to that record, so that a degree at
    any moment is one look-up.
    """

    row: SmallInts
    target: SmallInts
    count: SmallInts
    previous: SmallInts
    net: SmallInts
    newest: SmallInts
    used: int

    @staticmethod
    def sized(records: int, rows: int) -> Log:
        """Return an empty log with room for so many; zeros cost nothing until they are touched."""
        row, target, count, previous, net = (np.zeros(records, dtype=np.int32) for _ in range(5))
        return Log(row, target, count, previous, net, np.zeros(rows, dtype=np.int32), 0)

    def write(self, rows: SmallInts, targets: SmallInts, counts: SmallInts) -> None:
        """Append records (k,), at least one, for which there is room."""
        order = np.argsort(rows, kind="stable")
        records = self.used + order
        ordered, signs = rows[order], np.sign(counts[order])
        first = np.ones(len(order), dtype=bool)
        first[1:] = ordered[1:] != ordered[:-1]
        heads = self.newest[ordered[first]]
        previous = np.empty(len(order), dtype=np.int32)
        previous[1:] = records[:-1] + 1
        previous[first] = heads
        # The running sum within the records of one row, on top of what the row had before.
        running = np.cumsum(signs)
        before = np.where(heads > 0, self.net[heads - 1], 0)
        offsets = before - (running[first] - signs[first])
        lengths = np.diff(np.append(np.flatnonzero(first), len(order)))
        stretch = slice(self.used, self.used + len(rows))
        self.row[stretch], self.target[stretch], self.count[stretch] = rows, targets, counts
        self.previous[records], self.net[records] = previous, running + np.repeat(offsets, lengths)
        # Last: a reader that finds the new heads finds complete records behind them, and passes them over.
        last = np.append(first[1:], True)
        self.newest[ordered[last]] = records[last] + 1
        self.used += len(rows)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, room to grow included."""
        return sum(part.nbytes for part in (self.row, self.target, self.count, self.previous, self.net, self.newest))


@dataclass(frozen=True)
class Edges:
    """The edges that leave phrases, or passages, at one moment: the rows of ``base`` and ``used`` records of ``log``.

    Several moments share one log; a later one appends to it, at a cost by the edges appended.
    """

    base: Csr
    used: int
    log: Log

    @staticmethod
    def of(base: Csr) -> Edges:
        """Return the edges of ``base`` alone."""
        return Edges(base, 0, Log.sized(0, 0))

    @property
    def records(self) -> tuple[SmallInts, SmallInts, SmallInts]:
        """Row, target and signed count of each record, (used,) each."""
        return self.log.row[: self.used], self.log.target[: self.used], self.log.count[: self.used]

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take, room to grow included."""
        return sum(part.nbytes for part in self.base) + self.log.nbytes

    def extended(self, rows: NDArray[Any], targets: NDArray[Any], counts: NDArray[Any], *, n_rows: int) -> Edges:
        """Return the moment after these edges; a negative count takes back. Only one thread may extend at a time.

        ``n_rows`` is how many rows there are now.
        """
        if not len(rows):
            return self
        log, total = self.log, self.used + len(rows)
        if log.used != self.used or total > len(log.row) or n_rows > len(log.newest):
            log = Log.sized(max(2 * total, 4096), n_rows + n_rows // 8 + 1024)
            if self.used:
                log.write(*self.records)
        log.write(np.asarray(rows, np.int32), np.asarray(targets, np.int32), np.asarray(counts, np.int32))
        return Edges(self.base, total, log)

    def settled(self, n_rows: int, n_targets: int) -> Csr:
        """Return the same edges as compressed rows without a log."""
        missing = n_rows + 1 - len(self.base.starts)
        starts = np.pad(self.base.starts, (0, missing), mode="edge") if missing else self.base.starts
        if not self.used:
            return Csr(starts, self.base.targets, self.base.counts)
        shape = (n_rows, n_targets)
        rows, targets, counts = self.records
        base = csr_array((self.base.counts, self.base.targets, starts), shape=shape)
        return to_csr(base + coo_array((counts, (rows, targets)), shape=shape).tocsr())

    def degrees(self, kind: Kind, n_phrases: int) -> Ints:
        """Return how many edges of one kind leave each phrase, (n_phrases,)."""
        degrees = np.zeros(n_phrases, dtype=np.int64)
        lengths = np.diff(self.base.starts)[kind :: len(Kind)]
        degrees[: len(lengths)] = lengths
        rows, _, counts = self.records
        of_kind = rows % len(Kind) == kind
        came = np.bincount(rows[of_kind] // len(Kind), weights=np.sign(counts[of_kind]), minlength=n_phrases)
        return degrees + came.astype(np.int64)

    def degrees_of(self, kind: Kind, phrases: Ints) -> Ints:
        """Return how many edges of one kind leave each of a few phrases."""
        return np.array([self._degree(int(phrase) * len(Kind) + kind) for phrase in phrases], dtype=np.int64)

    def row(self, row: int) -> tuple[SmallInts, SmallInts]:
        """Return the targets and counts of one row."""
        targets, counts = [], []
        record = self._newest(row)
        if row < len(self.base.starts) - 1:
            stretch = slice(self.base.starts[row], self.base.starts[row + 1])
            targets.append(self.base.targets[stretch])
            counts.append(self.base.counts[stretch])
            if not record:
                return targets[0], counts[0]
        while record:
            targets.append(self.log.target[record - 1 : record])
            counts.append(self.log.count[record - 1 : record])
            record = int(self.log.previous[record - 1])
        if not targets:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        joined = np.concatenate(targets)
        csr = make_csr(np.zeros_like(joined), joined, np.concatenate(counts), (1, int(joined.max(initial=0)) + 1))
        return csr.targets, csr.counts

    def _newest(self, row: int) -> int:
        """Return the newest record of a row that belongs to this moment, plus one; 0 for none."""
        record = int(self.log.newest[row]) if row < len(self.log.newest) else 0
        while record > self.used:
            record = int(self.log.previous[record - 1])
        return record

    def _degree(self, row: int) -> int:
        settled = int(self.base.starts[row + 1] - self.base.starts[row]) if row < len(self.base.starts) - 1 else 0
        record = self._newest(row)
        return settled + (int(self.log.net[record - 1]) if record else 0)
