"""Addresses are read strictly, written in one way, and held against the list of hosts."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.web_addresses import (
    MAX_CHARS,
    follow_address,
    is_allowed,
    is_web_address,
    parse_host_rules,
    parse_web_address,
)
from memory_graph.errors import InvalidInput

WRITTEN = [
    ("HTTPS://Docs.Example.ORG/Page", "https://docs.example.org/Page"),
    ("http://example.org", "http://example.org/"),
    ("http://example.org.:80/a", "http://example.org/a"),
    ("https://example.org:443/a", "https://example.org/a"),
    ("https://example.org:80/a", "https://example.org:80/a"),
    ("http://example.org/a#part", "http://example.org/a"),
    ("http://example.org/a/../b/./c", "http://example.org/b/c"),
    ("http://example.org/a/%2e%2E/b/.", "http://example.org/b/"),
    ("http://example.org/../..", "http://example.org/"),
    ("http://example.org/%7eada/%c3%a9%2f", "http://example.org/~ada/%C3%A9%2F"),
    ("http://example.org/é?q=ö&r=%zz", "http://example.org/%C3%A9?q=%C3%B6&r=%25zz"),
    ("http://example.org?q=1", "http://example.org/?q=1"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ("http://BÜCHER.example./", "http://xn--bcher-kva.example/"),
    ("http://faß.de/", "http://xn--fa-hia.de/"),
    ("http://ｅxample。org/", "http://example.org/"),
    ("http://１２７.0.0.1/", "http://127.0.0.1/"),
    ("http://[::FFFF:127.0.0.1]:8080/", "http://[::ffff:7f00:1]:8080/"),
    ("http://[2606:4700:0:0::1111]/", "http://[2606:4700::1111]/"),
]


@pytest.mark.parametrize(("text", "written"), WRITTEN)
def test_an_address_is_written_in_one_way(text: str, written: str) -> None:
    assert str(parse_web_address(text)) == written
    assert str(parse_web_address(written)) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://example.org/", "does not begin with http"),
        ("https:/example.org/", "has no host"),
        ("https:///page", "has no host"),
        ("http://user@example.org/", "user name or password"),
        ("http://user:secret@example.org/", "user name or password"),
        ("http://allowed.example@evil.example/", "user name or password"),
        ("http://allowed.example\\@evil.example/", "no spaces, backslashes"),
        ("http://allowed.example\t.evil.example/", "no spaces, backslashes"),
        (" http://example.org/", "no spaces, backslashes"),
        ("http://example.org/a b", "no spaces, backslashes"),
        ("http://example.org/\ud800", "no spaces, backslashes"),
        ("http://allowed%2eexample/", "no name of a host"),
        ("http://a..b/", "no name of a host"),
        ("http://-a.example/", "no name of a host"),
        (f"http://{'a' * 64}.example/", "no name of a host"),
        (f"http://{'a.' * 127}example/", "no name of a host"),
        ("http://☃️☃️.a‍b/", "no name of a host"),
        ("http://127.1/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://0x7f.0.0.1/", "four decimal numbers"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.0.0.0x1/", "four decimal numbers"),
        ("http://1.2.3.4.5/", "four decimal numbers"),
        ("http://[::1/", "malformed"),
        ("http://[fe80::1%25eth0]/", "network interface"),
        ("http://example.org:0/", "port 0"),
        ("http://example.org:65536/", "malformed"),
        ("http://example.org:8o/", "malformed"),
        ("http://example.org/" + "a" * MAX_CHARS, "2,000 characters"),
        ("http://example.org/" + "é" * (MAX_CHARS // 2), "2,000 characters"),
    ],
)
def test_other_addresses_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        parse_web_address(text, "urls.3")
    assert refused.value.field == "urls.3"
    assert "secret" not in refused.value.message


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["http://", "https://", "a", "B.example", ".", "..", "/", "//", "?", "#", "%2e", "%", "[", "]", ":"]
        )
        | st.sampled_from(
            ["::1", "127.0.0.1", "0x7f", "80", "ß", "。", "@", "\\", "[::ffff:1.2.3.4]", "xn--", "&", "|"]
        )
        | st.characters(),
        max_size=12,
    ).map("".join)
)
def test_another_reader_sees_the_same_host_in_what_is_written(text: str) -> None:
    try:
        address = parse_web_address(f"http://{text}")
    except InvalidInput:
        return
    written = str(address)
    assert parse_web_address(written) == address
    for host, port in (
        (urlsplit(written).hostname, urlsplit(written).port),
        (httpx.URL(written).raw_host.decode(), httpx.URL(written).port),
    ):
        assert (host, port or 80) == (address.host, address.port)


@pytest.mark.parametrize(("path", "name"), [("a/b.html?c=d/e", "b.html"), ("a/", ""), ("a%2Fb%00.md", "a b .md")])
def test_the_file_name_is_the_last_part_of_the_path(path: str, name: str) -> None:
    assert parse_web_address(f"https://example.org/{path}").file_name == name


def test_a_host_of_a_link_goes_by_what_browsers_see() -> None:
    assert parse_web_address("http://evil.example#@allowed.example/").host == "evil.example"
    assert parse_web_address("http://evil.example?@allowed.example/").host == "evil.example"


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("/b", "https://example.org/b"),
        ("b?c", "https://example.org/x/b?c"),
        ("//other.example/", "https://other.example/"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        (" /b ", "https://example.org/b"),
    ],
)
def test_a_redirect_is_read_from_where_it_stands(location: str, address: str) -> None:
    assert str(follow_address(parse_web_address("https://example.org/x/y"), location)) == address


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://a@b/", "http://127.1/", "javascript:x"])
def test_a_redirect_to_no_address_is_refused(location: str) -> None:
    with pytest.raises(InvalidInput):
        follow_address(parse_web_address("https://example.org/"), location)


def test_what_begins_like_a_page_is_meant_as_one() -> None:
    assert is_web_address("HTTPS://example.org")
    assert is_web_address("http:example")
    assert not is_web_address("s3://bucket/http://x")
    assert not is_web_address("docs/http.html")


@pytest.mark.parametrize(
    ("rule", "address", "allowed"),
    [
        ("example.org", "https://example.org/", True),
        ("example.org", "http://EXAMPLE.org.:80/", True),
        ("example.org", "https://example.org:8443/", False),
        ("example.org", "https://docs.example.org/", False),
        ("example.org", "https://example.org.evil.example/", False),
        ("example.org", "https://evilexample.org/", False),
        ("example.org:8443", "https://example.org:8443/", True),
        ("example.org:8443", "https://example.org/", False),
        ("https://example.org", "https://example.org/", True),
        ("https://example.org", "http://example.org/", False),
        ("*.example.org", "https://docs.example.org/", True),
        ("*.example.org", "https://a.b.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org", "https://evilexample.org/", False),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("a.example, example.org", "https://example.org/", True),
        ("", "https://example.org/", False),
    ],
)
def test_an_entry_of_the_list_allows_what_it_says(rule: str, address: str, allowed: bool) -> None:
    assert is_allowed(parse_web_address(address), parse_host_rules(rule, "SETTING")) is allowed


@pytest.mark.parametrize(
    "rule",
    ["*", "*.", "ftp://example.org", "https://example.org/docs", "a.*.org", "*.1.2.3.4", "user@example.org", "a b"],
)
def test_a_list_that_says_something_else_is_refused(rule: str) -> None:
    with pytest.raises(InvalidInput, match="SETTING"):
        parse_host_rules(rule, "SETTING")
