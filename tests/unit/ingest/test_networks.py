"""Addresses that lead inside are told from public ones, however they are written."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest

from ingest.networks import is_permitted


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "11.0.0.1", "2606:4700::1111", "2a00::1"]
)
def test_public_addresses_are_permitted(address: str) -> None:
    assert is_permitted(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",  # a cloud's metadata
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",  # a cloud's metadata
        "169.254.169.254",  # most clouds' metadata
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",  # a cloud's metadata
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",  # IPv4-compatible
        "::ffff:127.0.0.1",  # IPv4-mapped
        "::ffff:1.1.1.1",
        "::ffff:0:1.1.1.1",  # IPv4-translated
        "64:ff9b::7f00:1",  # NAT64
        "64:ff9b::101:101",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",  # Teredo
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",  # 6to4
        "2002:101:101::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",  # a cloud's metadata
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1111%eth0",
        "fec0::1",
        "ff02::1",
        "localhost",
        "127.1",
        "",
    ],
)
def test_all_other_addresses_are_not(address: str) -> None:
    assert not is_permitted(address)


def test_a_network_may_be_permitted_and_no_other_with_it() -> None:
    permitted = (IPv4Network("127.0.0.0/30"), IPv6Network("fd00::/64"))
    assert is_permitted("127.0.0.1", permitted)
    assert is_permitted("fd00::7", permitted)
    assert not is_permitted("127.0.0.4", permitted)
    assert not is_permitted("::ffff:127.0.0.1", permitted)
    assert not is_permitted("10.0.0.1", permitted)
