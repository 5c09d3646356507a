"""What stands before and after a passage, in its document and in the documents of one episode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pytest

from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from memory_graph.store.neighbours import get_passage, read_neighbours
from memory_graph.store.reading import passage_names
from tests.unit.factories import commit_documents, learn_document, new_collection

MAY = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def collection_id(database: Database) -> int:
    """Three sessions of one chat, out of order, one note without a time, another chat, and a document of no episode."""
    cid = new_collection(database).id

    def told(key: str, *texts: str, **fields: Any) -> None:
        metadata = {"thread": 7, "tags": ["x"]} if fields.get("source") == "chat" else {}
        commit_documents(database, cid, learn_document(key, *texts, metadata=metadata, **fields))

    told("third", "e", "f", source="chat", occurred_at=MAY + timedelta(hours=1))
    told("other", "x", source="mail", occurred_at=MAY)
    # An hour later by the clock on the wall, at the same moment.
    same = MAY.astimezone(timezone(timedelta(hours=1)))
    told("second", "c", "d", source="chat", occurred_at=same)
    told("first", "a", "b", source="chat", occurred_at=MAY)
    told("empty", source="chat", occurred_at=MAY)
    told("undated", "g", source="chat")
    told("Undated too", "h", source="chat")
    told("alone", "y", "z")
    return cid


def beside(
    database: Database,
    cid: int,
    name: tuple[str, int],
    way: Literal["before", "after"],
    count: int = 50,
    episode: str | None = None,
) -> str:
    with database.read() as connection:
        (passage_id,) = (one for one, called in passage_names(connection, cid).items() if called == name)
        passage = get_passage(connection, cid, passage_id)
        assert passage is not None
        return "".join(one["text"] for one in read_neighbours(connection, passage, way, count, episode))


def test_neighbours_end_with_their_document(database: Database, collection_id: int) -> None:
    assert beside(database, collection_id, ("first", 0), "after") == "b"
    assert beside(database, collection_id, ("first", 1), "before") == "a"
    assert beside(database, collection_id, ("first", 1), "after") == ""


@pytest.mark.parametrize("episode", ["source", "thread"])
def test_an_episode_goes_on_in_the_order_of_time_then_of_ids(
    database: Database, collection_id: int, episode: str
) -> None:
    story = "abcdefhg"  # "Undated too" comes before "undated", as characters do
    names = [("first", 0), ("first", 1), ("second", 0), ("second", 1), ("third", 0), ("third", 1)]
    names += [("Undated too", 0), ("undated", 0)]
    for place, name in enumerate(names):
        after = beside(database, collection_id, name, "after", episode=episode)
        before = beside(database, collection_id, name, "before", episode=episode)
        assert (after, before) == (story[place + 1 :], story[:place][::-1]), name
    assert beside(database, collection_id, ("first", 1), "after", 2, episode) == "cd"


def test_a_document_without_the_label_is_an_episode_of_its_own(database: Database, collection_id: int) -> None:
    assert beside(database, collection_id, ("alone", 0), "after", episode="source") == "z"
    assert beside(database, collection_id, ("other", 0), "after", episode="thread") == ""


@pytest.mark.parametrize("episode", ["occurred_at", "tags"])
def test_what_makes_no_episode_is_named(database: Database, collection_id: int, episode: str) -> None:
    with pytest.raises(InvalidInput, match="episode"):
        beside(database, collection_id, ("first", 0), "after", episode=episode)


def test_a_passage_of_another_collection_is_not_found(database: Database, collection_id: int) -> None:
    other = new_collection(database, "other").id
    with database.read() as connection:
        some = next(iter(passage_names(connection, collection_id)))
        assert get_passage(connection, other, some) is None
