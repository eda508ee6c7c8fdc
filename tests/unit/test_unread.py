"""Whose connections are cut off when too much in all is not read, and whose are not."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry
from typing_extensions import override

from api.bounds.unread import Unread, note_tenant

MOST = 100


class Peer(asyncio.Transport):
    """Takes what is written to it when it is told to."""

    def __init__(self, unread: Unread, tenant: str | None, size: int) -> None:
        super().__init__()
        self.size = size
        self.cut_off = False
        scope: dict[str, Any] = {}
        if tenant is not None:
            note_tenant(scope, tenant)
        unread.wait(self, scope)

    @override
    def get_write_buffer_size(self) -> int:
        return self.size

    @override
    def abort(self) -> None:
        self.cut_off = True


def unread() -> tuple[Unread, CollectorRegistry]:
    registry = CollectorRegistry()
    return Unread(MOST, registry), registry


async def test_the_one_that_waits_longest_of_the_tenant_with_most_is_cut_off() -> None:
    of, registry = unread()
    quiet = Peer(of, "quiet", 40)
    loud = [Peer(of, "loud", 30) for _ in range(3)]
    assert [peer.cut_off for peer in (quiet, *loud)] == [False, True, False, False]
    again = Peer(of, "quiet", 10)
    assert [peer.cut_off for peer in (quiet, *loud, again)] == [False, True, True, False, False]
    assert registry.get_sample_value("carillon_unread_cut_off_total") == 2
    assert registry.get_sample_value("carillon_unread_bytes") == 80


async def test_what_was_read_meanwhile_does_not_count() -> None:
    of, registry = unread()
    first, gone = Peer(of, "a", 60), Peer(of, "a", 40)
    first.size = 20
    of.taken(gone)
    peers = [Peer(of, "a", 40), Peer(of, "b", 40)]
    assert not any(peer.cut_off for peer in (first, gone, *peers))
    assert registry.get_sample_value("carillon_unread_bytes") == MOST


async def test_what_is_to_be_written_counts_as_long_as_it_waits() -> None:
    of, registry = unread()
    peer, other = Peer(of, "a", 30), Peer(of, "b", 30)
    with of.held(peer, 20), of.held(peer, 10):
        assert registry.get_sample_value("carillon_unread_bytes") == 90
    with of.held(peer, 30):
        assert not peer.cut_off
        with of.held(peer, 20):
            assert peer.cut_off
    assert not other.cut_off
    assert registry.get_sample_value("carillon_unread_bytes") == 30


async def test_one_answer_larger_than_all_there_may_be_goes_with_its_connection() -> None:
    of, registry = unread()
    others = Peer(of, None, 10)
    assert Peer(of, "a", MOST + 1).cut_off
    assert not others.cut_off
    assert registry.get_sample_value("carillon_unread_bytes") == 10
