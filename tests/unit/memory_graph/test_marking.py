"""Marks in texts: places in the text as it is written, whatever it is written in, and never one over another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_graph.marking import Mark, Named, mark
from memory_graph.text import normalize, words

FACT = Named(id=7, subject_id=1, predicate="was carved by", object_id=2)


def seen(text: str, names: dict[int, list[str]], *facts: Named) -> list[tuple[str, int | None, tuple[int, ...]]]:
    return [(text[one.start : one.end], one.phrase_id, one.fact_ids) for one in mark(text, names, facts)]


def test_names_are_marked_wherever_they_stand() -> None:
    text = "Quill met Oster; then OSTER left Quill's house."
    assert seen(text, {1: ["Quill"], 2: ["Oster"]}) == [
        ("Quill", 1, ()),
        ("Oster", 2, ()),
        ("OSTER", 2, ()),
        ("Quill", 1, ()),
    ]


def test_of_overlapping_names_the_first_and_longest_is_marked() -> None:
    names = {1: ["New York"], 2: ["New York City"], 3: ["City Hall"], 4: ["York"]}
    assert seen("In New York City Hall stands.", names) == [("New York City", 2, ())]
    assert seen("York, New York.", names) == [("York", 4, ()), ("New York", 1, ())]


def test_a_fact_is_marked_at_its_ends_and_where_it_is_told() -> None:
    text = "The Petrel was named late. Its figurehead was carved by Ada Quill."
    found = seen(text, {1: ["figurehead"], 2: ["Ada Quill"]}, FACT)
    assert found == [("figurehead", 1, (7,)), ("was carved by", None, (7,)), ("Ada Quill", 2, (7,))]


def test_a_relation_is_marked_where_it_is_nearest_to_both_ends() -> None:
    text = "A was carved by B. " * 2 + "Later X was carved by Y, and B was carved by A."
    fact = Named(id=1, subject_id=1, predicate="was carved by", object_id=2)
    marks = [one for one in mark(text, {1: ["X"], 2: ["Y"]}, [fact]) if one.phrase_id is None]
    assert [one.start for one in marks] == [text.index("was carved by Y")]


def test_an_end_within_a_longer_name_is_lit_with_it() -> None:
    fact = Named(id=3, subject_id=1, predicate="founded", object_id=2)
    found = seen("Ada founded York Minster.", {1: ["Ada"], 2: ["York"], 9: ["York Minster"]}, fact)
    assert found == [("Ada", 1, (3,)), ("founded", None, (3,)), ("York Minster", 9, (3,))]


def test_a_relation_within_a_name_or_told_in_other_words_is_not_marked() -> None:
    fact = Named(id=3, subject_id=1, predicate="likes", object_id=2)
    assert seen("Ada Likes It Hot, says Bram.", {1: ["Ada Likes It Hot"], 2: ["Bram"]}, fact) == [
        ("Ada Likes It Hot", 1, (3,)),
        ("Bram", 2, (3,)),
    ]
    assert seen("Ada is fond of Bram.", {1: ["Ada"], 2: ["Bram"]}, fact) == [("Ada", 1, (3,)), ("Bram", 2, (3,))]
    assert seen("Ada likes it.", {1: ["Ada"]}, fact) == [("Ada", 1, (3,))]


def test_two_facts_told_in_the_same_words_share_a_mark() -> None:
    facts = [Named(id=n, subject_id=1, predicate="likes", object_id=n) for n in (2, 3)]
    found = seen("Ada likes Bram and Cora.", {1: ["Ada"], 2: ["Bram"], 3: ["Cora"]}, *facts)
    assert ("likes", None, (2, 3)) in found


@pytest.mark.parametrize(
    ("text", "name", "marked"),
    [
        ("Die STRASSE hier", "Straße", "STRASSE"),
        ("Die Straße hier", "STRASSE", "Straße"),
        ("Im Café nebenan", "CAFÉ", "Café"),
        ("the ﬁrst one", "first", "ﬁrst"),
        ("Ｑｕｉｌｌ came", "quill", "Ｑｕｉｌｌ"),
        ("a ㈱ b Quill", "quill", "Quill"),
        ("½ Quill", "quill", "Quill"),
        ("İİİ Quill", "quill", "Quill"),
        ("ﷺ Quill", "quill", "Quill"),
        ("हिन्दी में", "हिन्दी", "हिन्दी"),
        ("그 한국 사람", "한국", "한국"),
        ("👩‍👩‍👧 Quill", "quill", "Quill"),
        ("<b>Quill</b>", "quill", "Quill"),
        ('"&lt;Quill&gt;', "quill", "Quill"),
    ],
)
def test_places_are_those_of_the_text_as_it_is(text: str, name: str, marked: str) -> None:
    assert seen(text, {1: [name]}) == [(marked, 1, ())]


def test_names_without_a_word_and_empty_texts_have_no_marks() -> None:
    assert mark("", {1: ["Quill"]}) == []
    assert mark("Quill", {1: ["", "!?"]}) == []
    assert mark("!? -", {1: ["Quill"]}) == []


TEXTS = st.text(st.one_of(st.sampled_from("ab A. \n<"), st.characters(codec="utf-8")), max_size=60)


@given(TEXTS, st.lists(TEXTS, max_size=5), st.lists(st.tuples(st.integers(0, 4), TEXTS, st.integers(0, 4)), max_size=3))
def test_marks_are_in_order_and_within_the_text(text: str, names: list[str], facts: list[tuple[int, str, int]]) -> None:
    stated = [Named(id=n, subject_id=s, predicate=p, object_id=o) for n, (s, p, o) in enumerate(facts)]
    marks = mark(text, {n: [name] for n, name in enumerate(names)}, stated)
    ends = [0, *(place for one in marks for place in (one.start, one.end))]
    assert ends == sorted(ends)
    assert all(one.start < one.end <= len(text) for one in marks)


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Z")), max_size=30))
def test_a_text_that_is_a_name_is_marked_as_a_whole(text: str) -> None:
    key = normalize(text)
    marks = mark(text, {1: [text]})
    if not key:
        assert marks == []
        return
    assert marks
    assert isinstance(marks[0], Mark)
    assert normalize(text[marks[0].start : marks[-1].end]) == key
    assert words(text[marks[0].start : marks[0].end])
