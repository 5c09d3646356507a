"""The names of the phrases: from a key to its row and back, and found in texts, without an object for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.growing import Growing
from memory_graph.hashing import Hashes, Ints, Words, hash_keys, names_of, words_of
from retrieval.name_scan import NOTHING, Found, NameTable


@dataclass(frozen=True, eq=False)
class _Settled:
    """Names as arrays that may be memory maps.

    ``text`` holds their UTF-8 bytes, that of row i between ``offsets[i]`` and ``offsets[i+1]``; ``hashes`` (64 bits,
    ascending) with ``hashed_rows`` find a key's row.
    """

    text: NDArray[np.uint8]
    offsets: Ints
    hashes: Hashes
    hashed_rows: NDArray[np.int32]

    @staticmethod
    def of(text: NDArray[np.uint8], offsets: Ints, hashes: Hashes, rows: NDArray[np.int32]) -> _Settled:
        order = np.argsort(hashes, kind="stable")
        return _Settled(text, offsets, hashes[order], rows[order].astype(np.int32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def table(self) -> NameTable:
        """These names, to be found in texts."""
        return NameTable.of(self.hashes, self.hashed_rows, *words_of(self.text, self.offsets))


@dataclass
class _Added:
    """Keys that came after the settled ones; those before a version's length never change again."""

    keys: list[str] = field(default_factory=list)
    rows: dict[str, list[int]] = field(default_factory=dict)  # of equal keys, one may have died before another came
    words: Growing = field(default_factory=lambda: Growing.empty(np.uint32))
    ends: Growing = field(default_factory=lambda: Growing.empty(np.int64))

    def append(self, keys: Sequence[str], n_settled: int) -> None:
        words, ends = hash_keys(keys)
        self.ends = self.ends.extended(ends + len(self.words))
        self.words = self.words.extended(words)
        for key in keys:
            self.rows.setdefault(key, []).append(n_settled + len(self.keys))
            self.keys.append(key)


@dataclass(frozen=True)
class PhraseNames:
    """The keys of the first ``length`` rows of phrases."""

    length: int
    _settled: _Settled = field(repr=False)
    _added: _Added = field(repr=False)

    @staticmethod
    def of(keys: Sequence[str]) -> PhraseNames:
        """Return the names whose rows are 0, 1, 2 …, settled."""
        encoded = [key.encode() for key in keys]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in encoded], dtype=np.int64)]).astype(np.int64)
        text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        hashes = names_of(*words_of(text, offsets))
        return _names(_Settled.of(text, offsets, hashes, np.arange(len(encoded), dtype=np.int32)))

    def __len__(self) -> int:
        return self.length

    @property
    def nbytes(self) -> int:
        """Bytes of the settled names, and roughly those of the others."""
        settled = self._settled
        arrays = (settled.text, settled.offsets, settled.hashes, settled.hashed_rows)
        return sum(array.nbytes for array in arrays) + 300 * (self.length - len(settled))

    def key(self, row: int) -> str:
        """Return the key of a row."""
        settled = self._settled
        if row >= len(settled):
            return self._added.keys[row - len(settled)]
        return bytes(settled.text[settled.offsets[row] : settled.offsets[row + 1]]).decode()

    def find(self, keys: Iterable[str], dead: Ints) -> dict[str, int]:
        """Return the living row of each key that has one; ``dead`` are the rows that died, sorted."""
        wanted, settled = list(dict.fromkeys(keys)), self._settled
        found: dict[str, int] = {}
        hashes: Hashes = names_of(*hash_keys(wanted))
        places = np.searchsorted(settled.hashes, hashes)
        for key, value, place in zip(wanted, hashes, places.tolist(), strict=True):
            while place < len(settled.hashes) and settled.hashes[place] == value:
                row = int(settled.hashed_rows[place])
                if self.key(row) == key and not _holds(dead, row):
                    found[key] = row
                place += 1
            for row in self._added.rows.get(key, ()):
                if row < self.length and not _holds(dead, row):
                    found[key] = row
        return found

    def scan(self, words: Words, begins: Ints, ends: Ints, dead: Ints, first: int = 0) -> Found:
        """Return every place of every living name from row ``first`` on in streams (n,) of words.

        Stream i is ``words[begins[i]:ends[i]]``. By stream, then place, then length.
        """
        found = [table.find(words, begins, ends) for table in self._tables(first)] or [NOTHING]
        streams, rows, places, lengths = (np.concatenate(columns) for columns in zip(*found, strict=True))
        order = np.lexsort((lengths, places, streams))
        order = order[~np.isin(rows[order], dead)] if len(dead) else order
        return Found(streams[order], rows[order], places[order], lengths[order])

    def words_of(self, row: int) -> Words:
        """Return the words of a name, hashed."""
        return hash_keys([self.key(row)])[0]

    def extended(self, keys: Sequence[str]) -> PhraseNames:
        """Return the names with ``keys`` behind the present ones. Only one thread may extend at a time."""
        if not keys:
            return self
        added, n_settled = self._added, len(self._settled)
        if len(added.keys) != self.length - n_settled:  # another version went on from here already
            added = _Added()
            added.append(self._added.keys[: self.length - n_settled], n_settled)
        added.append(keys, n_settled)
        return PhraseNames(self.length + len(keys), self._settled, added)

    def compacted(self, alive: NDArray[np.bool_]) -> PhraseNames:
        """Return the names of the rows that are ``alive`` (length,), settled, in their order."""
        old, n = self._settled, len(self._settled)
        fresh = PhraseNames.of([self.key(row) for row in (np.flatnonzero(alive[n:]) + n).tolist()])._settled
        lengths = np.diff(old.offsets)
        kept = np.concatenate([lengths[alive[:n]], np.diff(fresh.offsets)])
        living = alive[old.hashed_rows]
        new_rows = np.cumsum(alive, dtype=np.int32) - 1
        return _names(
            _Settled.of(
                np.concatenate([old.text[np.repeat(alive[:n], lengths)], fresh.text]),
                np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
                np.concatenate([old.hashes[living], fresh.hashes]),
                np.concatenate([new_rows[old.hashed_rows[living]], fresh.hashed_rows + np.int32(alive[:n].sum())]),
            )
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return settled names as named arrays, to be saved."""
        settled = self._settled
        if self.length != len(settled):
            raise ValueError("only compacted names can be saved")
        return {
            "text": settled.text,
            "offsets": settled.offsets,
            "hashes": settled.hashes,
            "hashed_rows": settled.hashed_rows,
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> PhraseNames:
        """Return the names that ``to_arrays`` took apart; the arrays may be memory maps."""
        return _names(_Settled(**arrays))

    def _tables(self, first: int) -> list[NameTable]:
        n = len(self._settled)
        tables = [self._settled.table] if first < n else []
        if max(first, n) < self.length:
            tables.append(self._later_table if first <= n else self._make_table(first - n))
        return tables

    @cached_property
    def _later_table(self) -> NameTable:
        """All names that are not settled, to be found in texts: made once a version, for all its questions."""
        return self._make_table(0)

    def _make_table(self, begin: int) -> NameTable:
        """Return the added names from the place ``begin`` on, to be found in texts."""
        n = len(self._settled)
        stop = self.length - n
        starts = self._added.ends.rows
        low = int(starts[begin - 1]) if begin else 0
        words, ends = self._added.words.rows[low : starts[stop - 1]], starts[begin:stop] - low
        hashes: Hashes = names_of(words, ends)
        order = np.argsort(hashes, kind="stable")
        return NameTable.of(hashes[order], (order + begin + n).astype(np.int32), words, ends)


def _names(settled: _Settled) -> PhraseNames:
    return PhraseNames(len(settled), settled, _Added())


def _holds(ascending: Ints, value: int) -> bool:
    place = int(np.searchsorted(ascending, value))
    return place < len(ascending) and int(ascending[place]) == value
