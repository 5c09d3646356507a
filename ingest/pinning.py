"""Connections that go to exactly those addresses that were checked, and that all end at one moment.

A name is looked up once; what the look-up gave is checked and then connected to, so that a name that changes its
address between the check and the connection gains nothing. Only the address is pinned: the Host header, TLS's server
name and the check of the certificate go by the name.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import httpcore

from ingest.networks import Network, is_permitted

log = logging.getLogger(__name__)

# From a name and a port to the addresses that it leads to; errors: OSError.
Resolver = Callable[[str, int], Sequence[str]]


class NotPublic(Exception):
    """A name leads to an address that documents are not fetched from."""


class Unresolved(Exception):
    """A name leads nowhere, or nobody said where to."""


class Deadline:
    """The moment at which all that belongs to one fetch ends."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, none or more."""
        return max(0.0, self._end - time.monotonic())

    def bound(self, timeout: float | None, error: type[Exception]) -> float:
        """Return the smaller one of a timeout and what is left. Errors: ``error`` where nothing is left."""
        left = self.left()
        if not left:
            raise error("the time for the whole is over")
        return left if timeout is None else min(timeout, left)


def look_up(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def resolve(host: str, port: int, resolver: Resolver, permitted: Iterable[Network], deadline: Deadline) -> list[str]:
    """Return the addresses of a host, all of them checked.

    One that is not permitted refuses the host: a name that leads both outside and inside is no mistake that the other
    address makes good. Errors: ``NotPublic``; ``Unresolved``; ``httpcore.ConnectTimeout``.
    """
    answers: SimpleQueue[Sequence[str] | OSError | UnicodeError] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolver(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    # A thread, because the system's look-up knows no timeout. One that is given up ends by itself.
    Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.bound(None, httpcore.ConnectTimeout))
    except Empty:
        raise httpcore.ConnectTimeout(f"nobody said where {host} is") from None
    if isinstance(answer, Exception) or not answer:
        raise Unresolved(host)
    refused = [address for address in answer if not is_permitted(address, permitted)]
    if refused:
        log.warning("%s leads to %s, which is not fetched from", host, ", ".join(refused))
        raise NotPublic(host)
    return list(answer)


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the given addresses, one after the other, whatever name is asked for."""

    def __init__(self, addresses: Sequence[str], deadline: Deadline) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses:
            try:
                patience = self._deadline.bound(timeout, httpcore.ConnectTimeout)
                return TimedStream(self._sockets.connect_tcp(address, port, patience), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise httpcore.UnsupportedProtocol("documents are not fetched from sockets of this machine")


class TimedStream(httpcore.NetworkStream):
    """A connection whose every operation ends with the whole: a server that sends a byte now and then gains no time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.bound(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.bound(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        patience = self._deadline.bound(timeout, httpcore.ConnectTimeout)
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, patience), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
