"""Names in a question: the longest that the memory knows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from memory_graph.text import normalize
from retrieval.linking import MAX_NAME_WORDS, link_phrases

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
ROWS = {normalize(name): row for row, name in enumerate(KNOWN)}


def _link(question: str, rows: Mapping[str, int]) -> list[int]:
    return link_phrases(question, lambda keys: {key: rows[key] for key in keys if key in rows})


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
    ],
)
def test_names_are_found(question: str, found: list[str]) -> None:
    assert [KNOWN[row] for row in _link(question, ROWS)] == found


def test_a_name_has_at_most_so_many_words() -> None:
    longest = " ".join(f"w{number}" for number in range(MAX_NAME_WORDS))
    rows = {longest: 0, f"{longest} x": 1, "x": 2}
    assert _link(f"a {longest} b", rows) == [0]
    assert _link(f"a {longest} x b", rows) == [0, 2]


def test_nothing_known_finds_nothing() -> None:
    assert _link("Where is Ada Quill?", {}) == []


def test_a_very_long_question_is_read_to_its_end() -> None:
    assert _link("word " * 20_000 + "York", ROWS) == [KNOWN.index("York")]
