"""Entities and triples that a language model made beforehand, given to the pipeline as an extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.datasets import Dataset
from evaluation.lines import check_text, read_objects
from memory_graph.errors import InvalidInput
from memory_graph.text import clean_name, hash_text, normalize
from memory_graph.types import Extraction, Mention, Triple

_TRIPLE = 3


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a model read in one passage, in its own words; ``tokens`` is what that cost, where it is known."""

    entities: tuple[str, ...]
    triples: tuple[Triple, ...]
    left_out: int = 0
    tokens: int | None = None


class OpenieExtractor:
    """Gives each passage what was read in it, known by its text; it makes nothing up for a text that it was not given.

    Names are cleaned as those of spaCy are, and count as often as they stand in the text, at least once. The ends of
    triples are phrases as well, mentioned wherever their words stand.
    """

    name = "openie"

    def __init__(self, extractions: Mapping[str, Extraction]) -> None:
        self._extractions = extractions

    def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """Return what was read in each text, in order. Errors: ``InvalidInput`` for a text that is none of the set."""
        try:
            return [self._extractions[_key(text)] for text in texts]
        except KeyError:
            raise InvalidInput("--openie", "holds nothing for a passage: the set's documents were split") from None


def read_openie(path: Path, dataset: Dataset) -> dict[str, Reading]:
    """Read ``{"id", "entities", "triples"}`` a line, one line a document of the set; returns them by id.

    A list of other than three parts is no triple, but models write such: it is left out and counted. ``tokens``, which
    may be missing, is what the line cost. Errors: ``InvalidInput`` naming the file, the line and the field.
    """
    if dataset.split != "none":
        raise InvalidInput("--openie", "needs a set of passages (corpus.jsonl); the documents of this one are split")
    known = {document.id for document in dataset.documents}
    readings: dict[str, Reading] = {}
    for place, fields in read_objects(path):
        id_ = check_text(f"{place}: id", fields.get("id"))
        if id_ not in known:
            raise InvalidInput(f"{place}: id", f"{id_!r} is not the id of a document of this set.")
        if id_ in readings:
            raise InvalidInput(f"{place}: id", f"{id_!r} has a line already. Each document has one.")
        readings[id_] = _parse(place, fields)
    missing = sorted(known - readings.keys())
    if missing:
        raise InvalidInput(str(path), f"has no line for {len(missing)} documents of the set, such as {missing[0]!r}.")
    return readings


def openie_extractions(dataset: Dataset, readings: Mapping[str, Reading]) -> dict[str, Extraction]:
    """Return the set's extractions for ``OpenieExtractor``; equal texts share what was read in any of them."""
    merged: dict[str, tuple[str, dict[str, None], dict[Triple, None]]] = {}
    for document in dataset.documents:
        reading = readings[document.id]
        _, names, triples = merged.setdefault(_key(document.text), (document.text, {}, {}))
        cleaned = [
            Triple(clean_name(triple.subject), triple.predicate, clean_name(triple.object))
            for triple in reading.triples
        ]
        triples.update(
            dict.fromkeys(triple for triple in cleaned if normalize(triple.subject) and normalize(triple.object))
        )
        names.update(dict.fromkeys(clean_name(name) for name in reading.entities))
    return {
        key: Extraction(mentions=_count(text, names), triples=tuple(triples))
        for key, (text, names, triples) in merged.items()
    }


def count_tokens(readings: Mapping[str, Reading]) -> int | None:
    """Return the tokens that all the lines cost, or None where one does not say."""
    counts = [reading.tokens for reading in readings.values()]
    return None if None in counts else sum(count for count in counts if count is not None)


def _count(text: str, names: Mapping[str, None]) -> tuple[Mention, ...]:
    padded = f" {normalize(text)} "
    keys = {name: normalize(name) for name in names}
    return tuple(Mention(name, max(1, padded.count(f" {key} "))) for name, key in keys.items() if key)


def _key(text: str) -> str:
    return hash_text(" ".join(text.split()))


def _parse(place: str, fields: Mapping[str, Any]) -> Reading:
    entities = _check_list(f"{place}: entities", fields.get("entities"))
    triples, left_out = [], 0
    for number, parts in enumerate(_check_list(f"{place}: triples", fields.get("triples")), start=1):
        where = f"{place}: triples, number {number}"
        texts = [check_text(where, part) for part in _check_list(where, parts)]
        if len(texts) == _TRIPLE:
            triples.append(Triple(*texts))
        else:
            left_out += 1
    tokens = fields.get("tokens")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0):
        raise InvalidInput(f"{place}: tokens", "must be a whole number, 0 or more; or leave it out.")
    return Reading(
        entities=tuple(dict.fromkeys(check_text(f"{place}: entities", entity) for entity in entities)),
        triples=tuple(dict.fromkeys(triples)),
        left_out=left_out,
        tokens=tokens,
    )


def _check_list(where: str, value: Any) -> list[Any]:
    if value is None:
        raise InvalidInput(where, "is missing. Give an empty list where there is nothing.")
    if not isinstance(value, list):
        raise InvalidInput(where, "must be a list.")
    return value
