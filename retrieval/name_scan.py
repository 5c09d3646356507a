"""Names found in streams of words: compiled, at a cost by the words and not by how many names there are.

A name is found wherever its words follow each other, inside a longer name too ("New York" in "New York City"), so
whether and how often a passage holds a name depends on these two alone, and not on what else is known or since when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from memory_graph.hashing import Hashes, Ints, Words, add_word, begin_name

_LEAST_BITS = 12
_BITS_A_PREFIX = 16


class Found(NamedTuple):
    """Where names stand (k,): in which of the given streams, the name's row, at which word, and of how many words."""

    streams: Ints
    rows: Ints
    places: Ints
    lengths: Ints


NOTHING = Found(*(np.zeros(0, dtype=np.int64) for _ in Found._fields))


@dataclass(frozen=True, eq=False)
class NameTable:
    """Names to look for: their hashes in ascending order with their rows, and a filter of how names begin.

    ``prefixes`` is a Bloom filter with one hash function (Bloom 1970) of the beginnings of all names, whole names
    included: it ends most attempts after a word or two.
    """

    hashes: Hashes
    rows: NDArray[np.int32]
    prefixes: Hashes
    longest: int

    @staticmethod
    def of(hashes: Hashes, rows: NDArray[np.int32], words: Words, ends: Ints) -> NameTable:
        """Return the table of names with these ascending ``hashes`` (n,) and ``rows``; ``words``, ``ends``: of all."""
        bits = max(_LEAST_BITS, int(_BITS_A_PREFIX * max(len(words), 1)).bit_length())
        prefixes = np.zeros(2 ** (bits - 6), dtype=np.uint64)
        _mark_prefixes(words, ends, prefixes)
        longest = int(np.diff(ends, prepend=0).max(initial=0))
        return NameTable(hashes, rows, prefixes, longest)

    def find(self, words: Words, begins: Ints, ends: Ints) -> Found:
        """Return every place of every name in streams (n,) of ``words``: i from ``begins[i]`` up to ``ends[i]``.

        Places count from the stream's first word. By stream, then place, then length.
        """
        if not len(self.hashes) or not len(begins):
            return NOTHING
        return Found(*_scan(words, begins, ends, self.hashes, self.rows, self.prefixes, self.longest))


def count_names(found: Found) -> tuple[Ints, Ints, Ints]:
    """Return each pair of stream and row once, and how often it was found."""
    # One number a pair: pairs of numbers are sorted ten times slower.
    pairs, counts = np.unique(found.streams << 32 | found.rows, return_counts=True)
    return pairs >> 32, pairs & 0xFFFFFFFF, counts


@njit(inline="always")
def _bit(name: Any, prefixes: Hashes) -> Any:
    return (name >> np.uint64(7)) & np.uint64(len(prefixes) * 64 - 1)


@njit(cache=True, nogil=True)
def _mark_prefixes(words: Words, ends: Ints, prefixes: Hashes) -> None:
    place = 0
    for end in ends:
        name = begin_name()
        while place < end:
            name = add_word(name, words[place])
            bit = _bit(name, prefixes)
            prefixes[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
            place += 1


@njit(cache=True, nogil=True)
def _scan(
    words: Words,
    begins: Ints,
    ends: Ints,
    hashes: Hashes,
    rows: NDArray[np.int32],
    prefixes: Hashes,
    longest: int,
) -> Any:
    room, n = 256, 0
    found = np.empty((4, room), dtype=np.int64)
    for stream in range(len(begins)):
        for start in range(begins[stream], ends[stream]):
            name = begin_name()
            for stop in range(start, min(start + longest, ends[stream])):
                name = add_word(name, words[stop])
                bit = _bit(name, prefixes)
                if (prefixes[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) == 0:
                    break
                at = np.searchsorted(hashes, name)
                while at < len(hashes) and hashes[at] == name:
                    if n == room:
                        room *= 2
                        larger = np.empty((4, room), dtype=np.int64)
                        larger[:, :n] = found[:, :n]
                        found = larger
                    found[0, n], found[1, n] = stream, rows[at]
                    found[2, n], found[3, n] = start - begins[stream], stop + 1 - start
                    n += 1
                    at += 1
    return found[0, :n].copy(), found[1, :n].copy(), found[2, :n].copy(), found[3, :n].copy()
