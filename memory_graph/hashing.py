"""Words and names as numbers: what lets texts be searched for millions of names without a Python object for any.

A word is the 32-bit FNV-1a hash of its UTF-8 bytes (Fowler, Noll and Vo). A name is a 64-bit hash over its
words in order, so that a name is recognised in a stream of words without cutting strings. That two different names of
one memory share a hash is as good as impossible (below 1e-7 for a million names); that two words do costs a word index
nothing worth mention, and a match of names is a match of whole sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from memory_graph.text import words

Ints = NDArray[np.int64]
Words = NDArray[np.uint32]
Hashes = NDArray[np.uint64]

_OFFSET, _PRIME = np.uint32(2166136261), np.uint32(16777619)
_SPACE = 32
_SEED, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)


def hash_words(text: str) -> Words:
    """Return the words of a text (m,), normalised and in order."""
    return hash_keys([" ".join(words(text))])[0]


def hash_keys(keys: Sequence[str]) -> tuple[Words, Ints]:
    """Return the words of normalised texts, one text after the other, and where those of each end (n,)."""
    encoded = [key.encode("utf-8", "surrogatepass") for key in keys]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in encoded], dtype=np.int64)]).astype(np.int64)
    hashed: tuple[Words, Ints] = words_of(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)
    return hashed


@njit(cache=True, nogil=True)
def words_of(text: NDArray[np.uint8], offsets: Ints) -> Any:
    """Hash the words of n texts: UTF-8 bytes, text i between ``offsets[i]`` and ``offsets[i+1]``, words a space apart.

    Returns the words of all texts (m,) and where those of each end (n,).
    """
    found, ends = np.empty(len(text) // 2 + len(offsets), dtype=np.uint32), np.empty(len(offsets) - 1, dtype=np.int64)
    n = 0
    for index in range(len(offsets) - 1):
        value, length = _OFFSET, 0
        for place in range(offsets[index], offsets[index + 1]):
            if text[place] == _SPACE:
                if length > 0:
                    found[n] = value
                    n += 1
                value, length = _OFFSET, 0
            else:
                value = np.uint32((value ^ np.uint32(text[place])) * _PRIME)
                length += 1
        if length > 0:
            found[n] = value
            n += 1
        ends[index] = n
    return found[:n].copy(), ends


@njit(inline="always")
def begin_name() -> Any:
    """Return the hash of a name without words."""
    return _SEED


@njit(inline="always")
def add_word(name: Any, word: Any) -> Any:
    """Return the hash of a name with one word more."""
    mixed = (name ^ np.uint64(word)) * _FACTOR
    return mixed ^ (mixed >> _SHIFT)


@njit(cache=True, nogil=True)
def names_of(hashed: Words, ends: Ints) -> Any:
    """Return the hash of each name (n,), given the words of all names (m,) and where those of each end (n,)."""
    names, place = np.empty(len(ends), dtype=np.uint64), 0
    for index in range(len(ends)):
        name = begin_name()
        while place < ends[index]:
            name = add_word(name, hashed[place])
            place += 1
        names[index] = name
    return names
