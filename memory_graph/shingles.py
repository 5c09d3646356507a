"""Texts as sets of short runs of words, by which copies are told: how alike two texts are is what their sets share."""

from __future__ import annotations

import unicodedata

import numpy as np
import regex
from numpy.typing import NDArray

from memory_graph.hashing import Hashes, hash_keys
from memory_graph.text import normalize

SHINGLE_WORDS = 3
# Of a shorter text each word is a large share: "was born in 1950" and "was born in 1960" are alike, and say two things.
MIN_SHINGLES = 30
_SEED, _FACTOR, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(29)
# Scripts that set no spaces between words: there each character, with its marks, stands for a word.
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*", flags=regex.VERSION1
)


def fold_text(text: str) -> str:
    """Return what two texts have in common that differ in white space, letter case and Unicode form alone (NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shingle(text: str) -> Hashes:
    """Return the hashes of all runs of three words of a text, ascending and each once, (n,).

    Words are those of ``memory_graph.text.words``: punctuation and letter case do not count. A text of fewer words has
    none.
    """
    normalized = normalize(text)
    if not normalized.isascii():
        normalized = _UNSPACED.sub(r" \g<0> ", normalized)
    words = hash_keys([normalized])[0].astype(np.uint64)
    count = max(len(words) - SHINGLE_WORDS + 1, 0)
    hashed = np.full(count, _SEED, dtype=np.uint64)
    for place in range(SHINGLE_WORDS):
        hashed = (hashed ^ words[place : place + count]) * _FACTOR
        hashed ^= hashed >> _SHIFT
    return np.unique(hashed)


def measure_overlap(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return the share of two sets' members that are in both (Jaccard), in 0..1; 0 where both are empty."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(len(one) + len(other) - shared, 1)
