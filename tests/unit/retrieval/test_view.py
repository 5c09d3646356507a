"""A view that advances step by step equals one built from scratch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from memory_graph.database import Database
from memory_graph.hashing import hash_words
from memory_graph.types import Extraction, Mention
from retrieval.view import View, compacted, empty_view
from tests.unit.factories import (
    commit_documents,
    content_of,
    forget_document,
    learn_document,
    new_collection,
    random_history,
    replay,
)
from tests.unit.views import assert_same_view, assert_up_to_date, canonical, check_shape, fresh, passage_names


@pytest.fixture
def cid(database: Database) -> int:
    return new_collection(database).id


@pytest.mark.parametrize("seed", range(2))
def test_advancing_equals_building_from_scratch(database: Database, cid: int, seed: int) -> None:
    every_step = now_and_then = small = empty_view()
    for number, step in enumerate(random_history(seed)):
        replay(database, cid, step)
        every_step, small = fresh(database, every_step), compacted(fresh(database, small))
        assert_up_to_date(every_step, database)
        assert_up_to_date(small, database)
        if number % 5 == 4:  # several commits at once
            now_and_then = fresh(database, now_and_then)
            assert_up_to_date(now_and_then, database)


def test_the_view_holds_what_the_rows_say(database: Database, cid: int) -> None:
    commit_documents(
        database, cid, learn_document("a", "Ada Quill saw Ada Quill. Ada Quill likes Bram Oster.", "Bram Oster slept.")
    )
    found = canonical(fresh(database), passage_names(database))
    content = content_of(database)
    assert sorted(found["vectors"].values()) == sorted(content["embeddings"].values())
    assert found["phrases"] == content["phrases"] == ["ada quill", "bram oster"]
    assert found["mentions"] == {key: count for key, (_, count) in content["mentions"].items()}
    assert found["mentions"][("a", 0), "ada quill"] == 3
    assert found["relations"] == {(("a", 0), "ada quill", "bram oster"): 1}


def test_several_facts_of_one_passage_are_counted(database: Database, cid: int) -> None:
    first, second = "Ada Quill likes Bram Oster. Bram Oster likes Ada Quill.", "Ada Quill likes Bram Oster."
    commit_documents(database, cid, learn_document("a", first, second), learn_document("b", second))
    relations = canonical(fresh(database), passage_names(database))["relations"]
    assert relations == {
        (("a", 0), "ada quill", "bram oster"): 1,
        (("a", 0), "bram oster", "ada quill"): 1,
        (("a", 1), "ada quill", "bram oster"): 1,
        (("b", 0), "ada quill", "bram oster"): 1,
    }


def test_the_old_view_does_not_change(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    old, names = fresh(database), passage_names(database)
    before = canonical(old, names)
    forget_document(database, cid, "a")
    commit_documents(database, cid, learn_document("c", "Cora Finch."))
    new = fresh(database, old)
    assert canonical(old, names) == before
    assert canonical(new, passage_names(database)) != before
    assert (old.version, new.version) == (1, 3)
    assert (old.n_passages, new.n_passages) == (2, 2)


def test_two_views_may_go_on_from_one(database: Database, cid: int) -> None:
    """As when a saved view is brought up while searches advance the one in use."""
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    first = fresh(database)
    commit_documents(database, cid, learn_document("b", "Bram Oster."))
    common = fresh(database, first)
    commit_documents(database, cid, learn_document("c", "Cora Finch likes Ada Quill."))
    here, names = fresh(database, common), passage_names(database)
    content = canonical(here, names)
    forget_document(database, cid, "b")
    commit_documents(database, cid, learn_document("d", "Dunmore.", "Ada Quill saw Dunmore."))
    there = fresh(database, common)
    assert_up_to_date(there, database)
    assert canonical(here, names) == content
    assert_up_to_date(fresh(database, here), database)
    assert (common.n_passages, here.n_passages, there.n_passages) == (2, 3, 4)


def test_a_view_without_change_in_its_vectors_keeps_its_index(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    view = fresh(database)
    commit_documents(database, cid, learn_document("no passages"))
    advanced = fresh(database, view)
    assert advanced.version == 2
    assert advanced.index is view.index
    assert fresh(database, advanced) is advanced


def test_everything_can_be_forgotten_and_learned_again(database: Database, cid: int) -> None:
    view = empty_view()
    for version in (1, 3, 5):
        commit_documents(database, cid, learn_document("a", "Ada Quill."))
        view = fresh(database, view)
        assert (view.version, view.n_passages, view.n_phrases) == (version, 1, 1)
        assert_up_to_date(view, database)
        forget_document(database, cid, "a")
        view = fresh(database, view)
        assert (view.n_passages, view.n_phrases, view.graph.total_count) == (0, 0, 0)
        assert view.index.search(np.ones(16, dtype=np.float32), 3)[0].tolist() == []
        assert_up_to_date(view, database)
        if version == 3:
            view = compacted(view)
            assert (len(view.passages), len(view.phrases)) == (0, 0)


def test_a_document_without_passages_before_the_first_with_some(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("empty"))
    view = fresh(database)
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    forget_document(database, cid, "empty")
    assert_up_to_date(fresh(database, view), database)


def test_what_came_and_went_between_two_views_leaves_nothing(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    view = fresh(database)
    commit_documents(database, cid, learn_document("b", "Ada Quill likes Bram Oster."))
    forget_document(database, cid, "b")
    later = fresh(database, view)
    assert (len(later.passages), len(later.phrases), later.version) == (1, 1, 3)
    assert_up_to_date(later, database)


def test_a_phrase_that_died_and_came_again_has_a_new_row(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    view = fresh(database)
    for round_ in range(3):
        forget_document(database, cid, "a")
        view = fresh(database, view)
        assert view.names.find(["ada quill"], view.graph.dead_phrases) == {}
        commit_documents(database, cid, learn_document("a", "Ada Quill."))
        view = fresh(database, view)
        assert view.names.find(["ada quill"], view.graph.dead_phrases) == {"ada quill": 2 + round_}
    assert_up_to_date(view, database)


def test_views_rest_on_what_they_advanced_from_alone(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    first = fresh(database)
    commit_documents(database, cid, learn_document("b", "Bram Oster."))
    second = fresh(database, first)
    assert second.rests_on(first)
    assert first.rests_on(first)
    assert not first.rests_on(second)
    assert not compacted(second).rests_on(second)
    assert not fresh(database).rests_on(first)


def test_an_empty_view_is_ready() -> None:
    view = empty_view()
    assert (view.version, view.token, view.n_passages, view.n_phrases, len(view.index)) == (0, "", 0, 0, 0)
    assert sum(view.nbytes.values()) < 1000
    check_shape(view)
    assert_same_view(compacted(view), view)


def test_the_parts_of_a_view_are_measured(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill likes Bram Oster."))
    first = fresh(database).nbytes
    assert set(first) == {"vectors", "tail", "segments", "graph", "names", "words", "facts", "synonyms", "ids"}
    assert first["vectors"] + first["tail"] == 2 * 16
    commit_documents(database, cid, learn_document("b", *(f"Cora Finch {number}." for number in range(50))))
    later = fresh(database).nbytes
    assert all(later[part] > first[part] for part in ("tail", "graph", "names", "ids"))


def _mentions(view: View, database: Database) -> dict[tuple[tuple[str, int], str], int]:
    return canonical(view, passage_names(database))["mentions"]


@pytest.mark.parametrize("merge", [False, True], ids=["later", "settled"])
def test_a_new_name_is_linked_to_older_passages_that_hold_it(database: Database, cid: int, merge: bool) -> None:
    """Nothing told at the time that "lake orrin" was a name; now every passage where it stands leads there."""
    commit_documents(database, cid, learn_document("a", "the lake orrin froze, and lake orrin thawed", "orrin lake"))
    view = fresh(database)
    view = compacted(view) if merge else fresh(database, view)
    commit_documents(database, cid, learn_document("b", "a lake; orrin is a word"))
    view = fresh(database, view)
    assert _mentions(view, database) == {}
    commit_documents(database, cid, learn_document("c", "It rained on Lake Orrin."))
    older, view = view, fresh(database, view)
    found = _mentions(view, database)
    # Words are compared and not signs: "a lake; orrin" holds the name too.
    assert {key: count for key, count in found.items() if key[1] == "lake orrin"} == {
        (("a", 0), "lake orrin"): 2,
        (("b", 0), "lake orrin"): 1,
        (("c", 0), "lake orrin"): 1,
    }
    assert not older.graph.total_count
    assert_up_to_date(view, database)


@pytest.mark.parametrize("merge", [False, True], ids=["later", "settled"])
def test_a_forgotten_name_takes_its_edges_back(database: Database, cid: int, merge: bool) -> None:
    commit_documents(database, cid, learn_document("a", "lake orrin froze"), learn_document("b", "Bram Oster rowed."))
    view = fresh(database)
    commit_documents(database, cid, learn_document("c", "Lake Orrin and Bram Oster"))
    view = fresh(database, view)
    view = compacted(view) if merge else view
    assert (("a", 0), "lake orrin") in _mentions(view, database)
    forget_document(database, cid, "c")
    view = fresh(database, view)
    assert _mentions(view, database) == {(("b", 0), "bram oster"): 1}
    assert view.n_phrases == 1
    assert_up_to_date(view, database)
    commit_documents(database, cid, learn_document("d", "Lake Orrin again"))
    view = fresh(database, view)
    assert (("a", 0), "lake orrin") in _mentions(view, database)
    assert_up_to_date(view, database)


def test_names_inside_names_are_linked(database: Database, cid: int) -> None:
    """Learning a longer name does not take a passage away from the shorter one, nor does forgetting it."""
    commit_documents(
        database, cid, learn_document("a", "York was old."), learn_document("b", "to New York City by sea")
    )
    view = fresh(database)
    commit_documents(database, cid, learn_document("c", "New York, not York, is meant."))
    view = fresh(database, view)
    of_b = {name: count for ((key, _), name), count in _mentions(view, database).items() if key == "b"}
    assert of_b == {"new york city": 1, "new york": 1, "york": 1}
    of_c = {name: count for ((key, _), name), count in _mentions(view, database).items() if key == "c"}
    assert of_c == {"new york": 1, "york": 2}
    forget_document(database, cid, "b")
    commit_documents(database, cid, learn_document("e", "new york city"))
    view = fresh(database, view)
    of_e = {name: count for ((key, _), name), count in _mentions(view, database).items() if key == "e"}
    assert of_e == {"new york": 1, "york": 1}
    assert_up_to_date(view, database)


def test_what_the_extractor_counted_stands_where_it_is_more(database: Database, cid: int) -> None:
    """It may know a name under other words than those of the passage."""
    learned = learn_document("a", "Ada Quill. ada quill!")
    more = learn_document("b", "she waved, and Ada Quill laughed")
    said = Extraction(mentions=(Mention("Ada Quill", 3), Mention("Bram Oster", 2)), triples=())
    more.passages[0] = replace(more.passages[0], extraction=said)
    commit_documents(database, cid, learned, more)
    found = _mentions(fresh(database), database)
    assert found == {
        (("a", 0), "ada quill"): 2,
        (("b", 0), "ada quill"): 3,
        (("b", 0), "bram oster"): 2,
    }


def test_titles_count_among_the_words_of_their_passages(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "she was born there", title="Ada Quill (painter)"))
    commit_documents(database, cid, learn_document("b", "Ada Quill waved."))
    view = fresh(database)
    assert (("a", 0), "ada quill") in _mentions(view, database)
    assert canonical(view, passage_names(database))["titles"] == {
        ("a", 0): hash_words("Ada Quill").tolist(),
        ("b", 0): [],
    }
