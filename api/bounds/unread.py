"""What was written to connections and not taken yet: bounded in sum, so that who does not read takes no memory
from the others."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from infra.telemetry.spells import Spell

log = logging.getLogger(__name__)

_TENANT = "tenant"
NOBODY = ""
"""Whom an answer is for that was not asked for by anybody we know."""


class Unread:
    """Of all connections of a process, `most` bytes.

    Beyond, the one is cut off that waits longest of the tenant for which most waits: those of others are left
    alone.
    """

    def __init__(self, most: int, registry: CollectorRegistry) -> None:
        self._most = most
        self._waiting: dict[asyncio.Transport, str] = {}
        """With their tenants, in the order in which they began to wait."""
        self._held: defaultdict[asyncio.Transport, int] = defaultdict(int)
        """Bytes that are to be written to them, of those of whom some are."""
        self._total = 0
        """At most: what is taken meanwhile is only seen when that is too much."""
        self._spell = Spell(
            log,
            begins="too much waits for clients to read it: connections of who does not are cut off",
            ended="what is sent is read again",
        )
        self._cut_off = Counter(
            "carillon_unread_cut_off",
            "Connections cut off as too much in all waited for their clients to read it",
            registry=registry,
        )
        waiting = Gauge(
            "carillon_unread_bytes",
            "What waits for clients to read it, of connections on which much does",
            registry=registry,
        )
        waiting.set_function(lambda: sum(self._sizes().values()))

    def wait(self, transport: asyncio.Transport, scope: Mapping[str, object] | None) -> None:
        """More was written to it than it takes at once, for whom the scope of its request names."""
        self._waiting[transport] = tenant_of(scope)
        self._grow(self._size(transport))

    @contextmanager
    def held(self, transport: asyncio.Transport, size: int) -> Iterator[None]:
        """So many bytes are written to it once it has taken what was written before."""
        self._held[transport] += size
        try:
            self._grow(size)
            yield
        finally:
            self._held[transport] -= size
            if not self._held[transport]:
                del self._held[transport]

    def taken(self, transport: asyncio.Transport) -> None:
        """Or gone."""
        if self._waiting.pop(transport, None) is not None and not self._waiting:
            self._total = 0

    def _grow(self, by: int) -> None:
        self._total += by
        if self._total > self._most:
            self._bound(self._sizes())

    def _bound(self, sizes: dict[asyncio.Transport, int]) -> None:
        of_tenants: defaultdict[str, int] = defaultdict(int)
        for transport, size in sizes.items():
            of_tenants[self._waiting[transport]] += size
        self._total = sum(sizes.values())
        while self._total > self._most:
            most = max(of_tenants, key=lambda tenant: of_tenants[tenant])
            longest = next(transport for transport in sizes if self._waiting[transport] == most)
            self._spell.goes_on(tenant=most, bytes=of_tenants[most])
            self._cut_off.inc()
            size = sizes.pop(longest)
            of_tenants[most] -= size
            self._total -= size
            del self._waiting[longest]
            longest.abort()

    def _sizes(self) -> dict[asyncio.Transport, int]:
        return {transport: self._size(transport) for transport in self._waiting}

    def _size(self, transport: asyncio.Transport) -> int:
        return transport.get_write_buffer_size() + self._held.get(transport, 0)


def note_tenant(scope: MutableMapping[str, Any], tenant: str) -> None:
    """Whom what is answered to this request, or sent over this socket, is for."""
    scope.setdefault("state", {})[_TENANT] = tenant


def tenant_of(scope: Mapping[str, object] | None) -> str:
    """Whom `note_tenant` has named, or NOBODY."""
    state = (scope or {}).get("state")
    return str(state.get(_TENANT, NOBODY)) if isinstance(state, dict) else NOBODY
