"""What a view holds, by names that do not depend on its history, and in what two views differ.

Whatever order, batches, restarts and detours led to a memory, equal documents make equal content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from retrieval.view import View

PassageNames: TypeAlias = dict[int, tuple[str, int]]
"""By a passage's id: its document's id and its place there."""


def canonical(view: View, names: PassageNames) -> dict[str, Any]:
    """Return what lives in a view by natural keys; ``names`` are those of the database at the view's version.

    Each part is a mapping, or a sorted list of names. Vectors are the bytes of their float16 values.
    """
    graph = view.graph
    living, living_phrases = np.flatnonzero(graph.living_passages()), np.flatnonzero(graph.living_phrases())
    passage = {int(row): names[int(view.passage_ids[row])] for row in living}
    phrase = {int(row): view.names.key(int(row)) for row in living_phrases}
    members: dict[int, list[tuple[str, int]]] = {}
    for row in living.tolist():
        members.setdefault(int(view.document_ids[row]), []).append(passage[row])
    mentions = zip(*(column.tolist() for column in graph.all_mentions()), strict=True)
    relations = zip(*(column.tolist() for column in graph.all_relations()), strict=True)
    vectors = view.index.take(living)
    titled = zip(living.tolist(), *(part.tolist() for part in view.titles.spans(living)), strict=True)
    spans = zip(living.tolist(), *(part.tolist() for part in view.words.spans(living)), strict=True)
    return {
        "words": {passage[row]: view.words.words.rows[begin:end].tolist() for row, begin, end in spans},
        "titles": {passage[row]: view.titles.words.rows[begin:end].tolist() for row, begin, end in titled},
        "documents": sorted(tuple(sorted(keys)) for keys in members.values()),
        "vectors": {passage[row]: vector.tobytes() for row, vector in zip(living.tolist(), vectors, strict=True)},
        "orders": {passage[row]: int(view.orders.rows[row]) for row in living.tolist()},
        "phrases": sorted(phrase.values()),
        "mentions": Counter({(passage[p], phrase[h]): count for p, h, count in mentions}),
        "facts": {
            (int(view.facts.orders.rows[row]), *(phrase[int(end)] for end in view.facts.ends.rows[row])): (
                view.facts.vectors.take(np.array([row])).tobytes()
            )
            for row in np.setdiff1d(np.arange(len(view.facts.ids)), view.facts.dead).tolist()
        },
        "synonyms": {
            tuple(sorted((phrase[left], phrase[right]))): count
            for left, right, count in zip(*(column.tolist() for column in graph.all_synonyms()), strict=True)
        },
        "relations": Counter({(passage[p], phrase[a], phrase[b]): count for p, a, b, count in relations}),
    }


def find_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return a line for each part in which two canonical contents differ, none where they are equal."""
    lines = []
    for part in sorted(one.keys() | other.keys()):
        mine, theirs = _as_mapping(one.get(part, {})), _as_mapping(other.get(part, {}))
        kinds = {
            "only in the first": mine.keys() - theirs.keys(),
            "only in the second": theirs.keys() - mine.keys(),
            "not the same": {key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key]},
        }
        said = [f"{len(keys):,} {kind}, as {min(keys, key=repr)!r}" for kind, keys in kinds.items() if keys]
        if said:
            lines.append(f"{part}: {'; '.join(said)}")
    return lines


def _as_mapping(part: Any) -> Mapping[Any, Any]:
    return part if isinstance(part, Mapping) else Counter(part)
