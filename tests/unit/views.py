"""How tests bring views up to date, and compare them with views that were made from nothing."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
from sqlalchemy import select

from memory_graph.database import Database
from memory_graph.edges import Kind
from memory_graph.graph import Shares
from memory_graph.store import reading
from memory_graph.tables import documents, passages
from memory_graph.text import order_key
from retrieval.content import PassageNames, canonical
from retrieval.refreshing import bring_up
from retrieval.view import View, compacted, empty_view
from tests.unit.factories import find_collection, wait_until


def fresh(database: Database, view: View | None = None, name: str = "memory") -> View:
    """Return ``view``, or a view made from nothing, at the database's present version."""
    return bring_up(database, name, find_collection(database, name).id, view or empty_view())


def passage_names(database: Database, name: str = "memory") -> PassageNames:
    """Return the natural key of each living passage: its document's id and its place there."""
    with database.read() as connection:
        return reading.passage_names(connection, find_collection(database, name).id)


def _orders(database: Database, name: str) -> dict[tuple[str, int], int]:
    """Return each living passage's order by natural key: it follows from the document, the text, and the twins."""
    query = (
        select(documents.c.key, passages.c.ordinal, passages.c.text_hash)
        .join(documents, documents.c.id == passages.c.document_id)
        .where(passages.c.collection_id == find_collection(database, name).id)
        .order_by(passages.c.ordinal)
    )
    orders, seen = {}, Counter[tuple[str, str]]()
    with database.read() as connection:
        for row in connection.execute(query):
            orders[row.key, row.ordinal] = order_key(row.key, row.text_hash, seen[row.key, row.text_hash])
            seen[row.key, row.text_hash] += 1
    return orders


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
    alive = np.setdiff1d(np.arange(len(view.facts.ids)), view.facts.dead)
    assert len(view.facts) == len(alive)
    assert not np.isin(view.facts.ends.rows[alive], graph.dead_phrases).any()


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
        (small.facts.to_arrays(), other.facts.to_arrays()),
        (small.synonyms.to_arrays(), other.synonyms.to_arrays()),
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
    assert all(len({key for key, _ in members}) == 1 for members in content["documents"])
    assert content["orders"] == _orders(database, name)


def wait_for_views() -> None:
    """Wait until no thread of a cache is at work behind the searches."""
    wait_until(lambda: not any(thread.name.startswith("views-") for thread in threading.enumerate()))
