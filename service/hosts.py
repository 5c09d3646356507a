"""Which names the service answers to: the guard against pages that reach it through a name of their own.

After DNS rebinding a page's requests carry the page's own name as ``Host``. An address cannot be rebound, so with a key
any address is taken; a name must be listed.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from memory_graph.errors import InvalidInput

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_RULE = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True, kw_only=True)
class AllowedHosts:
    """Names that requests may come to; ``rules`` are names, ``*.name`` for those below one, or ``*`` for all."""

    rules: tuple[str, ...] = ()

    def takes(self, host: str | None) -> bool:
        """Say whether a ``Host`` is this machine, an address, or a name that is listed."""
        return host is not None and (host in LOOPBACK_NAMES or self._lists(host) or _is_address(host))

    def takes_page(self, origin: str | None, host: str | None) -> bool:
        """Say whether a page of the host ``origin`` may ask the ``host``: its own, this machine's, or a listed one."""
        return origin is not None and (origin == host or origin in LOOPBACK_NAMES or self._lists(origin))

    def _lists(self, host: str) -> bool:
        return any(
            rule in ("*", host) or (rule.startswith("*.") and host.endswith(rule[1:]) and host != rule[1:])
            for rule in self.rules
        )


def parse_allowed_hosts(text: str, field: str) -> AllowedHosts:
    """Read a list with commas between names. Errors: ``InvalidInput`` naming ``field``."""
    rules = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for rule in rules:
        if _RULE.fullmatch(rule) is None:
            raise InvalidInput(
                field, f"{rule!r} is no name: write memory.example.org, *.example.org or *, without scheme and port"
            )
    return AllowedHosts(rules=rules)


def host_of(url: str) -> str | None:
    """Return the host of a URL in lower case, None where there is none or it cannot be read."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Say whether an address or ``localhost`` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
