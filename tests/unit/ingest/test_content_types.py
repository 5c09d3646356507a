"""The format of what was fetched: by its type, and where that says nothing, by its name."""

from __future__ import annotations

import pytest

from ingest.content_types import choose_suffix, to_utf8
from memory_graph.errors import UnreadableDocument


@pytest.mark.parametrize(
    ("content_type", "file_name", "suffix"),
    [
        ("text/html; charset=utf-8", "", ".html"),
        ("text/html", "page.php", ".html"),
        ("text/html", "notes.md", ".html"),
        ("application/xhtml+xml", "a", ".html"),
        ("application/pdf", "download", ".pdf"),
        ("text/plain", "LICENSE", ".txt"),
        ("text/plain; charset=utf-8", "README.MD", ".md"),
        ("text/plain", "lines.jsonl", ".jsonl"),
        ("text/plain", "page.html", ".txt"),
        ("text/markdown", "x", ".md"),
        ("application/x-ndjson", "x", ".jsonl"),
        ("", "Report.PDF", ".pdf"),
        ("application/octet-stream", "a.docx", ".docx"),
        ("binary/octet-stream", "a.txt", ".txt"),
    ],
)
def test_the_type_says_the_format_and_else_the_name(content_type: str, file_name: str, suffix: str) -> None:
    assert choose_suffix("u", content_type, file_name) == suffix


@pytest.mark.parametrize(
    ("content_type", "file_name", "said"),
    [("image/png", "a.html", "image/png"), ("application/json", "a.jsonl", "application/json"), ("", "a.exe", "a.exe")],
)
def test_another_format_is_unsupported_and_named(content_type: str, file_name: str, said: str) -> None:
    with pytest.raises(UnreadableDocument) as refused:
        choose_suffix("u", content_type, file_name)
    assert refused.value.reason == "unsupported"
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        ("", "utf-8", "é"),
        ("; charset=UTF-8", "utf-8", "é"),
        ("; charset=ISO-8859-1", "latin-1", "é"),
        ('; charset="windows-1252"', "cp1252", "é"),
        ("; charset=Shift_JIS", "shift_jis", "テ"),
        (";charset=utf-16le", "utf-16-le", "é"),
    ],
)
def test_a_text_is_read_in_the_encoding_that_its_server_names(charset: str, encoding: str, text: str) -> None:
    found = to_utf8("u", text.encode(encoding), f"text/plain{charset.lower()}", ".txt")
    assert found.decode() == text


def test_latin_1_of_the_web_has_the_quotes_of_windows() -> None:
    assert to_utf8("u", b"\x93Tides\x94", "text/html; charset=iso-8859-1", ".html").decode() == "“Tides”"


@pytest.mark.parametrize("charset", ["rot13", "base64", "unicode_escape", "utf-7", "x-unknown", "idna"])
def test_an_encoding_that_is_none_is_refused(charset: str) -> None:
    with pytest.raises(UnreadableDocument, match=charset) as refused:
        to_utf8("u", b"x", f"text/plain; charset={charset}", ".txt")
    assert refused.value.reason == "encoding"


def test_a_text_that_is_not_in_its_encoding_is_refused() -> None:
    with pytest.raises(UnreadableDocument) as refused:
        to_utf8("u", b"\xff\xff", "text/plain; charset=euc-jp", ".txt")
    assert refused.value.reason == "encoding"


def test_only_texts_have_an_encoding() -> None:
    assert to_utf8("u", b"%PDF\xff", "application/pdf; charset=shift_jis", ".pdf") == b"%PDF\xff"
