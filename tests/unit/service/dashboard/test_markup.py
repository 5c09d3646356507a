"""The HTML of pages: texts from the memory are shown, never run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.dashboard.markup import badge, facts, link, moment, number, pager, table, url

MISCHIEF = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[x](javascript:alert(1))", "&lt;b&gt;")


@pytest.mark.parametrize("text", MISCHIEF)
def test_a_text_adds_no_tag_and_no_attribute(text: str) -> None:
    for html in (
        table(text, (text, "n#"), [(text, 1)]),
        table("t", ("a",), [], empty=text),
        facts({text: text}),
        badge(text),
        link(text, url("c", text, q=text), text),
    ):
        assert "<script" not in html
        assert "<img" not in html
        assert "onerror=alert(1)>" not in html


def test_an_address_keeps_any_id_in_one_part() -> None:
    assert url("c", "default", "documents", "/a b/ü?#.md") == "/admin/c/default/documents/%2Fa%20b%2F%C3%BC%3F%23.md"
    assert url("jobs", cursor=None, q="", state="a&b") == "/admin/jobs?state=a%26b"


def test_moments_are_told_in_utc_and_say_so() -> None:
    at = datetime(2026, 1, 31, 12, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert '<time datetime="2026-01-31T10:00:05+00:00">2026-01-31 10:00:05' in moment(at)
    assert "UTC" in moment(at.astimezone(UTC))
    assert "never" in moment(None)


def test_numbers_have_their_thousands_apart_and_their_unit() -> None:
    assert ">1,234,567 ms<" in number(1234567, "ms")
    assert ">0.5<" in number(0.5)
    assert "–" in number(None)


def test_a_column_of_numbers_is_set_to_the_right() -> None:
    html = table("t", ("name", "n#"), [("a", 1)])
    assert '<th scope="col">name</th><th scope="col" class="right">n</th>' in html
    assert '<td>a</td><td class="right">1</td>' in html


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        table("t", ("a", "b"), [("only",)])


def test_a_list_of_one_page_has_no_pager() -> None:
    assert pager(None, None) == ""
    assert "Next page" in pager("/admin/jobs?cursor=1", None)
