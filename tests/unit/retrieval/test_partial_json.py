from __future__ import annotations

import json

import pytest

from retrieval.partial_json import PartialString

TEXTS = ["", "plain", 'a "quote" \\ and / slash', "line\nbreak\ttab", "é 日本 😀", "\u2028 \x7f", "u0041 \\u0041"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_of_any_length_join_to_what_json_reads(text: str, ascii_only: bool, size: int) -> None:
    written = json.dumps({"answer": text, "other": 'x"}'}, ensure_ascii=ascii_only)
    reader = PartialString("answer")
    pieces = [reader.feed(written[start : start + size]) for start in range(0, len(written), size)]
    assert "".join(pieces) == text


def test_text_comes_as_soon_as_it_is_complete() -> None:
    reader = PartialString("answer")
    assert [reader.feed(piece) for piece in (' {"ans', 'wer" : "', "Od", "ile \\", "u00e", "9!", '", "x": "y"}')] == [
        "",
        "",
        "Od",
        "ile ",
        "",
        "é!",
        "",
    ]


@pytest.mark.parametrize("written", ["no json", '{"other": "x", "answer": "y"}', '{"answer": 5}', '["answer"]'])
def test_another_form_yields_nothing(written: str) -> None:
    assert PartialString("answer").feed(written) == ""


def test_a_broken_escape_yields_nothing_more() -> None:
    reader = PartialString("answer")
    assert reader.feed('{"answer": "a\\xb') == "a"
    assert reader.feed('c"}') == ""
