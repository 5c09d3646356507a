"""Names in a question, matched to the phrases that the memory knows, as they are matched in passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from memory_graph.hashing import Hashes, Ints, Words, hash_keys, names_of
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


def link_question(
    question: str, names: PhraseNames, dead: Ints, aliases: Mapping[str, str] | None = None
) -> LinkedQuestion:
    """Find the living names in a question; ``dead`` are the rows of phrases that died, sorted.

    ``aliases`` are keys of names that were merged away, each with the key that it became: it stands for that one,
    unless it lives, as where another correction made it anew.
    """
    tokens = words(question)
    hashed, ends = hash_keys([" ".join(tokens)])
    found = names.scan(hashed, np.zeros(1, dtype=np.int64), ends, dead)
    hashes = hash_spans(hashed, found.places, found.lengths)
    places = list(zip(found.places.tolist(), found.lengths.tolist(), found.rows.tolist(), strict=True))
    if aliases and (merged := _find_merged(tokens, names, dead, aliases)):
        known = {(place, length) for place, length, _ in places}
        places = sorted([*places, *(one for one in merged if one[:2] not in known)])
        # What is called as the name is now counts as named by the question too.
        hashes = np.concatenate([hashes, names_of(*hash_keys([names.key(row) for _, _, row in merged]))])
    spans: list[tuple[int, int, int]] = []
    for place, here in groupby(places, key=lambda one: one[0]):
        *_, (_, length, row) = here  # the longest is the last
        if not spans or place >= spans[-1][1]:
            spans.append((place, place + length, row))
    inside = np.unique(np.array([row for _, _, row in places], dtype=np.int64))
    return LinkedQuestion(tokens, hashed, spans, inside, hashes)


def _find_merged(
    tokens: Sequence[str], names: PhraseNames, dead: Ints, aliases: Mapping[str, str]
) -> list[tuple[int, int, int]]:
    """Return where names that were merged away stand, as (first word, number of words, row of what it became)."""
    longest = max(key.count(" ") + 1 for key in aliases)
    said = [
        (place, length, aliases[key])
        for place in range(len(tokens))
        for length in range(1, min(longest, len(tokens) - place) + 1)
        if (key := " ".join(tokens[place : place + length])) in aliases
    ]
    rows = names.find((into for _, _, into in said), dead)
    return [(place, length, rows[into]) for place, length, into in said if into in rows]
