"""Names in a question: the longest that the memory knows, and those inside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from memory_graph.hashing import hash_keys, names_of
from memory_graph.text import MAX_NAME_WORDS, normalize
from retrieval.linking import LinkedQuestion, link_question
from retrieval.names import PhraseNames

KNOWN = [
    "New York",
    "New York City",
    "York",
    "City Hall",
    "Ada Quill",
    "Quill Street",
    "Straße",
    "東京",
    "Москва",
    "हिन्दी",
    "القاهرة",
    "O'Brien",
    "7",
]


def _link(question: str, known: Sequence[str] = KNOWN, dead: Sequence[int] = ()) -> LinkedQuestion:
    half = len(known) // 2  # some names have settled, some came later
    keys = [normalize(name) for name in known]
    names = PhraseNames.of(keys[:half]).extended(keys[half:])
    return link_question(question, names, np.array(dead, dtype=np.int64))


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Is New York City large?", ["New York City"]),
        ("Is New York large?", ["New York"]),
        ("From York to New York", ["York", "New York"]),
        ("New York City Hall", ["New York City"]),  # "City Hall" would lie across the name that is taken
        ("New new York", ["New York"]),
        ("Ada Quill Street", ["Ada Quill"]),
        ("ada QUILL met Ada Quill's sister in york; YORK!", ["Ada Quill", "York"]),
        ("Is it in STRASSE 7?", ["Straße", "7"]),
        ("москва и 東京", ["Москва", "東京"]),
        ("क्या हिन्दी कठिन है", ["हिन्दी"]),
        ("أين القاهرة؟", ["القاهرة"]),
        ("Who is O’Brien?", ["O'Brien"]),
        ("Yorkshire and Newyork", []),
        ("", []),
        ("?!", []),
        ("\ud800 York \udfff", ["York"]),
    ],
)
def test_names_are_found(question: str, found: list[str]) -> None:
    assert [KNOWN[row] for row in _link(question).phrases] == found


def test_every_place_of_a_name_is_told() -> None:
    linked = _link("York is near New York City; in York")
    assert linked.tokens == ["york", "is", "near", "new", "york", "city", "in", "york"]
    assert linked.spans == [(0, 1, 2), (3, 6, 1), (7, 8, 2)]
    assert linked.words.tolist() == hash_keys(linked.tokens)[0].tolist()


def test_names_inside_others_are_known_too() -> None:
    linked = _link("New York City Hall")
    assert linked.inside.tolist() == [0, 1, 2, 3]
    keys = ["new york", "new york city", "york", "city hall"]
    assert set(linked.hashes.tolist()) == set(names_of(*hash_keys(keys)).tolist())


def test_what_died_is_not_found_and_does_not_hide_what_it_holds() -> None:
    assert [KNOWN[row] for row in _link("New York City", dead=[1]).phrases] == ["New York"]
    assert [KNOWN[row] for row in _link("New York City Hall", dead=[0, 1, 2]).phrases] == ["City Hall"]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Is the Big Apple large?", ["New York City"]),
        ("BIG apple, or New York City?", ["New York City"]),
        ("the big apple street", ["New York City"]),
        ("Big Apple Pie and Ada Quill", ["7", "Ada Quill"]),  # the longest of merged names
        ("apple", []),
        ("York", ["York"]),  # lives: it is itself
        ("Gotham", []),  # what it became is not there any more
        ("Old York", ["7"]),  # longer than the name that lives inside it
    ],
)
def test_a_name_that_was_merged_away_stands_for_what_it_became(question: str, found: list[str]) -> None:
    aliases = {
        "big apple": "new york city",
        "big apple pie": "7",
        "york": "7",
        "gotham": "nowhere",
        "old york": "7",
    }
    names = PhraseNames.of([normalize(name) for name in KNOWN])
    linked = link_question(question, names, np.zeros(0, dtype=np.int64), aliases)
    assert [KNOWN[row] for row in linked.phrases] == found
    assert set(linked.phrases.tolist()) <= set(linked.inside.tolist())
    assert set(names_of(*hash_keys([normalize(name) for name in found])).tolist()) <= set(linked.hashes.tolist())


def test_long_names_are_found_whole() -> None:
    longest = " ".join(f"w{number}" for number in range(MAX_NAME_WORDS))
    known = [longest, f"{longest} x", "x"]
    assert _link(f"a {longest} b", known).phrases.tolist() == [0]
    assert _link(f"a {longest} x b", known).phrases.tolist() == [1]
    assert _link(f"a {longest} x b", known, dead=[1]).phrases.tolist() == [0, 2]


def test_nothing_known_finds_nothing() -> None:
    linked = _link("Where is Ada Quill?", [])
    assert (linked.spans, linked.phrases.tolist(), linked.inside.tolist()) == ([], [], [])


def test_a_very_long_question_is_read_to_its_end() -> None:
    assert _link("word " * 20_000 + "York").phrases.tolist() == [KNOWN.index("York")]
