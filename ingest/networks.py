"""Which addresses of the network a document may be fetched from: public ones, and none that leads inside.

The lists are those of the IANA registries of special-purpose addresses. For IPv6 only what is handed out as global
unicast counts, without the ranges that carry an IPv4 address in them or are no host's: an address that embeds another
one would be checked as itself and travel as the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT; a cloud keeps its metadata here
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's metadata on an address that looks public
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
GLOBAL_IPV6 = IPv6Network("2000::/3")
REFUSED_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, with Teredo, which embeds IPv4 addresses
        "2001:db8::/32",
        "2002::/16",  # 6to4, the same
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Say whether an address is one host's on the public network, and embeds no other address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in REFUSED_IPV4)
    return address in GLOBAL_IPV6 and not any(address in network for network in REFUSED_IPV6)


def is_permitted(address: str, permitted: Iterable[Network] = ()) -> bool:
    """Say whether a document may be fetched from this address: public, or in one of the ``permitted`` networks."""
    try:
        one = ip_address(address)
    except ValueError:
        return False
    if isinstance(one, IPv6Address) and one.scope_id is not None:
        return False  # only an address of this very link has a scope
    return is_public(one) or any(one.version == network.version and one in network for network in permitted)
