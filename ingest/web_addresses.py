"""Addresses of web pages: read strictly, written in one way, and held against a list of allowed hosts.

An address is taken apart once, here; what is connected to, asked for and stored as an id is put together from these
parts and never parsed again, so that no two readers can see different hosts in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import idna

from memory_graph.errors import InvalidInput

PORTS = {"http": 80, "https": 443}
MAX_CHARS = 2_000

_UNWANTED = re.compile(r"[\x00-\x20\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
_NUMBER = re.compile(r"(?:\d+|0x[0-9a-f]*)$")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What may stand as it is in a path and in a query, beside letters and digits.
_PATH = "/%:@!$&'()*+,;=-._~"
_QUERY = _PATH + "?[]|"


@dataclass(frozen=True, kw_only=True)
class WebAddress:
    """An address in its one way of writing; ``host`` is ASCII, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int
    target: str  # path and query

    @property
    def authority(self) -> str:
        """The host as it stands in an address and in the Host header, with the port where it is not the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def file_name(self) -> str:
        """The last part of the path, unescaped, without what no file name holds; empty where it ends in a slash."""
        last = self.target.partition("?")[0].rpartition("/")[2]
        return re.sub(r"[\x00-\x1f\x7f-\x9f/\\]", " ", unquote_to_bytes(last).decode("utf-8", "replace")).strip()

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def is_web_address(text: str) -> bool:
    """Say whether a text is meant as the address of a web page."""
    return re.match(r"https?:", text.strip(), re.IGNORECASE) is not None


def parse_web_address(text: str, field: str = "url") -> WebAddress:
    """Read an address strictly and write it in one way.

    Lower-case scheme and host, international names in ASCII, no trailing dot, default port, fragment or dot segments,
    and escapes only where they are needed: addresses that mean the same are the same. Errors: ``InvalidInput``.
    """
    _check_length(text, field)
    if _UNWANTED.search(text):
        raise InvalidInput(field, "an address holds no spaces, backslashes or control characters; write them as %20")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidInput(field, f"{text[:200]!r} is no address: its host or port is malformed") from None
    if parts.scheme not in PORTS:
        raise InvalidInput(field, f"{text[:200]!r} does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise InvalidInput(field, "an address must not hold a user name or password")  # not repeated
    if not parts.netloc or not parts.hostname:
        raise InvalidInput(field, f"{text[:200]!r} has no host")
    if port == 0:
        raise InvalidInput(field, "port 0 is none")
    target = _write(_drop_dots(parts.path or "/"), _PATH)
    if parts.query:
        target += "?" + _write(parts.query, _QUERY)
    address = WebAddress(
        scheme=parts.scheme,
        host=_read_host(parts.hostname, parts.netloc.startswith("["), field),
        port=port or PORTS[parts.scheme],
        target=target,
    )
    _check_length(str(address), field)  # escapes make it longer
    return address


def follow_address(address: WebAddress, location: str) -> WebAddress:
    """Return where a redirect leads to. Errors: ``InvalidInput``."""
    return parse_web_address(urljoin(str(address), location.strip()), "redirect")


@dataclass(frozen=True, kw_only=True)
class HostRule:
    """One entry of the list of hosts: a name, or all names below it, by one scheme or both, on one port."""

    host: str
    below: bool
    scheme: str | None
    port: int | None

    def allows(self, address: WebAddress) -> bool:
        """Say whether an address is one of those that the entry stands for."""
        named = address.host.endswith(f".{self.host}") if self.below else address.host == self.host
        return (
            named
            and self.scheme in (None, address.scheme)
            and address.port == (self.port if self.port is not None else PORTS[address.scheme])
        )


def parse_host_rules(text: str, field: str) -> tuple[HostRule, ...]:
    """Read a list such as ``docs.example.org, https://*.example.net:8443``. Errors: ``InvalidInput``."""
    return tuple(_parse_rule(entry, field) for entry in (one.strip() for one in text.split(",")) if entry)


def is_allowed(address: WebAddress, rules: Iterable[HostRule]) -> bool:
    """Say whether one of the entries stands for the address."""
    return any(rule.allows(address) for rule in rules)


def _parse_rule(entry: str, field: str) -> HostRule:
    scheme, separator, rest = entry.rpartition("://")
    scheme = scheme.lower()
    below = rest.startswith("*.")
    rest = rest.removeprefix("*.")
    example = "must be hosts such as docs.example.org, *.example.org or https://example.org:8443"
    if (separator and scheme not in PORTS) or re.search(r"[*/?#]", rest):
        raise InvalidInput(field, f"{example}; {entry!r} is none")
    try:
        address = parse_web_address(f"{scheme or 'http'}://{rest}/", field)
    except InvalidInput:
        raise InvalidInput(field, f"{example}; {entry!r} is none") from None
    if below and (":" in address.host or _NUMBER.search(address.host.rpartition(".")[2])):
        raise InvalidInput(field, f"{entry!r}: there are no names below an address of numbers")
    given = re.search(r":(\d+)$", rest)
    return HostRule(host=address.host, below=below, scheme=scheme or None, port=int(given[1]) if given else None)


def _check_length(text: str, field: str) -> None:
    if len(text) > MAX_CHARS:
        raise InvalidInput(field, f"an address may have {MAX_CHARS:,} characters; this one has {len(text):,}")


def _read_host(host: str, bracketed: bool, field: str) -> str:
    """Return a host in its one way of writing: an address of numbers as such, a name in ASCII."""
    if bracketed:
        try:
            address = IPv6Address(host)
        except AddressValueError:
            raise InvalidInput(field, f"[{host[:100]}] is no IPv6 address") from None
        if address.scope_id is not None:
            raise InvalidInput(field, "an address must not name a network interface")
        return str(address)
    try:
        name = idna.encode(host, uts46=True).decode("ascii") if not host.isascii() else host.lower()
    except idna.IDNAError:
        raise InvalidInput(field, f"{host[:100]!r} is no name of a host") from None
    name = name.removesuffix(".")
    # Some resolvers read 127.1, 0x7f000001 or 2130706433 as addresses: what ends in a number is one in full, or none.
    if _NUMBER.match(name.rpartition(".")[2]):
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            raise InvalidInput(field, f"{host[:100]!r} is no IPv4 address of four decimal numbers") from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise InvalidInput(field, f"{host[:100]!r} is no name of a host")
    return name


def _drop_dots(path: str) -> str:
    """Resolve ``.`` and ``..`` (RFC 3986, 5.2.4), escaped ones too, as browsers do."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for n, segment in enumerate(segments):
        plain = re.sub("%2e", ".", segment, flags=re.IGNORECASE)
        if plain not in (".", ".."):
            kept.append(segment)
            continue
        if plain == ".." and kept:
            kept.pop()
        if n == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def _write(text: str, allowed: str) -> str:
    """Escape what must be escaped, and nothing else; escapes in capitals."""

    def write(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if character in _UNRESERVED else f"%{escape[1].upper()}"

    return _ESCAPE.sub(write, quote(_BROKEN_ESCAPE.sub("%25", text), safe=allowed))
