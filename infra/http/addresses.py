"""Tells which addresses a webhook may be sent to: public ones, and those of networks that were allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `is_global` alone would do harm: it changed between patch releases of Python, and calls public the
# NAT64, 6to4 and IPv4-compatible forms of 127.0.0.1, and multicast.
DENIED_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches the machine itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata of Alibaba Cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # the platform's own address inside every machine of Azure
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and the metadata of Oracle Cloud
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved and broadcast
    )
)

PUBLIC_6 = IPv6Network("2000::/3")
"""The only part of IPv6 from which public addresses are given; all else is denied."""
DENIED_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
"""How an IPv6-only network reaches IPv4: as public as the IPv4 address inside."""
ISATAP = 0x0000_5EFE
"""Before the IPv4 address in an interface identifier, but for its bit `u` (RFC 5214, 6.1)."""
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
TRANSLATED = IPv6Network("::ffff:0:0:0/96")

GUARDED: tuple[Network, ...] = (
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fe80::/10"),
    IPv4Network("100.100.100.200/32"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.0.0.192/32"),
    IPv6Network("fd00:ec2::254/128"),
    IPv6Network("fd20:ce::254/128"),
)
"""Link-local addresses, and metadata services that hand out a machine's credentials: a wider network that was
allowed does not open them, only one that lies inside."""


def permitted(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Whether a webhook may be sent to `address`, in every way a network may understand it."""
    return all(_permitted(face, allowed) for face in _faces(address))


def within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether `address`, in every way a network may understand it, was allowed by one of `networks`."""
    return all(_allowed(face, networks) for face in _faces(address))


def _permitted(address: Address, allowed: Sequence[Network]) -> bool:
    return _public(address) or _allowed(address, allowed)


def _public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in DENIED_4)
    if address in NAT64:
        return True  # its IPv4 face decides
    return (
        address in PUBLIC_6
        and address.is_global
        and address.scope_id is None
        and not any(address in network for network in DENIED_6)
    )


def _allowed(address: Address, networks: Sequence[Network]) -> bool:
    guards = [guard for guard in GUARDED if address in guard]
    return any(address in network and all(_inside(network, guard) for guard in guards) for network in networks)


def _inside(network: Network, guard: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(guard, IPv4Network) and network.subnet_of(guard)
    return isinstance(guard, IPv6Network) and network.subnet_of(guard)


def _faces(address: Address) -> Iterator[Address]:
    """The address, and each IPv4 address that IPv6 hides in it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:  # not a face but the same: the kernel dials IPv4
        yield address.ipv4_mapped
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in NAT64 or address in TRANSLATED or address in LOCAL_NAT64:
        yield low
    if address in LOCAL_NAT64:  # RFC 6052: after a prefix of 48 bits, around a byte of zeros
        yield IPv4Address((int(address) >> 64 & 0xFFFF) << 16 | int(address) >> 40 & 0xFFFF)
    if int(address) >> 32 == 0 and int(address) > 1:  # IPv4-compatible
        yield low
    if (int(address) >> 32) & 0xFDFF_FFFF == ISATAP:
        yield low
