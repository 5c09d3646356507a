"""Names in a question, matched to the phrases that the memory knows, as they are matched in passages."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from memory_graph.hashing import Hashes, Ints, Words, hash_keys
from memory_graph.text import words
from retrieval.links import hash_spans
from retrieval.names import PhraseNames


@dataclass(frozen=True, eq=False)
class LinkedQuestion:
    """A question's words and the names in it.

    ``spans`` are (first word, word after the last, row) of the longest names, left to right, none inside another;
    ``inside`` the rows of all names, those inside others too, with their ``hashes``.
    """

    tokens: list[str]
    words: Words
    spans: list[tuple[int, int, int]]
    inside: Ints
    hashes: Hashes

    @property
    def phrases(self) -> Ints:
        """The rows of the longest names, each once."""
        return np.array(list(dict.fromkeys(row for _, _, row in self.spans)), dtype=np.int64)


def link_question(question: str, names: PhraseNames, dead: Ints) -> LinkedQuestion:
    """Find the living names in a question; ``dead`` are the rows of phrases that died, sorted."""
    tokens = words(question)
    hashed, ends = hash_keys([" ".join(tokens)])
    found = names.scan(hashed, np.zeros(1, dtype=np.int64), ends, dead)
    spans: list[tuple[int, int, int]] = []
    places = zip(found.places.tolist(), found.lengths.tolist(), found.rows.tolist(), strict=True)
    for place, here in groupby(places, key=lambda one: one[0]):
        *_, (_, length, row) = here  # the longest is the last
        if not spans or place >= spans[-1][1]:
            spans.append((place, place + length, row))
    return LinkedQuestion(tokens, hashed, spans, np.unique(found.rows), hash_spans(hashed, found.places, found.lengths))
