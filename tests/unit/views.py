"""What a view holds, by names that do not depend on its history, and how tests bring views up to date."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
from sqlalchemy import select

from memory_graph.database import Database
from memory_graph.edges import Kind
from memory_graph.graph import Shares
from memory_graph.tables import documents, passages
from memory_graph.text import order_key
from retrieval.refreshing import bring_up
from retrieval.view import View, compacted, empty_view
from tests.unit.factories import find_collection, wait_until

PassageNames = dict[int, tuple[str, int]]


def fresh(database: Database, view: View | None = None, name: str = "memory") -> View:
    """Return ``view``, or a view made from nothing, at the database's present version."""
    return bring_up(database, name, find_collection(database, name).id, view or empty_view())


def passage_names(database: Database, name: str = "memory") -> PassageNames:
    """Return the natural key of each living passage: its document's id and its place there."""
    with database.read() as connection:
        rows = connection.execute(
            select(passages.c.id, documents.c.key, passages.c.ordinal)
            .join(documents, documents.c.id == passages.c.document_id)
            .where(passages.c.collection_id == find_collection(database, name).id)
        )
        return {row.id: (row.key, row.ordinal) for row in rows}


def canonical(view: View, names: PassageNames) -> dict[str, Any]:
    """Return what lives in a view by natural keys; ``names`` are those of the database at the view's version."""
    graph = view.graph
    living, living_phrases = np.flatnonzero(graph.living_passages()), np.flatnonzero(graph.living_phrases())
    passage = {int(row): names[int(view.passage_ids[row])] for row in living}
    phrase = {int(row): view.names.key(int(row)) for row in living_phrases}
    document_of: dict[int, set[str]] = {}
    for row in living.tolist():
        document_of.setdefault(int(view.document_ids[row]), set()).add(passage[row][0])
    assert all(len(keys) == 1 for keys in document_of.values())
    mentions = zip(*(column.tolist() for column in graph.all_mentions()), strict=True)
    relations = zip(*(column.tolist() for column in graph.all_relations()), strict=True)
    vectors = view.index.take(living)
    spans = zip(living.tolist(), *(part.tolist() for part in view.words.spans(living)), strict=True)
    return {
        "words": {passage[row]: view.words.words.rows[begin:end].tolist() for row, begin, end in spans},
        "titles": {passage[row]: int(view.titles.names.rows[row]) for row in living.tolist()},
        "vectors": {passage[row]: vector.tobytes() for row, vector in zip(living.tolist(), vectors, strict=True)},
        "orders": {passage[row]: int(view.orders.rows[row]) for row in living.tolist()},
        "phrases": sorted(phrase.values()),
        "mentions": Counter({(passage[p], phrase[h]): count for p, h, count in mentions}),
        "relations": Counter({(passage[p], phrase[a], phrase[b]): count for p, a, b, count in relations}),
    }


def check_shape(view: View) -> None:
    """Check that the parts of a view fit together."""
    graph = view.graph
    assert len(view.passages) == len(view.documents) == len(view.orders) == len(view.index) == graph.n_passages
    assert len(view.phrases) == len(view.names) == graph.n_phrases
    assert (np.diff(view.passage_ids) > 0).all()
    assert (np.diff(view.phrase_ids) > 0).all()
    assert len(view.words) == len(view.titles.names) == graph.n_passages
    begins, ends = view.words.spans(np.flatnonzero(graph.living_passages()))
    assert view.words.living_words == (ends - begins).sum()
    assert view.index.dead.tolist() == graph.dead_passages.tolist()
    living = np.flatnonzero(graph.living_phrases()).tolist()
    keys = [view.names.key(row) for row in living]
    assert view.names.find([*keys, "nobody at all"], graph.dead_phrases) == dict(zip(keys, living, strict=True))
    frequencies = graph.edges.degrees(Kind.context, graph.n_phrases)
    assert frequencies.tolist() == graph.edges.degrees_of(Kind.context, np.arange(graph.n_phrases)).tolist()
    assert not frequencies[graph.dead_phrases].any()


def assert_same_view(view: View, rebuilt: View) -> None:
    """Check that a view, once compacted, is a view of the same database that was made from nothing, bit by bit."""
    check_shape(view)
    small, other = compacted(view), compacted(rebuilt)
    check_shape(small)
    assert (small.version, small.token) == (other.version, other.token)
    assert (small.n_passages, small.n_phrases) == (view.n_passages, view.n_phrases)
    for mine, theirs in (
        (small.passage_ids, other.passage_ids),
        (small.document_ids, other.document_ids),
        (small.orders.rows, other.orders.rows),
        (small.phrase_ids, other.phrase_ids),
        (small.index.take(np.arange(len(small.index))), other.index.take(np.arange(len(other.index)))),
    ):
        assert mine.tobytes() == theirs.tobytes()
    for arrays, others in (
        (small.graph.to_arrays(), other.graph.to_arrays()),
        (small.names.to_arrays(), other.names.to_arrays()),
        (small.words.to_arrays(), other.words.to_arrays()),
        (small.titles.to_arrays(), other.titles.to_arrays()),
    ):
        assert arrays.keys() == others.keys()
        for part, array in arrays.items():
            np.testing.assert_array_equal(array, others[part], err_msg=part)
    assert small.graph.total_count == view.graph.total_count == other.graph.total_count
    step = view.graph.transition(Shares()).toarray()
    alive = np.concatenate([view.graph.living_passages(), view.graph.living_phrases()])
    np.testing.assert_allclose(
        step[np.ix_(alive, alive)], other.graph.transition(Shares()).toarray(), rtol=0, atol=1e-12
    )


def assert_up_to_date(view: View, database: Database, name: str = "memory") -> None:
    """Check that a view holds what the database holds now."""
    rebuilt = fresh(database, name=name)
    assert_same_view(view, rebuilt)
    names = passage_names(database, name)
    content = canonical(view, names)
    assert content == canonical(rebuilt, names)
    assert content["vectors"].keys() == set(names.values())
    assert content["orders"] == {key: order_key(*key) for key in names.values()}


def wait_for_views() -> None:
    """Wait until no thread of a cache is at work behind the searches."""
    wait_until(lambda: not any(thread.name.startswith("views-") for thread in threading.enumerate()))
