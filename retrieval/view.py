"""The read model of one collection at one version: vectors, graph and names, immutable.

A question uses one view from start to end. ``advance`` makes the next view from the rows that are newer, at a cost by
those rows; ``compacted`` makes the same view anew, without what was forgotten. The rows in the database stay the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from memory_graph.graph import Graph, Mentions, Relations, Synonyms, build_graph, empty_graph
from memory_graph.growing import Growing
from memory_graph.hashing import hash_keys
from memory_graph.store.reading import Changes
from retrieval.facts import FactIndex
from retrieval.index import PassageIndex
from retrieval.lexical import LexicalIndex
from retrieval.name_scan import count_names
from retrieval.names import PhraseNames
from retrieval.synonyms import SynonymIndex
from retrieval.titles import Titles

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class View:
    """What a collection held at ``version``, the commit named ``token``.

    Passages and phrases have rows in the order of their ids. A row that was forgotten keeps its place until the view is
    compacted: the graph says which rows are dead, the index never finds them and no edge leads there.
    """

    version: int
    token: str
    passages: Growing  # ids
    documents: Growing  # internal ids, by passage
    orders: Growing  # by which passages of equal score are ordered
    phrases: Growing  # ids
    names: PhraseNames
    words: LexicalIndex
    titles: Titles
    index: PassageIndex
    graph: Graph
    facts: FactIndex = field(default_factory=FactIndex.empty)
    synonyms: SynonymIndex = field(default_factory=SynonymIndex.empty)
    aliases: Mapping[str, str] | None = None
    """What became of names that were merged away, by key; None where it was not read yet, as after loading."""

    @property
    def passage_ids(self) -> Ints:
        """The id of each row of passages."""
        return self.passages.rows

    @property
    def document_ids(self) -> Ints:
        """The internal id of the document of each row of passages."""
        return self.documents.rows

    @property
    def phrase_ids(self) -> Ints:
        """The id of each row of phrases."""
        return self.phrases.rows

    @property
    def n_passages(self) -> int:
        """Passages that live."""
        return self.graph.n_living

    @property
    def n_phrases(self) -> int:
        """Phrases that live."""
        return len(self.phrases) - len(self.graph.dead_phrases)

    def rests_on(self, other: View) -> bool:
        """Whether this view came from ``other`` by advancing alone, so that the rows of ``other`` are its first."""
        return self.graph.mentions.base is other.graph.mentions.base and self.version >= other.version

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes by part, those of memory maps included."""
        ids = sum(part.rows.nbytes for part in (self.passages, self.documents, self.orders, self.phrases))
        return {
            **self.index.nbytes,
            "graph": self.graph.nbytes,
            "names": self.names.nbytes,
            "words": self.words.nbytes + self.titles.nbytes,
            "facts": self.facts.nbytes,
            "synonyms": self.synonyms.nbytes,
            "ids": ids,
        }


def empty_view() -> View:
    """Return the view of a collection before its first commit."""
    return View(
        version=0,
        token="",
        passages=Growing.empty(np.int64),
        documents=Growing.empty(np.int64),
        orders=Growing.empty(np.int64),
        phrases=Growing.empty(np.int64),
        names=PhraseNames.of([]),
        words=LexicalIndex.of(np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.int64)),
        titles=Titles.none(0),
        index=PassageIndex.of(np.zeros((0, 0), dtype=np.float16)),
        graph=empty_graph(),
        aliases={},
    )


def small_view(vectors: NDArray[np.float32], keys: list[str]) -> View:
    """Return a view of passages (n, dim) that hold one name each, to compile and warm up with."""
    n = len(keys)
    words, ends = hash_keys(keys)
    rows = np.arange(n)
    return View(
        version=1,
        token="",
        passages=Growing.of(rows),
        documents=Growing.of(rows),
        orders=Growing.of(rows),
        phrases=Growing.of(rows),
        names=PhraseNames.of(keys),
        words=LexicalIndex.of(words, ends),
        titles=Titles.of(words, ends),
        index=PassageIndex.of(vectors.astype(np.float16)),
        graph=build_graph(
            Mentions(rows, rows, np.ones(n)), Relations.none(), Synonyms.none(), n_passages=n, n_phrases=n
        ),
    )


def advance(view: View, changes: Changes) -> View:
    """Return the view at ``changes.version``: with what was added, without what was removed.

    Ids only grow, so what is new stands behind what was there. One thread at a time may advance the views of a
    collection.
    """
    passages, phrases = view.passages.extended(changes.passage_ids), view.phrases.extended(_ids(changes.phrase_keys))
    dead_passages = _rows_of(changes.removed_passages, view.passage_ids, view.graph.dead_passages)
    dead_phrases = _rows_of(changes.removed_phrases, view.phrase_ids, view.graph.dead_phrases)
    relations = Relations(
        np.searchsorted(passages.rows, changes.relations[:, 0]),
        np.searchsorted(phrases.rows, changes.relations[:, 1]),
        np.searchsorted(phrases.rows, changes.relations[:, 2]),
        changes.relations[:, 3],
    )
    if not len(view.passages) and not len(view.phrases):  # the first rows are settled at once
        names = PhraseNames.of(list(changes.phrase_keys.values()))
        words = LexicalIndex.of(changes.words, changes.word_ends)
        titles = Titles.of(changes.title_words, changes.title_ends)
        synonyms, synonymy = _synonyms(view, changes, phrases, names, dead_phrases)
        mentions = _mentions(changes, passages, phrases, names, words, view, dead_passages, dead_phrases)
        graph = build_graph(mentions, relations, synonymy, n_passages=len(passages), n_phrases=len(phrases))
    else:
        names = view.names.extended(list(changes.phrase_keys.values()))
        words = view.words.extended(changes.words, changes.word_ends).without(dead_passages)
        titles = view.titles.extended(changes.title_words, changes.title_ends)
        synonyms, synonymy = _synonyms(view, changes, phrases, names, dead_phrases)
        graph = view.graph.extended(
            passages=len(changes.passage_ids),
            phrases=len(changes.phrase_keys),
            context=_mentions(changes, passages, phrases, names, words, view, dead_passages, dead_phrases),
            relation=relations,
            synonymy=synonymy,
            dead_passages=dead_passages,
            dead_phrases=dead_phrases,
        )
    index = view.index.extended(changes.vectors) if len(changes.vectors) else view.index
    return View(
        version=changes.version,
        token=changes.token,
        passages=passages,
        documents=view.documents.extended(changes.document_ids),
        orders=view.orders.extended(changes.order_keys),
        phrases=phrases,
        names=names,
        words=words,
        titles=titles,
        index=index.without(dead_passages) if len(dead_passages) else index,
        graph=graph,
        facts=view.facts.without(changes.removed_facts).extended(
            changes.facts[:, 0],
            np.searchsorted(phrases.rows, changes.facts[:, 1:3]),
            changes.facts[:, 3],
            changes.fact_vectors,
        ),
        synonyms=synonyms,
    )


def _mentions(
    changes: Changes,
    passages: Growing,
    phrases: Growing,
    names: PhraseNames,
    words: LexicalIndex,
    view: View,
    dead_passages: Ints,
    dead_phrases: Ints,
) -> Mentions:
    """Return the context edges that come: of new passages to all names, and of older passages to new names.

    An edge counts how often the name stands in the passage, or more where the extractor said so.
    """
    n_old, n_names = len(view.passages), len(view.phrases)
    dead = np.union1d(view.graph.dead_phrases, dead_phrases)
    new = np.arange(n_old, len(passages))
    streams, rows, counts = count_names(names.scan(words.words.rows, *words.spans(new), dead))
    found = [(streams + n_old, rows, counts)]
    said = (
        np.searchsorted(passages.rows, changes.mentions[:, 0]),
        np.searchsorted(phrases.rows, changes.mentions[:, 1]),
        changes.mentions[:, 2],
    )
    found.append(said)
    if n_old and len(phrases) > n_names:
        later = np.arange(words.n_settled, n_old)
        streams, rows, counts = count_names(names.scan(words.words.rows, *words.spans(later), dead, first=n_names))
        found.append((streams + words.n_settled, rows, counts))
        for row in range(n_names, len(phrases)):
            holding, counts = words.settled_holding(names.words_of(row))
            found.append((holding, np.full(len(holding), row), counts))
    all_passages, all_phrases, all_counts = (np.concatenate(columns) for columns in zip(*found, strict=True))
    gone = np.isin(all_passages, np.union1d(view.graph.dead_passages, dead_passages))
    return _highest(all_passages[~gone], all_phrases[~gone], all_counts[~gone])


def _synonyms(
    view: View, changes: Changes, phrases: Growing, names: PhraseNames, dead_phrases: Ints
) -> tuple[SynonymIndex, Synonyms]:
    """Return the phrases with vectors, and the synonymy edges that come and go."""
    rows = np.searchsorted(phrases.rows, changes.embedded_phrases)
    dead = np.union1d(view.graph.dead_phrases, dead_phrases)
    return view.synonyms.advanced(rows, changes.phrase_vectors, dead, names.key)


def _highest(passages: Ints, phrases: Ints, counts: Ints) -> Mentions:
    """Return each pair once, with its highest count."""
    order = np.lexsort((counts, phrases, passages))
    passages, phrases, counts = passages[order], phrases[order], counts[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (passages[1:] != passages[:-1]) | (phrases[1:] != phrases[:-1])
    return Mentions(passages[last], phrases[last], counts[last])


def compacted(view: View, threads: int = 1) -> View:
    """Return the same view in settled rows, those that died left out; it takes its time and blocks nobody."""
    passages, phrases = view.graph.living_passages(), view.graph.living_phrases()
    return replace(
        view,
        passages=Growing.of(view.passage_ids[passages]),
        documents=Growing.of(view.document_ids[passages]),
        orders=Growing.of(view.orders.rows[passages]),
        phrases=Growing.of(view.phrase_ids[phrases]),
        names=view.names.compacted(phrases),
        words=view.words.compacted(passages),
        titles=view.titles.compacted(passages),
        index=view.index.compacted(threads),
        graph=view.graph.compacted(),
        facts=view.facts.compacted(phrases),
        synonyms=view.synonyms.compacted(phrases),
    )


def _ids(keys: dict[int, str]) -> Ints:
    return np.fromiter(keys, dtype=np.int64, count=len(keys))


def _rows_of(ids: Ints, known: Ints, dead: Ints) -> Ints:
    """Return the rows of those ``ids`` that are known and alive; others came and went between two views."""
    ids = np.unique(ids)
    rows = np.searchsorted(known, ids)
    there = rows < len(known)
    there[there] = known[rows[there]] == ids[there]
    return np.setdiff1d(rows[there], dead)
