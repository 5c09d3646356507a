"""Views of what was learned whose graph was made without one of its ingredients, to see what each is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ingest.batch import TITLE_COUNT
from memory_graph.graph import Mentions, build_graph
from memory_graph.hashing import Ints, hash_keys, names_of
from memory_graph.store.reading import Changes
from retrieval.view import View, advance, empty_view

WITHOUT_SCAN = "without scan"
WITHOUT_TITLES = "without titles"
COUNTED_ONCE = "counted once"


def remake_views(changes: Changes) -> dict[str, View]:
    """Return each such view by name, from all that a collection holds: its changes since version 0."""
    whole = advance(empty_view(), changes)
    makers: dict[str, Callable[[], View]] = {
        WITHOUT_SCAN: lambda: _with_mentions(whole, _found_by_extractor(whole, changes.mentions)),
        WITHOUT_TITLES: lambda: advance(empty_view(), forget_titles(changes)),
        COUNTED_ONCE: lambda: _with_mentions(whole, _counted_once(whole.graph.all_mentions())),
    }
    return {name: make() for name, make in makers.items()}


def forget_titles(changes: Changes) -> Changes:
    """Return what would have been learned if titles were no names.

    What an extractor found of a title in the text still counts, and a title that is found in any text is still a name.
    """
    phrase_ids = np.fromiter(changes.phrase_keys, dtype=np.int64)
    keys = names_of(*hash_keys(list(changes.phrase_keys.values())))
    titles = names_of(changes.title_words, changes.title_ends)
    passages, phrases, counts = changes.mentions.T
    is_title = keys[np.searchsorted(phrase_ids, phrases)] == titles[np.searchsorted(changes.passage_ids, passages)]
    left = np.column_stack([passages, phrases, counts - TITLE_COUNT * is_title])
    left = left[left[:, 2] > 0]
    ends = (left[:, 1], changes.relations[:, 1:3].ravel(), changes.facts[:, 1:3].ravel())
    named = set(np.concatenate(ends).tolist())
    embedded = np.isin(changes.embedded_phrases, list(named))
    return replace(
        changes,
        mentions=left,
        phrase_keys={phrase: key for phrase, key in changes.phrase_keys.items() if phrase in named},
        embedded_phrases=changes.embedded_phrases[embedded],
        phrase_vectors=changes.phrase_vectors[embedded] if len(embedded) else changes.phrase_vectors,
    )


def _found_by_extractor(view: View, mentions: Ints) -> Mentions:
    """Return the context edges that an extractor or a title gave, and not those that names have wherever they stand."""
    passages, phrases = (
        np.searchsorted(ids, mentions[:, column]) for column, ids in enumerate((view.passage_ids, view.phrase_ids))
    )
    return Mentions(passages, phrases, mentions[:, 2])


def _counted_once(mentions: Mentions) -> Mentions:
    return mentions._replace(counts=np.ones_like(mentions.counts))


def _with_mentions(view: View, mentions: Mentions) -> View:
    graph = view.graph
    rebuilt = build_graph(
        mentions,
        graph.all_relations(),
        graph.all_synonyms(),
        n_passages=graph.n_passages,
        n_phrases=graph.n_phrases,
    )
    return replace(view, graph=rebuilt)
