"""Fetching one document from the web, from an allowed host and nowhere else.

Redirects are followed here, a few, and each is checked as the first address was. Sizes are counted as the bytes come,
unpacked ones too, and the whole must end in time. Whatever goes wrong is a ``FetchRefused`` with a stable reason.
"""

from __future__ import annotations

import logging
import random
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from ingest.networks import Network
from ingest.pinning import Deadline, NotPublic, PinnedBackend, Resolver, Unresolved, look_up, resolve
from ingest.web_addresses import HostRule, WebAddress, follow_address, is_allowed
from memory_graph.errors import InvalidInput

log = logging.getLogger(__name__)

REDIRECTS = (301, 302, 303, 307, 308)
# Overloaded, or between two restarts: these pass by themselves.
PASSING_STATUSES = (429, 502, 503, 504)
_GZIP = 16 + zlib.MAX_WBITS
_HEADERS = (
    (b"User-Agent", b"sharpwave"),
    (b"Accept", b"text/html, application/pdf, text/markdown, text/plain, */*;q=0.5"),
    (b"Accept-Encoding", b"gzip, identity"),
    (b"Connection", b"close"),
)


@dataclass(frozen=True, kw_only=True)
class FetchParams:
    """What may be fetched and how long it may take.

    ``total_s`` bounds all of one document: look-ups, redirects and attempts. ``permitted`` networks are fetched from
    though they are not public, and ``resolver`` looks names up: both are for tests, and no setting leads here.
    """

    hosts: tuple[HostRule, ...] = ()
    total_s: float = 60.0
    connect_s: float = 10.0
    read_s: float = 30.0
    redirects: int = 5
    attempts: int = 3
    pause_s: float = 1.0
    permitted: tuple[Network, ...] = ()
    resolver: Resolver = look_up
    tls: Callable[[], ssl.SSLContext] = httpx.create_ssl_context


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a server gave: the bytes, its Content-Type in lower case, and the address that it came from in the end."""

    data: bytes
    content_type: str
    address: WebAddress


class FetchRefused(Exception):
    """A document cannot be had: why, in a word and in a sentence; ``passing`` where another attempt may bring it."""

    def __init__(self, reason: str, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.passing = passing


def fetch(address: WebAddress, params: FetchParams, max_bytes: int) -> Fetched:
    """Fetch a document; tried again where what failed may pass by itself. Errors: ``FetchRefused``."""
    deadline = Deadline(params.total_s)
    for attempt in range(1, params.attempts + 1):
        try:
            return _fetch_once(address, params, max_bytes, deadline)
        except FetchRefused as error:
            pause = params.pause_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
            if not error.passing or attempt == params.attempts or pause >= deadline.left():
                raise
            log.info("%s: %s Trying again.", address.host, error.message)
            time.sleep(pause)
    raise ValueError("attempts must be at least 1")


def check_allowed(address: WebAddress, hosts: tuple[HostRule, ...]) -> None:
    """Refuse an address that is not on the list. Errors: ``FetchRefused``."""
    if not is_allowed(address, hosts):
        place, empty = f"{address.scheme}://{address.authority}", "" if hosts else ", which is empty"
        message = f"{place} is not on the list of allowed hosts (SHARPWAVE_URL_HOSTS){empty}."
        raise FetchRefused("not_allowed", message)


def _fetch_once(address: WebAddress, params: FetchParams, max_bytes: int, deadline: Deadline) -> Fetched:
    for _ in range(params.redirects + 1):
        check_allowed(address, params.hosts)
        with _named_failures(address), _get(address, params, deadline) as response:
            if response.status in REDIRECTS:
                address = _redirect(address, _header(response, b"location"))
                continue
            if response.status != 200:
                raise FetchRefused(
                    f"http_{response.status}",
                    f"the server answered with status {response.status}.",
                    passing=response.status in PASSING_STATUSES,
                )
            data = bytearray()  # not a list: a server may send byte by byte
            for piece in _read(response, max_bytes):
                data += piece
            return Fetched(
                data=bytes(data),
                content_type=_header(response, b"content-type").lower(),
                address=address,
            )
    raise FetchRefused("redirects", f"it was redirected more than {params.redirects} times.")


@contextmanager
def _get(address: WebAddress, params: FetchParams, deadline: Deadline) -> Iterator[httpcore.Response]:
    addresses = resolve(address.host, address.port, params.resolver, params.permitted, deadline)
    url = httpcore.URL(
        scheme=address.scheme.encode(),
        host=address.host.encode(),
        port=address.port,
        target=address.target.encode("ascii"),
    )
    timeouts = {"connect": params.connect_s, "read": params.read_s, "write": params.read_s, "pool": params.connect_s}
    pool = httpcore.ConnectionPool(
        ssl_context=params.tls() if address.scheme == "https" else None,
        network_backend=PinnedBackend(addresses, deadline),
        retries=0,
    )
    headers = [(b"Host", address.authority.encode()), *_HEADERS]
    with pool, pool.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as response:
        yield response


@contextmanager
def _named_failures(address: WebAddress) -> Iterator[None]:
    """Turn what the network raises into a reason; inner addresses and the like are not told."""
    host = address.host
    try:
        yield
    except NotPublic:
        message = f"{host} leads to an address that is not public; documents are not fetched from there."
        raise FetchRefused("not_allowed", message) from None
    except Unresolved:
        raise FetchRefused("unreachable", f"no address is known for {host}.", passing=True) from None
    except httpcore.TimeoutException as error:
        passing = isinstance(error, httpcore.ConnectTimeout)
        raise FetchRefused("timeout", f"{host} took too long (SHARPWAVE_URL_TIMEOUT_S).", passing=passing) from None
    except httpcore.ConnectError as error:
        # The connection pool strikes the cause; the context stays.
        if isinstance(error.__context__, ssl.SSLCertVerificationError):
            raise FetchRefused("certificate", f"the certificate of {host} does not prove that it is {host}.") from None
        raise FetchRefused("unreachable", f"{host} cannot be connected to.", passing=True) from None
    except httpcore.NetworkError:
        raise FetchRefused("unreachable", f"{host} broke the connection off.", passing=True) from None
    except httpcore.ProtocolError:
        # Shorter than announced, a header without end, or no HTTP at all.
        message = f"{host} did not keep to HTTP, or broke off before the document was complete."
        raise FetchRefused("damaged", message, passing=True) from None


def _redirect(address: WebAddress, location: str) -> WebAddress:
    if not location:
        raise FetchRefused("redirects", "it was redirected, but not said where to.")
    try:
        following = follow_address(address, location)
    except InvalidInput as error:
        raise FetchRefused("not_allowed", f"it leads on to what is no address: {error.message}.") from None
    if address.scheme == "https" and following.scheme == "http":
        raise FetchRefused("not_allowed", "it leads on from https to http, where anyone may change it on its way.")
    return following


def _header(response: httpcore.Response, name: bytes) -> str:
    return next((value.decode("utf-8", "replace") for key, value in response.headers if key.lower() == name), "")


def _read(response: httpcore.Response, limit: int) -> Iterator[bytes]:
    """Yield the body, unpacked; never holds more than ``limit`` bytes and one piece of it."""
    announced = _header(response, b"content-length")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)
    coding = _header(response, b"content-encoding").strip().lower()
    if coding in ("", "identity"):
        pieces: Iterator[bytes] = response.iter_stream()
    elif coding in ("gzip", "x-gzip"):
        pieces = _unpack(response.iter_stream(), limit)
    else:
        raise FetchRefused("unsupported", f"it came packed as {coding[:40]!r}, which nobody asked for.")
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        yield piece


def _unpack(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Unpack gzip, never more than the limit at once: a small piece may hold gigabytes of zeros."""
    unpacker = zlib.decompressobj(_GZIP)
    begun = False
    for piece in pieces:
        begun = True
        while piece:
            try:
                unpacked = b"" if unpacker.eof else unpacker.decompress(piece, limit + 1)
            except zlib.error:
                raise FetchRefused("damaged", "it came packed as gzip, and cannot be unpacked.") from None
            if unpacker.unused_data:
                raise FetchRefused("damaged", "it came packed as gzip, and something follows its end.")
            if unpacked:
                yield unpacked
            piece = unpacker.unconsumed_tail
    if begun and not unpacker.eof:
        raise FetchRefused("damaged", "it came packed as gzip, and broke off.", passing=True)


def _too_large(limit: int) -> FetchRefused:
    return FetchRefused("too_large", f"it has more than {limit / 2**20:,.0f} MB (SHARPWAVE_MAX_FILE_MB).")
