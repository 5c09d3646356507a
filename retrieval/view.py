"""The read model of one collection at one version: vectors, graph and names, immutable.

A question uses one view from start to end. ``advance`` makes the next view from the rows that are newer; the rows in
the database stay the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memory_graph.graph import Graph, build_graph
from memory_graph.store.reading import Changes
from retrieval.index import PassageIndex

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """What a collection held at ``version``.

    Passage rows are sorted by passage id: ``passage_ids`` and ``document_ids`` (n,), ``index`` over (n, dim). Phrase
    rows are sorted by phrase id: ``phrase_ids`` (m,). ``mentions`` is (e, 3): passage id, phrase id, count.
    """

    version: int
    passage_ids: Ints
    document_ids: Ints
    index: PassageIndex
    phrase_keys: Mapping[int, str]
    mentions: Ints

    @cached_property
    def phrase_ids(self) -> Ints:
        return np.array(sorted(self.phrase_keys), dtype=np.int64)

    @cached_property
    def phrase_rows(self) -> Mapping[str, int]:
        """The row of each phrase by its key."""
        return {self.phrase_keys[int(phrase_id)]: row for row, phrase_id in enumerate(self.phrase_ids)}

    @cached_property
    def graph(self) -> Graph:
        return build_graph(
            np.searchsorted(self.passage_ids, self.mentions[:, 0]),
            np.searchsorted(self.phrase_ids, self.mentions[:, 1]),
            self.mentions[:, 2],
            n_passages=len(self.passage_ids),
            n_phrases=len(self.phrase_ids),
        )

    def warm(self) -> View:
        """Derive everything that the first question would otherwise wait for."""
        _ = self.phrase_rows, self.graph
        return self


def empty_view() -> View:
    """Return the view of a collection before its first commit."""
    none = np.zeros(0, dtype=np.int64)
    vectors = np.zeros((0, 0), dtype=np.float32)
    return View(0, none, none, PassageIndex(vectors), {}, np.zeros((0, 3), dtype=np.int64))


def advance(view: View, changes: Changes) -> View:
    """Return the view at ``changes.version``: without what was removed, with what was added."""
    keep = ~np.isin(view.passage_ids, changes.removed_passages)
    passage_ids = np.concatenate([view.passage_ids[keep], changes.passage_ids])
    document_ids = np.concatenate([view.document_ids[keep], changes.document_ids])
    added = changes.vectors.astype(np.float32)
    kept = view.index.vectors[keep]
    vectors = np.concatenate([kept, added]) if len(kept) and len(added) else (kept if len(kept) else added)
    mentions = np.concatenate([view.mentions, changes.mentions])
    mentions = mentions[np.isin(mentions[:, 0], passage_ids)]
    removed = set(changes.removed_phrases.tolist())
    names = {phrase_id: key for phrase_id, key in view.phrase_keys.items() if phrase_id not in removed}
    names.update(changes.phrase_keys)
    return View(
        version=changes.version,
        passage_ids=passage_ids,
        document_ids=document_ids,
        index=view.index if not len(added) and keep.all() else PassageIndex(vectors),
        phrase_keys=names,
        mentions=mentions,
    )
