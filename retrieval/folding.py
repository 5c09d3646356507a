"""Copies among hits: of passages that say the same, in documents that are linked as copies, the best one is returned.

Passages are compared, not documents: of two versions of a manual, what only one of them says stays. Within a document
they are copies only where they are equal: its parts may be alike, and are all meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from memory_graph.hashing import Hashes
from memory_graph.shingles import MIN_SHINGLES, fold_text, measure_overlap, shingle
from memory_graph.store.duplicates import SIMILARITY, read_signatures
from memory_graph.store.reading import read_hits
from memory_graph.types import Hit


@dataclass
class _Kept:
    """A hit that is returned, and the documents of its copies among the hits below it."""

    hit: Hit
    duplicates: list[str] = field(default_factory=list)
    # Made when they are first wanted, which for most hits is never.
    _shingles: Hashes | None = None
    _text: str | None = None

    @property
    def shingles(self) -> Hashes:
        # No cached_property: up to Python 3.11 it lets one thread of all compute at a time.
        if self._shingles is None:
            self._shingles = shingle(self.hit.text)
        return self._shingles

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = fold_text(self.hit.text)
        return self._text

    def is_copied_by(self, other: _Kept) -> bool:
        """Whether another hit says the same; as of documents, short ones only where they are equal."""
        if self.text == other.text and fold_text(self.hit.title) == fold_text(other.hit.title):
            return True
        if self.hit.document_id == other.hit.document_id:
            return False
        if min(len(self.shingles), len(other.shingles)) < MIN_SHINGLES:
            return False
        return measure_overlap(self.shingles, other.shingles) >= SIMILARITY


@dataclass
class Folding:
    """Hits as they are read, best first, each beside no copy of it; ``folded`` are (passage, the one it copies)."""

    kept: list[_Kept] = field(default_factory=list)
    folded: list[tuple[int, int]] = field(default_factory=list)
    taken: int = 0
    """How many of the ranking were read."""

    def read(self, connection: Connection, ranked: Sequence[tuple[int, float]], count: int) -> None:
        """Read on in a ranking of (passage id, score) until ``count`` hits are kept, or to its end."""
        while len(self.kept) < count and self.taken < len(ranked):
            some = ranked[self.taken : self.taken + count - len(self.kept)]
            self.taken += len(some)
            new = [_Kept(hit) for hit in read_hits(connection, some)]
            ids = [one.hit.passage_id for one in (*self.kept, *new)]
            signature_of, joined = read_signatures(connection, ids)
            places: dict[int, list[int]] = {}  # of the hits that are kept, by signature
            for place, one in enumerate(self.kept):
                places.setdefault(signature_of.get(one.hit.passage_id, 0), []).append(place)
            for one in new:
                signature = signature_of.get(one.hit.passage_id, 0)
                near = sorted(place for other in joined.get(signature, ()) for place in places.get(other, ()))
                if not self._fold(one, near):
                    places.setdefault(signature, []).append(len(self.kept))
                    self.kept.append(one)

    @property
    def gone(self) -> int:
        """How many of those that were to be read are there no more."""
        return self.taken - len(self.kept) - len(self.folded)

    def hits(self) -> list[Hit]:
        """Return the hits that are kept, with the documents of their copies."""
        return [
            replace(one.hit, rank=rank, duplicates=tuple(dict.fromkeys(one.duplicates)))
            for rank, one in enumerate(self.kept, start=1)
        ]

    def _fold(self, new: _Kept, places: Sequence[int]) -> bool:
        """Fold a hit into the best one that it is a copy of, of those at ``places``; False if it is none."""
        for one in (self.kept[place] for place in places):
            if one.is_copied_by(new):
                if new.hit.document_id != one.hit.document_id:
                    one.duplicates.append(new.hit.document_id)
                self.folded.append((new.hit.passage_id, one.hit.passage_id))
                return True
        return False


def read_folded(connection: Connection, count: int, first: Callable[[int], Sequence[tuple[int, float]]]) -> Folding:
    """Read ``count`` hits that are no copies of each other; ``first`` ranks as many passages as it is asked for."""
    folding, depth, known = Folding(), count, -1
    while (ranked := first(depth)) and len(ranked) > known:
        folding.read(connection, ranked, count)
        if not folding.folded or len(folding.kept) >= count:
            break
        known, depth = len(ranked), 2 * depth
    return folding
