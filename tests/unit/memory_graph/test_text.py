"""Names are equal where a reader would call them equal, whatever the script."""

from __future__ import annotations

import unicodedata

import pytest

from memory_graph.text import hash_text, is_linkable, normalize, title_name, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσεύς".replace("ύ", "υ")),
        ("ﬁnal oﬀer", "FINAL OFFER"),
        ("Café", unicodedata.normalize("NFD", "café")),
        ("ＮＡＳＡ", "nasa"),
        ("New\u00a0York\n City", "new york city"),
        ("O'Brien", "o’brien"),
        ("Jean-Luc", "JEAN LUC"),
        ("№5", "no5"),
        ("가나", unicodedata.normalize("NFD", "가나")),
    ],
)
def test_spellings_of_one_name_get_one_key(one: str, other: str) -> None:
    assert normalize(one) == normalize(other) != ""


def test_a_final_sigma_is_a_sigma() -> None:
    assert normalize("Σωκράτης") == normalize("ΣΩΚΡΆΤΗΣ") == "σωκράτησ"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("السَّلامُ عليكم", ["السَّلامُ", "عليكم"]),
        ("ภาษาไทย", ["ภาษาไทย"]),
        ("東京タワー、日本", ["東京タワー", "日本"]),
        ("x86-64 (v2)", ["x86", "64", "v2"]),
        ("", []),
        ("– … !", []),
    ],
)
def test_marks_stay_in_their_words(text: str, expected: list[str]) -> None:
    assert words(text) == [unicodedata.normalize("NFKC", word) for word in expected]


def test_different_names_keep_different_keys() -> None:
    names = ["Bonn", "Born", "Müller", "Muller", "हिन्दी", "हिन्द", "C1", "C 1", "resume", "résumé"]
    assert len({normalize(name) for name in names}) == len(names)


def test_normalizing_twice_changes_nothing() -> None:
    for code in range(0, 0x30000, 7):
        if not 0xD800 <= code < 0xE000:
            once = normalize(f"a{chr(code)}b")
            assert normalize(once) == once, hex(code)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Mercury (planet)", "Mercury"),
        ("Mercury (planet) ", "Mercury"),
        ("Mercury (planet) orbit", "Mercury (planet) orbit"),
        ("(untitled)", "(untitled)"),
        ("  Bell  ", "Bell"),
        ("f (g (h))", "f (g (h))"),
        ("", ""),
    ],
)
def test_a_title_loses_only_the_parenthesis_at_its_end(title: str, name: str) -> None:
    assert title_name(title) == name


def test_a_hash_tells_where_one_part_ends() -> None:
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), (), ("",), ("", "")]
    assert len({hash_text(*some) for some in parts}) == len(parts)


def test_a_hash_is_32_hex_digits_and_always_the_same() -> None:
    assert hash_text("Fennay") == hash_text("Fennay")
    assert len(hash_text("Fennay")) == 32
    assert set(hash_text("\ud800")) <= set("0123456789abcdef")


@pytest.mark.parametrize("key", ["ibm", "u2 3", "東京", "김구", "नमस्", "x1y"])
def test_longer_names_can_have_synonyms(key: str) -> None:
    assert is_linkable(key)


@pytest.mark.parametrize("key", ["", "uk", "7", "a b", "王", "é"])
def test_short_names_have_no_synonyms(key: str) -> None:
    assert not is_linkable(key)
