"""Where names and facts stand in a text: places in characters of the text as it is, whatever normalising does to it."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import regex

from memory_graph.text import words

# A character with the marks that belong to it: within these alone normalising joins or reorders characters.
_CLUSTER = regex.compile(r"\X")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")

Words: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Named:
    """A fact of a passage by its parts: the ids of its ends' phrases, and its predicate as it was read."""

    id: int
    subject_id: int
    predicate: str
    object_id: int


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A name from ``start`` up to ``end``, or with ``phrase_id`` None what says how two are related.

    ``fact_ids`` are the facts that it is a part of.
    """

    start: int
    end: int
    phrase_id: int | None
    fact_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Token:
    word: str
    start: int
    end: int


@dataclass(kw_only=True)
class _Place:
    """Tokens from ``first`` up to ``last`` that are a name, with the ids of the shorter names within it too."""

    first: int
    last: int
    phrase_id: int
    inside: set[int] = field(default_factory=set)


def mark(text: str, names: Mapping[int, Iterable[str]], facts: Sequence[Named] = ()) -> list[Mark]:
    """Return the names in a text and the words that relate them, in order; none overlaps another.

    ``names`` are the ways in which each phrase is written. Where names overlap, the one that begins first counts, of
    these the longest. A fact's predicate is marked where it stands nearest to both ends.
    """
    tokens = _read(text)
    places = _longest(_find(tokens, names))
    related: dict[tuple[int, int], list[int]] = {}
    for fact in facts:
        if span := _relation(tokens, places, fact):
            related.setdefault(span, []).append(fact.id)
    marks = [
        Mark(
            start=tokens[place.first].start,
            end=tokens[place.last - 1].end,
            phrase_id=place.phrase_id,
            fact_ids=tuple(one.id for one in facts if {one.subject_id, one.object_id} & place.inside),
        )
        for place in places
    ]
    taken = 0
    for (first, last), ids in sorted(related.items()):
        if first >= taken:
            found = Mark(start=tokens[first].start, end=tokens[last - 1].end, phrase_id=None, fact_ids=tuple(ids))
            marks.append(found)
            taken = last
    return sorted(marks, key=lambda one: one.start)


def _read(text: str) -> list[_Token]:
    """Return the words of a text, as ``memory_graph.text.words`` has them, with where they stand."""
    if text.isascii():  # normalising changes no place
        return [_Token(one.group().lower(), one.start(), one.end()) for one in _WORD.finditer(text)]
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for one in _CLUSTER.finditer(text):
        part = unicodedata.normalize("NFKC", one.group()).casefold()
        parts.append(part)
        starts += [one.start()] * len(part)
        ends += [one.end()] * len(part)
    return [_Token(one.group(), starts[one.start()], ends[one.end() - 1]) for one in _WORD.finditer("".join(parts))]


def _find(tokens: Sequence[_Token], names: Mapping[int, Iterable[str]]) -> list[_Place]:
    """Return every place of every name, those within others too."""
    by_first: dict[str, dict[Words, int]] = {}
    for phrase_id, written in names.items():
        for way in written:
            if spelled := tuple(words(way)):
                by_first.setdefault(spelled[0], {}).setdefault(spelled, phrase_id)
    found = []
    for at, token in enumerate(tokens):
        for spelled, phrase_id in by_first.get(token.word, {}).items():
            if tuple(one.word for one in tokens[at : at + len(spelled)]) == spelled:
                found.append(_Place(first=at, last=at + len(spelled), phrase_id=phrase_id))
    return found


def _longest(found: Sequence[_Place]) -> list[_Place]:
    kept: list[_Place] = []
    for place in sorted(found, key=lambda one: (one.first, -one.last)):
        if not kept or place.first >= kept[-1].last:
            kept.append(place)
        if place.last <= kept[-1].last:
            kept[-1].inside.add(place.phrase_id)
    return kept


def _relation(tokens: Sequence[_Token], places: Sequence[_Place], fact: Named) -> tuple[int, int] | None:
    """Return the tokens of a fact's predicate; None where it, or either end, is not in the text in these words."""
    spelled = tuple(words(fact.predicate))
    ends = [[one for one in places if end in one.inside] for end in (fact.subject_id, fact.object_id)]
    if not spelled or not all(ends):
        return None
    begins = [one.first for one in places]
    best: tuple[int, tuple[int, int]] | None = None
    for at in range(len(tokens) - len(spelled) + 1):
        if tokens[at].word != spelled[0]:
            continue
        last = at + len(spelled)
        if tuple(one.word for one in tokens[at:last]) != spelled or _overlaps(places, begins, at, last):
            continue
        far = sum(min(max(at - one.last, one.first - last) for one in end) for end in ends)
        if best is None or far < best[0]:
            best = far, (at, last)
    return None if best is None else best[1]


def _overlaps(places: Sequence[_Place], begins: Sequence[int], first: int, last: int) -> bool:
    before = bisect_left(begins, last)
    return before > 0 and places[before - 1].last > first
