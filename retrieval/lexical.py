"""The words of all passages in their order, and which passages hold a word: exact names, numbers and rare words.

Settled passages have postings in compressed rows, later ones in lists that grow. Nothing depends on the order in which
passages came: BM25 looks at those that live, and only at them.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from memory_graph.edges import spread
from memory_graph.growing import Growing
from memory_graph.hashing import Ints, Words, hash_keys

Doubles = NDArray[np.float64]

# Words of English that tell nothing of what is asked for. Most are in too many passages anyway; who, which and what are
# not, since texts that tell something ask few questions.
FUNCTION_WORDS = (
    "a about after also an and are as at be been before being between but by can could did do does during for from had "
    "has have having he her hers him his how i if in into is it its may me might my no nor not of on once one only or "
    "our ours out over she should so some such than that the their theirs them then there these they this those to too "
    "under until up us very was we were what when where which while who whom whose why will with would you your s t"
)
_FUNCTION_WORDS = np.unique(hash_keys([FUNCTION_WORDS])[0])
_NOWHERE = array("q")


@dataclass(frozen=True, kw_only=True)
class LexicalParams:
    """BM25 (Robertson and Zaragoza 2009): ``k1`` saturates counts, ``b`` normalises by length.

    A word that more than ``common`` of the passages hold tells nothing apart and is passed over, and so are words that
    only make a question of it: ``FUNCTION_WORDS``, of English.
    """

    k1: float = 1.2
    b: float = 0.75
    common: float = 0.2


class Matches(NamedTuple):
    """The best rows (k,), best first; the scores of all passages (n,), 0 for none.

    ``words`` (w,) are the question's words that passages hold and that tell them apart, ascending, with their ``idf``.
    """

    rows: Ints
    sums: Doubles
    words: Words
    idf: Doubles


class Postings(NamedTuple):
    """Which passages hold a word: term i is in ``rows[starts[i]:starts[i+1]]``, so often as ``counts`` says (≤ 255)."""

    terms: Words  # ascending
    starts: Ints
    rows: NDArray[np.int32]
    counts: NDArray[np.uint8]

    @staticmethod
    def of(words: Words, ends: Ints) -> Postings:
        """Return the postings of passages (n,) whose words follow each other in ``words`` and end at ``ends``."""
        rows = np.repeat(np.arange(len(ends), dtype=np.uint64), np.diff(ends, prepend=0))
        pairs = np.sort(words.astype(np.uint64) << np.uint64(32) | rows)
        first = np.ones(len(pairs), dtype=bool)
        first[1:] = pairs[1:] != pairs[:-1]
        where = np.flatnonzero(first)
        counts = np.minimum(np.diff(where, append=len(pairs)), 255).astype(np.uint8)
        found = (pairs[where] >> np.uint64(32)).astype(np.uint32)
        new = np.ones(len(found), dtype=bool)
        new[1:] = found[1:] != found[:-1]
        starts = np.append(np.flatnonzero(new), len(found)).astype(np.int64)
        return Postings(found[new], starts, (pairs[where] & np.uint64(0xFFFFFFFF)).astype(np.int32), counts)


@dataclass
class _Later:
    """Postings of the passages behind the settled ones, by word: row, count, row, count …; rows ascend."""

    n: int
    lists: dict[int, array[int]] = field(default_factory=dict)

    def append(self, row: int, words: Words) -> None:
        for word, count in zip(*(part.tolist() for part in np.unique(words, return_counts=True)), strict=True):
            self.lists.setdefault(word, array("q")).extend((row, min(count, 255)))


@dataclass(frozen=True, eq=False)
class LexicalIndex:
    """The words of passages (n,), and their postings; never changes.

    ``words`` are those of all passages, one after the other; those of passage i end at ``ends[i]``. One thread at a
    time may extend; any number may search.
    """

    words: Growing
    ends: Growing
    postings: Postings
    n_settled: int
    living_words: int
    _later: _Later = field(repr=False)

    @staticmethod
    def of(words: Words, ends: Ints) -> LexicalIndex:
        """Return the index of passages (n,), settled; ``words`` (m,) are hashed words, ``ends`` (n,) where they end."""
        return LexicalIndex._settled(Growing.of(words), Growing.of(ends), Postings.of(words, ends))

    @staticmethod
    def _settled(words: Growing, ends: Growing, postings: Postings) -> LexicalIndex:
        return LexicalIndex(words, ends, postings, len(ends), len(words), _Later(len(ends)))

    def __len__(self) -> int:
        """Return the number of rows, the dead ones included."""
        return len(self.ends)

    @property
    def nbytes(self) -> int:
        """Bytes of the words and the settled postings, and roughly those of the later ones."""
        later = 100 * (len(self) - self.n_settled)
        return self.words.rows.nbytes + self.ends.rows.nbytes + sum(part.nbytes for part in self.postings) + later

    def spans(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return where in ``words`` those of these rows (k,) begin and end."""
        ends = self.ends.rows
        begins = np.where(rows > 0, ends[rows - 1], 0) if len(ends) else np.zeros(0, dtype=np.int64)
        return begins, ends[rows]

    def extended(self, words: Words, ends: Ints) -> LexicalIndex:
        """Return the index with more passages (k,) behind the present ones; ``ends`` count from the first new word."""
        if not len(ends):
            return self
        later = self._later
        if later.n != len(self):  # another version went on from here already
            later = _Later(self.n_settled)
            self._append(later, self.words.rows, self.ends.rows, self.n_settled)
        grown = replace(
            self,
            words=self.words.extended(words),
            ends=self.ends.extended(ends + len(self.words)),
            living_words=self.living_words + len(words),
            _later=later,
        )
        self._append(later, grown.words.rows, grown.ends.rows, len(self))
        return grown

    def without(self, rows: Ints) -> LexicalIndex:
        """Return the index when these rows have died; who searches says which rows are dead."""
        if not len(rows):
            return self
        begins, ends = self.spans(rows)
        return replace(self, living_words=self.living_words - int((ends - begins).sum()))

    def compacted(self, alive: NDArray[np.bool_]) -> LexicalIndex:
        """Return the index of the rows that are ``alive`` (n,), settled, in their order."""
        rows = np.flatnonzero(alive)
        begins, ends = self.spans(rows)
        return LexicalIndex.of(self.words.rows[spread(begins, ends)], np.cumsum(ends - begins))

    def holding(self, word: int) -> tuple[Ints, Ints]:
        """Return the rows that hold a word, ascending, the dead ones included, and how often each does."""
        terms, starts, rows, counts = self.postings
        at = int(np.searchsorted(terms, np.uint32(word)))
        settled = slice(starts[at], starts[at + 1]) if at < len(terms) and terms[at] == word else slice(0, 0)
        # Copied in one go, without handing out the buffer: another thread may append to it meanwhile.
        later = np.frombuffer(self._later.lists.get(word, _NOWHERE).tobytes(), dtype=np.int64).reshape(-1, 2)
        later = later[: np.searchsorted(later[:, 0], len(self))]
        return np.concatenate([rows[settled], later[:, 0]]), np.concatenate([counts[settled], later[:, 1]])

    def settled_holding(self, name: Words) -> tuple[Ints, Ints]:
        """Return the settled rows in which these words follow each other, and how often they do."""
        terms, starts, rows, _ = self.postings
        places = np.searchsorted(terms, name)
        there = places < len(terms)
        if not len(name) or not there.all() or (terms[places] != name).any():
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        rarest = places[np.argmin(starts[places + 1] - starts[places])]
        candidates = rows[starts[rarest] : starts[rarest + 1]].astype(np.int64)
        counts = _count_sequence(self.words.rows, *self.spans(candidates), name)
        return candidates[counts > 0], counts[counts > 0]

    def search(
        self, question: Words, k: int, dead: Ints, params: LexicalParams, *, ties: Ints | None = None
    ) -> Matches:
        """Return the ``k`` living rows of the highest BM25 scores; fewer where fewer match.

        ``dead`` are the rows that died, sorted. Equal scores are ordered by ``ties`` (n,), else by row.
        """
        n_living = len(self) - len(dead)
        found, telling = [], []
        for word in np.setdiff1d(question, _FUNCTION_WORDS).tolist() if n_living else []:
            rows, counts = self.holding(word)
            if len(dead):
                alive = ~np.isin(rows, dead, assume_unique=True)
                rows, counts = rows[alive], counts[alive]
            if 0 < len(rows) <= max(params.common * n_living, 1):
                found.append((rows, counts))
                telling.append(word)
        lengths = np.array([len(rows) for rows, _ in found], dtype=np.int64)
        idf = np.log(1.0 + (n_living - lengths + 0.5) / (lengths + 0.5))
        words = np.array(telling, dtype=np.uint32)
        if not found:
            return Matches(np.zeros(0, dtype=np.int64), np.zeros(len(self)), words, idf)
        rows, sums = _score(
            np.concatenate([rows for rows, _ in found]),
            np.concatenate([counts for _, counts in found]),
            np.repeat(idf, lengths),
            self.ends.rows,
            params.k1,
            params.b * n_living / self.living_words,
            1.0 - params.b,
        )
        rounded = sums[rows].round(9)
        if k < len(rows):
            kept = rounded >= np.partition(rounded, len(rows) - k)[len(rows) - k]
            rows, rounded = rows[kept], rounded[kept]
        order = np.lexsort((rows if ties is None else ties[rows], -rounded))[:k]
        return Matches(rows[order], sums, words, idf)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return a settled index as named arrays, to be saved."""
        if len(self) != self.n_settled:
            raise ValueError("only a compacted index can be saved")
        return {"words": self.words.rows, "ends": self.ends.rows, **self.postings._asdict()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> LexicalIndex:
        """Return the index that ``to_arrays`` took apart; the arrays may be memory maps."""
        postings = Postings(*(arrays[name] for name in Postings._fields))
        return LexicalIndex._settled(Growing.of(arrays["words"]), Growing.of(arrays["ends"]), postings)

    @staticmethod
    def _append(later: _Later, words: Words, ends: Ints, first: int) -> None:
        for row in range(first, len(ends)):
            later.append(row, words[ends[row - 1] if row else 0 : ends[row]])
        later.n = len(ends)


@njit(cache=True, nogil=True)
def _score(rows: Ints, counts: Ints, idf: Doubles, ends: Ints, k1: float, by_length: float, floor: float) -> Any:
    """Sum BM25 over postings (m,) of several words; returns the rows that hold any of them, and all sums (n,)."""
    sums = np.zeros(len(ends))  # untouched pages of zeros cost nothing
    found, n = np.empty(len(rows), dtype=np.int64), 0
    for index in range(len(rows)):
        row = rows[index]
        length = ends[row] - (ends[row - 1] if row > 0 else 0)
        count = float(counts[index])
        if sums[row] == 0.0:
            found[n] = row
            n += 1
        sums[row] += idf[index] * count * (k1 + 1.0) / (count + k1 * (floor + by_length * length))
    return found[:n].copy(), sums


@njit(cache=True, nogil=True)
def _count_sequence(words: Words, begins: Ints, ends: Ints, name: Words) -> Any:
    counts = np.zeros(len(begins), dtype=np.int64)
    for index in range(len(begins)):
        for start in range(begins[index], ends[index] - len(name) + 1):
            place = 0
            while place < len(name) and words[start + place] == name[place]:
                place += 1
            counts[index] += place == len(name)
    return counts
