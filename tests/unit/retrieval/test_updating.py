"""A search while a document is replaced finds the old or the new one, never both or neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from threading import Event, Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from memory_graph.database import Database
from memory_graph.errors import StoreBusy
from memory_graph.store.reading import document_passages, get_document
from retrieval import search
from retrieval.search import Searcher, SearchRequest
from retrieval.testing import HashEmbedder
from retrieval.view import View
from retrieval.views import ViewCache, ViewParams
from tests.unit.factories import EMBEDDER, SENTENCES, commit_documents, find_collection, learn_document, new_collection

QUESTION = SearchRequest(query="Which letter did Ada Quill write?")


@pytest.fixture
def replace_letter(database: Database) -> Callable[[], None]:
    """What puts the next letter in the place of the last one; the first is there."""
    new_collection(database)
    numbers = count()

    def write() -> None:
        letter = f"Ada Quill wrote letter {next(numbers)}."
        commit_documents(database, find_collection(database).id, learn_document("a", letter, *SENTENCES[:2]))

    write()
    return write


class Interrupted(HashEmbedder):
    """Does something else whenever it is asked for a vector, which is between looking at a view and reading hits."""

    def __init__(self, between: Callable[[], None]) -> None:
        super().__init__(16)
        self.between = between

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.between()
        return super().encode(texts)


def letters_of(texts: Sequence[str]) -> list[int]:
    return [int(text.split()[-1].rstrip(".")) for text in texts if "letter" in text]


@pytest.mark.parametrize("on_the_spot", [2000, 0])
def test_what_is_replaced_between_ranking_and_reading_is_found_anew(
    database: Database, replace_letter: Callable[[], None], on_the_spot: int
) -> None:
    """Where views are refreshed behind the searches too."""
    views = ViewCache(database, params=ViewParams(on_the_spot=on_the_spot))
    views.current("memory")
    searcher = Searcher(database, views, Interrupted(replace_letter))
    for _ in range(3):
        found = searcher.search("memory", QUESTION)
        assert len(found.hits) == 3
        assert len(letters_of([hit.text for hit in found.hits])) == 1
        assert found.stages[0].detail["again"]


def test_a_search_that_can_never_keep_up_says_so(
    database: Database, replace_letter: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Restless(ViewCache):
        """Makes a view old as soon as it is made."""

        def current(self, name: str, *, min_version: int = 0, patience_s: float = 10.0) -> tuple[int, View]:
            found = super().current(name, min_version=min_version, patience_s=patience_s)
            replace_letter()
            return found

    monkeypatch.setattr(search, "_TRIES", 3)
    with pytest.raises(StoreBusy, match="could not keep up"):
        Searcher(database, Restless(database), EMBEDDER).search("memory", QUESTION)


def test_readers_see_the_old_or_the_new_never_both_or_neither(
    database: Database, replace_letter: Callable[[], None]
) -> None:
    """One passage of a document is replaced again and again while others search and read."""
    cid = find_collection(database).id
    searcher = Searcher(database, ViewCache(database), EMBEDDER)
    ended, wrong, looks = Event(), list[str](), Counter[str]()

    def look() -> None:
        last = 0
        while not ended.is_set() or not looks["searched"]:
            texts = [hit.text for hit in searcher.search("memory", QUESTION).hits]
            letters = letters_of(texts)
            looks["searched"] += 1
            if len(letters) != 1 or len(texts) != 3 or letters[0] < last:
                wrong.append(f"a search found {texts} after letter {last}")
                return
            last = letters[0]
            with database.read() as connection:
                row = get_document(connection, cid, "a")
                texts = [one["text"] for one in document_passages(connection, row["id"])] if row else []
            if [("letter" in text) for text in texts] != [True, False, False]:
                wrong.append(f"the document read {texts}")
                return

    readers = [Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(50):
        replace_letter()
    ended.set()
    for reader in readers:
        reader.join(60)
    assert not wrong
    assert looks["searched"] >= 1
