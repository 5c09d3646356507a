"""The names of the phrases: from a key to its row and back, without a Python object for each of millions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass
class _Added:
    """Keys that came after the settled ones; those before a version's length never change again."""

    keys: list[str] = field(default_factory=list)
    rows: dict[str, list[int]] = field(default_factory=dict)  # of equal keys, one may have died before another came


@dataclass(frozen=True)
class PhraseNames:
    """The keys of the first ``length`` rows of phrases.

    The settled ones are arrays that may be memory maps: ``text`` holds their UTF-8 bytes, that of row i between
    ``offsets[i]`` and ``offsets[i+1]``; ``hashes`` (64 bits, ascending) with ``hashed_rows`` find a key's row.
    """

    length: int
    text: NDArray[np.uint8]
    offsets: Ints
    hashes: NDArray[np.uint64]
    hashed_rows: NDArray[np.int32]
    _added: _Added = field(repr=False)

    @staticmethod
    def of(keys: Sequence[str]) -> PhraseNames:
        """Return the names whose rows are 0, 1, 2 …, settled."""
        encoded = [key.encode() for key in keys]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in encoded], dtype=np.int64)]).astype(np.int64)
        text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, encoded), dtype=np.uint64, count=len(encoded))
        return _settled(text, offsets, hashes, np.arange(len(encoded), dtype=np.int32))

    def __len__(self) -> int:
        return self.length

    @property
    def nbytes(self) -> int:
        """Bytes of the settled names, and roughly those of the others."""
        settled = self.text.nbytes + self.offsets.nbytes + self.hashes.nbytes + self.hashed_rows.nbytes
        return settled + 300 * (self.length - self._n_settled)

    @property
    def _n_settled(self) -> int:
        return len(self.offsets) - 1

    def key(self, row: int) -> str:
        """Return the key of a row."""
        if row >= self._n_settled:
            return self._added.keys[row - self._n_settled]
        return bytes(self.text[self.offsets[row] : self.offsets[row + 1]]).decode()

    def find(self, keys: Iterable[str], dead: Ints) -> dict[str, int]:
        """Return the living row of each key that has one; ``dead`` are the rows that died, sorted."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, int] = {}
        hashes = np.fromiter(
            (xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")) for key in wanted),
            dtype=np.uint64,
            count=len(wanted),
        )
        places = np.searchsorted(self.hashes, hashes)
        for key, value, place in zip(wanted, hashes, places.tolist(), strict=True):
            while place < len(self.hashes) and self.hashes[place] == value:
                row = int(self.hashed_rows[place])
                if self.key(row) == key and not _holds(dead, row):
                    found[key] = row
                place += 1
            for row in self._added.rows.get(key, ()):
                if row < self.length and not _holds(dead, row):
                    found[key] = row
        return found

    def extended(self, keys: Sequence[str]) -> PhraseNames:
        """Return the names with ``keys`` behind the present ones. Only one thread may extend at a time."""
        if not keys:
            return self
        added = self._added
        if len(added.keys) != self.length - self._n_settled:  # another version went on from here already
            added = _Added()
            _append(added, self._added.keys[: self.length - self._n_settled], self._n_settled)
        _append(added, keys, self._n_settled)
        return PhraseNames(self.length + len(keys), self.text, self.offsets, self.hashes, self.hashed_rows, added)

    def compacted(self, alive: NDArray[np.bool_]) -> PhraseNames:
        """Return the names of the rows that are ``alive`` (length,), settled, in their order."""
        n = self._n_settled
        later = [self.key(row) for row in (np.flatnonzero(alive[n:]) + n).tolist()]
        fresh = PhraseNames.of(later)
        lengths = np.diff(self.offsets)
        kept = np.concatenate([lengths[alive[:n]], np.diff(fresh.offsets)])
        living = alive[self.hashed_rows]
        new_rows = np.cumsum(alive, dtype=np.int32) - 1
        return _settled(
            np.concatenate([self.text[np.repeat(alive[:n], lengths)], fresh.text]),
            np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
            np.concatenate([self.hashes[living], fresh.hashes]),
            np.concatenate([new_rows[self.hashed_rows[living]], fresh.hashed_rows + np.int32(alive[:n].sum())]),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return settled names as named arrays, to be saved."""
        if self.length != self._n_settled:
            raise ValueError("only compacted names can be saved")
        return {"text": self.text, "offsets": self.offsets, "hashes": self.hashes, "hashed_rows": self.hashed_rows}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> PhraseNames:
        """Return the names that ``to_arrays`` took apart; the arrays may be memory maps."""
        return PhraseNames(len(arrays["offsets"]) - 1, **arrays, _added=_Added())


def _settled(
    text: NDArray[np.uint8], offsets: Ints, hashes: NDArray[np.uint64], rows: NDArray[np.int32]
) -> PhraseNames:
    order = np.argsort(hashes, kind="stable")
    return PhraseNames(len(offsets) - 1, text, offsets, hashes[order], rows[order].astype(np.int32), _Added())


def _append(added: _Added, keys: Iterable[str], n_settled: int) -> None:
    for key in keys:
        added.rows.setdefault(key, []).append(n_settled + len(added.keys))
        added.keys.append(key)


def _holds(ascending: Ints, value: int) -> bool:
    place = int(np.searchsorted(ascending, value))
    return place < len(ascending) and int(ascending[place]) == value
