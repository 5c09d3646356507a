"""Words and names as numbers, beside a plain reading of what they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory_graph.hashing import hash_keys, hash_words, names_of
from memory_graph.text import words

MASK = 2**64 - 1
TEXTS = st.text(max_size=40) | st.lists(st.text("ab 東é\U0001f30a", max_size=4), max_size=6).map(" ".join)


def fnv1a(word: bytes) -> int:
    value = 2166136261
    for byte in word:
        value = (value ^ byte) * 16777619 % 2**32
    return value


def name_of(hashed: list[int]) -> int:
    value = 0x9E3779B97F4A7C15
    for word in hashed:
        value = (value ^ word) * 0xBF58476D1CE4E5B9 & MASK
        value ^= value >> 29
    return value


def split(text: str) -> list[bytes]:
    return [word for word in text.encode("utf-8", "surrogatepass").split(b" ") if word]


@pytest.mark.parametrize(("word", "value"), [("a", 0xE40C292C), ("foobar", 0xBF9CF968), ("b", 0xE70C2DE5)])
def test_words_are_hashed_as_published(word: str, value: int) -> None:
    assert hash_keys([word])[0].tolist() == [value]


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=6))
@example(["", " ", "  a  b ", "\ud800", "\0 \0"])
@example(["a b c d e", "a"])
def test_words_and_names_are_those_of_a_plain_reading(texts: list[str]) -> None:
    hashed, ends = hash_keys(texts)
    expected = [[fnv1a(word) for word in split(text)] for text in texts]
    assert hashed.tolist() == [word for one in expected for word in one]
    assert ends.tolist() == np.cumsum([len(one) for one in expected]).astype(int).tolist()
    assert (hashed.dtype, ends.dtype) == (np.uint32, np.int64)
    assert names_of(hashed, ends).tolist() == [name_of(one) for one in expected]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_texts_are_normalised_first(text: str) -> None:
    assert hash_words(text).tolist() == [fnv1a(word.encode()) for word in words(text)]


def test_the_order_of_words_makes_another_name() -> None:
    names = names_of(*hash_keys(["new york", "york new", "newyork", "new york new", "york", "new new york"]))
    assert len(set(names.tolist())) == 6
    assert names_of(*hash_keys(["new york"])).tolist() == names[:1].tolist()
