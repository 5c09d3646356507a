"""Made-up names of phrases: lowercase words of syllables, a name of its own for every row."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

# 64, each ending with its only vowel, so that different syllables never spell the same word.
_ONSETS = ["b", "br", "d", "g", "h", "k", "l", "m", "n", "r", "s", "st", "t", "tr", "v", "w"]
_SYLLABLES = [onset + vowel for onset in _ONSETS for vowel in "aeio"]
_BITS = 42  # seven syllables of 6 bits: two words of two, one of three
_MASK = np.int64((1 << _BITS) - 1)


def make_names(start: int, stop: int) -> list[str]:
    """Return the names of rows ``start`` to ``stop - 1`` (below 2^42), like ``kido litra vakiki``, no two the same."""
    short, long = _make_words(2), _make_words(3)
    codes = _scramble(np.arange(start, stop, dtype=np.int64))
    firsts, seconds, thirds = (codes >> 30).tolist(), (codes >> 18 & 0xFFF).tolist(), (codes & 0x3FFFF).tolist()
    return [f"{short[a]} {short[b]} {long[c]}" for a, b, c in zip(firsts, seconds, thirds, strict=True)]


def _scramble(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map rows one to one onto numbers of ``_BITS`` bits that look drawn at random."""
    codes = rows + 1 & _MASK  # 0 would stay 0
    for odd in (0x1D8E4E27C47, 0x2545F4914F7):  # an odd factor and a fold of the high half each lose nothing
        codes = codes * odd & _MASK
        codes = codes ^ codes >> (_BITS // 2)
    return codes


@lru_cache(maxsize=2)
def _make_words(syllables: int) -> list[str]:
    return ["".join(parts) for parts in product(_SYLLABLES, repeat=syllables)]
