"""Which passages belong to documents that are titled by a name, or by more words than the name has.

"Nixon" leads to what is titled "Richard Nixon", and "World War II" to "World War II casualties": where a text uses a
part of a title, it is mostly the beginning or the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from memory_graph.edges import spread
from memory_graph.growing import Growing
from memory_graph.hashing import Hashes, Ints, Words, add_word, begin_name, names_of

Pairs = tuple[Ints, Ints]


@dataclass(frozen=True, eq=False)
class Titles:
    """The titles of passages (n,) as names; a passage may have none.

    ``words`` are those of all titles, one after the other; those of passage i end at ``ends[i]``. ``names`` are the
    hashes of whole titles, 0 for none. ``keys`` (m,) are those of the settled passages, and of the beginnings and ends
    of these titles, ascending, with the passage of each in ``rows``; where ``whole`` is 1 it is the whole title.
    ``later_keys`` and the two beside it are the same of the later passages, in the order in which they came.
    """

    words: Growing
    ends: Growing
    names: Growing
    keys: Hashes
    rows: NDArray[np.int32]
    whole: NDArray[np.uint8]
    later_keys: Growing
    later_rows: Growing
    later_whole: Growing
    n_settled: int

    @staticmethod
    def of(words: Words, ends: Ints) -> Titles:
        """Return the titles of passages (n,), settled: ``words`` (k,) are hashed, ``ends`` (n,) say where each ends."""
        keys, rows, whole = _keys_of(words, ends)
        order = np.lexsort((rows, keys))
        return Titles._settled(words, ends, keys[order], rows[order].astype(np.int32), whole[order])

    @staticmethod
    def none(n: int) -> Titles:
        """Return the titles of ``n`` passages that have none."""
        return Titles.of(np.zeros(0, dtype=np.uint32), np.zeros(n, dtype=np.int64))

    @staticmethod
    def _settled(words: Words, ends: Ints, keys: Hashes, rows: NDArray[np.int32], whole: NDArray[np.uint8]) -> Titles:
        return Titles(
            words=Growing.of(words),
            ends=Growing.of(ends),
            names=Growing.of(_names(words, ends)),
            keys=keys,
            rows=rows,
            whole=whole,
            later_keys=Growing.empty(np.uint64),
            later_rows=Growing.empty(np.int64),
            later_whole=Growing.empty(np.uint8),
            n_settled=len(ends),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        later = (self.words, self.ends, self.names, self.later_keys, self.later_rows, self.later_whole)
        settled = self.keys.nbytes + self.rows.nbytes + self.whole.nbytes
        return sum(part.rows.nbytes for part in later) + settled

    def spans(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return where in ``words`` the titles of these rows (k,) begin and end."""
        ends = self.ends.rows
        begins = np.where(rows > 0, ends[rows - 1], 0) if len(ends) else np.zeros(0, dtype=np.int64)
        return begins, ends[rows]

    def extended(self, words: Words, ends: Ints) -> Titles:
        """Return the titles with those of more passages (k,) behind the present ones."""
        keys, rows, whole = _keys_of(words, ends)
        return Titles(
            words=self.words.extended(words),
            ends=self.ends.extended(ends + len(self.words)),
            names=self.names.extended(_names(words, ends)),
            keys=self.keys,
            rows=self.rows,
            whole=self.whole,
            later_keys=self.later_keys.extended(keys),
            later_rows=self.later_rows.extended(rows + len(self.ends)),
            later_whole=self.later_whole.extended(whole),
            n_settled=self.n_settled,
        )

    def find(self, names: Hashes) -> tuple[Pairs, Pairs]:
        """Return which passages are titled by each of these names (k,), distinct: wholly, and at one end of the title.

        Each is pairs of the place in ``names`` and the passage's row, in no order; dead passages are among them.
        """
        begins = np.searchsorted(self.keys, names, side="left")
        ends = np.searchsorted(self.keys, names, side="right")
        settled = spread(begins, ends)
        order, keys = np.argsort(names), self.later_keys.rows
        at = np.minimum(np.searchsorted(names, keys, sorter=order), max(len(names) - 1, 0))
        later = np.flatnonzero(names[order[at]] == keys) if len(names) else np.zeros(0, dtype=np.int64)
        places = np.concatenate([np.repeat(np.arange(len(names)), ends - begins), order[at[later]]])
        rows = np.concatenate([self.rows[settled], self.later_rows.rows[later]]).astype(np.int64)
        whole = np.concatenate([self.whole[settled], self.later_whole.rows[later]]) == 1
        return (places[whole], rows[whole]), (places[~whole], rows[~whole])

    def compacted(self, alive: NDArray[np.bool_]) -> Titles:
        """Return the titles of the rows that are ``alive`` (n,), settled, in their order."""
        begins, ends = self.spans(np.flatnonzero(alive))
        return Titles.of(self.words.rows[spread(begins, ends)], np.cumsum(ends - begins))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return settled titles as named arrays, to be saved."""
        if len(self.ends) != self.n_settled:
            raise ValueError("only compacted titles can be saved")
        return {
            "words": self.words.rows,
            "ends": self.ends.rows,
            "keys": self.keys,
            "rows": self.rows,
            "whole": self.whole,
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Titles:
        """Return the titles that ``to_arrays`` took apart; the arrays may be memory maps."""
        return Titles._settled(*(arrays[name] for name in ("words", "ends", "keys", "rows", "whole")))


def _names(words: Words, ends: Ints) -> Hashes:
    names: Hashes = names_of(words, ends)
    return np.where(np.diff(ends, prepend=0) > 0, names, 0).astype(np.uint64)


@njit(cache=True, nogil=True)
def _keys_of(words: Words, ends: Ints) -> Any:
    """Return the hashes of all titles and of their proper beginnings and ends, whose each is, and which are whole."""
    room = 2 * len(words)
    keys, rows = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.int64)
    whole, n, begin = np.zeros(room, dtype=np.uint8), 0, 0
    for row in range(len(ends)):
        end, first = ends[row], n
        name = begin_name()
        for place in range(begin, end):
            name = add_word(name, words[place])
            keys[n], rows[n], whole[n] = name, row, place == end - 1
            n += 1
        for start in range(begin + 1, end):
            name = begin_name()
            for place in range(start, end):
                name = add_word(name, words[place])
            if name != keys[first + end - start - 1]:  # "York" both begins and ends "York, New York", but is one pair
                keys[n], rows[n] = name, row
                n += 1
        begin = end
    return keys[:n].copy(), rows[:n].copy(), whole[:n].copy()
