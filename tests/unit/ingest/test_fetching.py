"""What is fetched comes from an allowed host, at a checked address, of a bounded size, in a bounded time."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from typing import Any

import pytest
import trustme

from ingest.fetching import Fetched, FetchParams, FetchRefused, fetch
from ingest.web_addresses import parse_host_rules, parse_web_address
from tests.unit.ingest.web_server import Exchange, WebServer, running, say

HOST = "files.example"
LOOPBACK = (IPv4Network("127.0.0.1/32"),)
MB = 1 << 20


class Names:
    """Resolves names as a test says: each look-up takes the next answer, and the last one stays."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers) or [["127.0.0.1"]]
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture
def server() -> Iterator[WebServer]:
    with running(WebServer()) as started:
        yield started


def _fetch(server: WebServer, path: str = "/", *, max_bytes: int = MB, host: str = HOST, **params: Any) -> Fetched:
    given: dict[str, Any] = {"permitted": LOOPBACK, "resolver": Names(), "pause_s": 0.0} | params
    given.setdefault("hosts", parse_host_rules(f"{HOST}:{server.port}, *.{HOST}:{server.port}", "SETTING"))
    return fetch(parse_web_address(f"http://{host}:{server.port}{path}"), FetchParams(**given), max_bytes)


def _refusal(server: WebServer, path: str = "/", **params: Any) -> FetchRefused:
    with pytest.raises(FetchRefused) as refused:
        _fetch(server, path, **params)
    return refused.value


def test_a_document_is_fetched_with_its_type(server: WebServer) -> None:
    server.answer("/a%20b?c=d", say(b"<p>Tides", Content_Type="Text/HTML; charset=UTF-8"))
    found = _fetch(server, "/a%20b?c=d")
    assert (found.data, found.content_type) == (b"<p>Tides", "text/html; charset=utf-8")
    headers = server.requests[0].headers
    assert headers["host"] == f"{HOST}:{server.port}"
    assert not {"authorization", "cookie", "proxy-connection", "referer"} & set(headers)


def test_the_name_is_looked_up_once_and_the_host_header_is_the_name(server: WebServer) -> None:
    server.answer("/", say(b"x"))
    names = Names()
    _fetch(server, resolver=names)
    assert names.asked == [(HOST, server.port)]


def test_a_proxy_of_the_environment_is_not_asked(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    server.answer("/", say(b"x"))
    assert _fetch(server).data == b"x"


# Who may be connected to


def test_no_host_is_allowed_unless_it_is_listed(server: WebServer) -> None:
    names = Names()
    refused = _refusal(server, hosts=(), resolver=names)
    assert refused.reason == "not_allowed"
    assert "SHARPWAVE_URL_HOSTS" in refused.message
    assert "empty" in refused.message
    assert names.asked == []


def test_loopback_is_refused_by_default_also_for_an_allowed_host(server: WebServer) -> None:
    refused = _refusal(server, permitted=())
    assert refused.reason == "not_allowed"
    assert "127.0.0.1" not in refused.message  # what is inside is not told
    assert server.requests == []


def test_an_address_of_loopback_is_refused_though_it_is_listed(server: WebServer) -> None:
    hosts = parse_host_rules(f"127.0.0.1:{server.port}, [::1]:{server.port}", "SETTING")
    for host in ("127.0.0.1", "[::1]", "127.0.0.1."):
        refused = _refusal(server, host=host, hosts=hosts, permitted=(), resolver=FetchParams().resolver)
        assert refused.reason == "not_allowed"
    assert server.requests == []


def test_the_systems_resolver_is_checked_too(server: WebServer) -> None:
    hosts = parse_host_rules(f"localhost:{server.port}", "SETTING")
    refused = _refusal(server, host="localhost", hosts=hosts, permitted=(), resolver=FetchParams().resolver)
    assert (refused.reason, server.requests) == ("not_allowed", [])


@pytest.mark.parametrize("answer", [["8.8.8.8", "10.0.0.1"], ["127.0.0.1", "::1"], ["127.0.0.1", "::ffff:127.0.0.1"]])
def test_one_private_address_among_several_refuses_the_host(server: WebServer, answer: list[str]) -> None:
    server.answer("/", say(b"x"))
    refused = _refusal(server, resolver=Names(answer))
    assert (refused.reason, server.requests) == ("not_allowed", [])


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(server: WebServer) -> None:
    """The rebinding of names: the second answer would lead to another server, and is never asked for."""
    server.answer("/", say(b"checked"))
    with running(WebServer()) as inner:
        inner.answer("/", say(b"inside"))
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        assert _fetch(server, resolver=names).data == b"checked"
        assert len(names.asked) == 1
        assert inner.requests == []


def test_a_name_that_changes_its_address_before_a_redirect_is_checked_again(server: WebServer) -> None:
    server.answer("/", say(status=302, Location="/next"))
    server.answer("/next", say(b"x"))
    refused = _refusal(server, resolver=Names(["127.0.0.1"], ["127.0.0.2"]))
    assert refused.reason == "not_allowed"
    assert [one.path for one in server.requests] == ["/"]


def test_a_second_attempt_is_checked_again(server: WebServer) -> None:
    server.answer("/", say(status=503), say(b"x"))
    refused = _refusal(server, resolver=Names(["127.0.0.1"], ["10.0.0.1"]))
    assert (refused.reason, len(server.requests)) == ("not_allowed", 1)


def test_the_next_address_is_tried_where_nobody_listens_at_the_first(server: WebServer) -> None:
    server.answer("/", say(b"x"))
    permitted = (IPv4Network("127.0.0.0/8"),)
    assert _fetch(server, resolver=Names(["127.0.0.9", "127.0.0.1"]), permitted=permitted).data == b"x"


@pytest.mark.parametrize("answer", [[], socket.gaierror(socket.EAI_NONAME, "unknown")])
def test_a_name_that_leads_nowhere_is_unreachable(server: WebServer, answer: Any) -> None:
    assert _refusal(server, resolver=Names(answer)).reason == "unreachable"


def test_a_look_up_without_end_ends(server: WebServer) -> None:
    waiting = threading.Event()

    def ask(_host: str, _port: int) -> list[str]:
        waiting.wait()
        return ["127.0.0.1"]

    try:
        assert _refusal(server, resolver=ask, total_s=0.1).reason == "timeout"
    finally:
        waiting.set()


# Redirects


def test_redirects_are_followed_within_the_allowed_hosts(server: WebServer) -> None:
    server.answer("/", say(status=301, Location="a/"))
    server.answer("/a/", say(status=307, Location=f"http://docs.{HOST}:{server.port}/end.md"))
    server.answer("/end.md", say(b"# Tides", Content_Type="text/markdown"))
    found = _fetch(server)
    assert str(found.address) == f"http://docs.{HOST}:{server.port}/end.md"
    assert [one.headers["host"] for one in server.requests] == [f"{HOST}:{server.port}"] * 2 + [
        f"docs.{HOST}:{server.port}"
    ]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/inside",
        "http://localhost:{port}/inside",
        "http://[::ffff:127.0.0.1]:{port}/inside",
        "http://other.example:{port}/inside",
        "//other.example:{port}/inside",
        "http://files.example:1/inside",
        "http://files.example:{port}@other.example/inside",
        "http://127.1:{port}/inside",
        "file:///etc/passwd",
        "gopher://files.example:{port}/",
    ],
)
def test_a_redirect_to_elsewhere_is_refused(server: WebServer, location: str) -> None:
    server.answer("/", say(status=302, Location=location.format(port=server.port)))
    refused = _refusal(server)
    assert refused.reason == "not_allowed"
    assert [one.path for one in server.requests] == ["/"]


def test_a_redirect_to_loopback_is_refused_though_its_name_is_listed(server: WebServer) -> None:
    hosts = parse_host_rules(f"{HOST}:{server.port}, 127.0.0.9:{server.port}", "SETTING")
    server.answer("/", say(status=302, Location=f"http://127.0.0.9:{server.port}/inside"))
    refused = _refusal(server, hosts=hosts, resolver=lambda host, _: ["127.0.0.1" if host == HOST else host])
    assert (refused.reason, len(server.requests)) == ("not_allowed", 1)


def test_a_redirect_in_a_circle_ends(server: WebServer) -> None:
    server.answer("/", say(status=302, Location="/b"))
    server.answer("/b", say(status=302, Location="/"))
    refused = _refusal(server, redirects=4)
    assert (refused.reason, len(server.requests)) == ("redirects", 5)


def test_a_redirect_to_nowhere_is_named(server: WebServer) -> None:
    server.answer("/", say(status=302))
    assert _refusal(server).reason == "redirects"


# Sizes


def test_an_announced_size_over_the_limit_is_refused_before_it_is_read(server: WebServer) -> None:
    server.answer("/", lambda exchange: exchange.send(say(Content_Length="1001")))
    assert _refusal(server, max_bytes=1000).reason == "too_large"


def test_a_body_without_an_announced_size_is_counted_as_it_comes(server: WebServer) -> None:
    def pour(exchange: Exchange) -> None:
        exchange.send(say(Content_Length=""))
        while exchange.pause():
            exchange.send(b"x" * 600)

    server.answer("/", pour)
    assert _refusal(server, max_bytes=10_000).reason == "too_large"


def test_a_chunked_body_is_counted_as_it_comes(server: WebServer) -> None:
    def pour(exchange: Exchange) -> None:
        exchange.send(say(Content_Length="", Transfer_Encoding="chunked"))
        while exchange.pause():
            exchange.send(b"258\r\n" + b"x" * 600 + b"\r\n")

    server.answer("/", pour)
    assert _refusal(server, max_bytes=10_000).reason == "too_large"


def test_a_body_of_just_the_limit_is_taken(server: WebServer) -> None:
    server.answer("/", say(b"x" * 1000), say(gzip.compress(b"x" * 1000), Content_Encoding="gzip"))
    assert len(_fetch(server, max_bytes=1000).data) == 1000
    assert len(_fetch(server, max_bytes=1000).data) == 1000


def test_a_packed_body_is_unpacked(server: WebServer) -> None:
    body = b"".join(b"line %d\n" % n for n in range(50_000))
    server.answer("/", say(gzip.compress(body), Content_Encoding="GZip"))
    assert _fetch(server).data == body
    assert server.requests[0].headers["accept-encoding"] == "gzip, identity"


def test_an_empty_packed_body_is_empty(server: WebServer) -> None:
    server.answer("/", say(b"", Content_Encoding="gzip"))
    assert _fetch(server).data == b""


def test_a_bomb_is_refused_without_being_unpacked(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"\0" * (16 * MB), 1)
    assert len(packed) < 100_000
    server.answer("/", say(packed, Content_Encoding="gzip"))
    largest = 0

    class Watched:
        def __init__(self, *given: int) -> None:
            self._inner = real(*given)

        def decompress(self, data: bytes, most: int) -> bytes:
            nonlocal largest
            unpacked: bytes = self._inner.decompress(data, most)
            largest = max(largest, len(unpacked))
            return unpacked

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Watched)  # only watches: what it does is zlib's
    assert _refusal(server, max_bytes=MB).reason == "too_large"
    assert 0 < largest <= MB + 1


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_another_way_of_packing_is_refused(server: WebServer, coding: str) -> None:
    server.answer("/", say(b"x", Content_Encoding=coding))
    refused = _refusal(server)
    assert refused.reason == "unsupported"
    assert coding in refused.message


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"Tides" * 1000)[:-9], gzip.compress(b"Tides") + gzip.compress(b"Moon")],
    ids=["not packed", "cut short", "two members"],
)
def test_a_packed_body_that_is_broken_is_damaged(server: WebServer, body: bytes) -> None:
    server.answer("/", say(body, Content_Encoding="gzip"))
    assert _refusal(server).reason == "damaged"


@pytest.mark.parametrize(
    "answer",
    [
        say(b"too short", Content_Length="100"),
        say(b"x", Content_Length="1, 2"),
        say(b"x", Content_Length="-1"),
        say(b"5\r\nTid", Content_Length="", Transfer_Encoding="chunked"),
        say(b"zz\r\n", Content_Length="", Transfer_Encoding="chunked"),
        b"",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        say(b"x", **{f"X_{n}": "y" * 1000 for n in range(200)}),
    ],
    ids=[
        "short",
        "two lengths",
        "negative",
        "cut chunk",
        "bad chunk",
        "silence",
        "no HTTP",
        "bad header",
        "huge headers",
    ],
)
def test_a_server_that_does_not_keep_to_http_is_named(server: WebServer, answer: bytes) -> None:
    server.answer("/", answer)
    refused = _refusal(server)
    assert refused.reason == "damaged"
    assert refused.message.startswith(HOST)


def test_more_than_announced_is_not_read(server: WebServer) -> None:
    server.answer("/", say(b"Tides and more", Content_Length="5"))
    assert _fetch(server).data == b"Tides"


# Time


def _drip(exchange: Exchange, first: bytes) -> None:
    exchange.send(first)
    while exchange.pause():
        exchange.send(b"x")


@pytest.mark.parametrize(
    "first",
    [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", say(Content_Length="1000000"), say(Content_Length="")],
    ids=["nothing", "headers", "body", "body without length"],
)
def test_a_server_that_sends_a_byte_now_and_then_gains_no_time(server: WebServer, first: bytes) -> None:
    """Each byte comes in time; only the bound on the whole ends it."""
    server.answer("/", lambda exchange: _drip(exchange, first or b"H"))
    assert _refusal(server, total_s=0.3, read_s=30.0).reason == "timeout"


def _say_nothing(exchange: Exchange) -> None:
    while exchange.pause():
        pass


def test_a_server_that_says_nothing_is_given_up(server: WebServer) -> None:
    server.answer("/", _say_nothing)
    assert _refusal(server, read_s=0.1).reason == "timeout"
    assert _refusal(server, read_s=10_000.0, total_s=0.2).reason == "timeout"  # would wait past the test's own bound


def test_redirects_share_the_time(server: WebServer) -> None:
    def lead_on(exchange: Exchange) -> None:
        for _ in range(20):
            exchange.pause()
        exchange.send(say(status=302, Location="/"))

    server.answer("/", lead_on)
    assert _refusal(server, total_s=0.3, redirects=1000).reason == "timeout"


# Statuses and attempts


@pytest.mark.parametrize("status", [204, 206, 304, 401, 403, 404, 410, 500])
def test_any_other_status_is_named_and_not_tried_again(server: WebServer, status: int) -> None:
    server.answer("/", say(status=status, Content_Length="" if status in (204, 304) else "0"))
    assert (_refusal(server).reason, len(server.requests)) == (f"http_{status}", 1)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again(server: WebServer, status: int) -> None:
    server.answer("/", say(status=status), say(status=status), say(b"Tides"))
    assert _fetch(server).data == b"Tides"
    assert len(server.requests) == 3
    server.answer("/", say(status=status))
    assert (_refusal(server, attempts=2).reason, len(server.requests)) == (f"http_{status}", 5)


def test_a_broken_connection_is_tried_again(server: WebServer) -> None:
    server.answer("/", say(b"Ti", Content_Length="5"), b"", say(b"Tides"))
    assert _fetch(server).data == b"Tides"


def test_no_attempt_begins_that_the_time_is_too_short_for(server: WebServer) -> None:
    server.answer("/", say(status=503))
    assert (_refusal(server, pause_s=1000.0).reason, len(server.requests)) == ("http_503", 1)


def test_nobody_listens(server: WebServer) -> None:
    port = server.port
    server.server_close()
    hosts = parse_host_rules(f"{HOST}:{port}", "SETTING")
    refused = _refusal(server, hosts=hosts)
    assert refused.reason == "unreachable"
    assert "127.0.0.1" not in refused.message


# TLS


def _encrypted(authority: trustme.CA, name: str) -> WebServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return WebServer(context)


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def _fetch_encrypted(server: WebServer, authority: trustme.CA | None) -> Fetched:
    params = FetchParams(
        hosts=parse_host_rules(f"https://{HOST}:{server.port}", "SETTING"),
        permitted=LOOPBACK,
        resolver=Names(),
        pause_s=0.0,
        **({"tls": lambda: _trusting(authority)} if authority else {}),
    )
    return fetch(parse_web_address(f"https://{HOST}:{server.port}/"), params, MB)


def test_the_server_is_told_the_name_and_must_prove_it() -> None:
    authority = trustme.CA()
    names: list[str | None] = []
    with running(_encrypted(authority, HOST)) as server:
        assert server.tls is not None
        server.tls.sni_callback = lambda _socket, name, _context: names.append(name)
        server.answer("/", say(b"Tides"))
        assert _fetch_encrypted(server, authority).data == b"Tides"
    assert names == [HOST]


def test_a_certificate_of_the_pinned_address_or_of_another_name_proves_nothing() -> None:
    authority = trustme.CA()
    for name in ("127.0.0.1", "other.example"):
        with running(_encrypted(authority, name)) as server:
            with pytest.raises(FetchRefused) as refused:
                _fetch_encrypted(server, authority)
            assert (refused.value.reason, server.requests) == ("certificate", [])


def test_a_certificate_that_nobody_vouches_for_is_refused_by_default() -> None:
    with running(_encrypted(trustme.CA(), HOST)) as server:
        with pytest.raises(FetchRefused) as refused:
            _fetch_encrypted(server, None)
        assert (refused.value.reason, server.requests) == ("certificate", [])


def test_a_redirect_from_https_to_http_is_refused() -> None:
    authority = trustme.CA()
    with running(WebServer()) as plain, running(_encrypted(authority, HOST)) as server:
        server.answer("/", say(status=302, Location=f"http://{HOST}:{plain.port}/"))
        params = FetchParams(
            hosts=parse_host_rules(f"{HOST}:{server.port}, {HOST}:{plain.port}", "SETTING"),
            permitted=LOOPBACK,
            resolver=Names(),
            tls=lambda: _trusting(authority),
        )
        with pytest.raises(FetchRefused, match="from https to http") as refused:
            fetch(parse_web_address(f"https://{HOST}:{server.port}/"), params, MB)
        assert (refused.value.reason, plain.requests) == ("not_allowed", [])
