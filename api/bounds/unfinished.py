"""Messages of which peers have sent a part: bounded in sum, so that who ends none takes no memory from others.

The bodies of requests have a bound of their own (`api/bounds/arriving.py`), and a time in which to come.
"""

from __future__ import annotations

import asyncio
import collections
import logging

from prometheus_client import CollectorRegistry, Counter

from infra.telemetry.spells import Spell

log = logging.getLogger(__name__)

MOST = 64 * 1024 * 1024
"""Bytes of all sockets of a process."""
SMALL = 16 * 1024
"""Bytes of one message that are not counted."""


class Unfinished:
    """Beyond `most`, the socket is cut off that sent nothing for longest, of the tenant that has sent most."""

    def __init__(self, registry: CollectorRegistry, most: int = MOST) -> None:
        self._most = most
        self._parts: dict[asyncio.Transport, tuple[str, int]] = {}
        """In the order in which they grew last."""
        self._of_tenants: collections.Counter[str] = collections.Counter()
        self._spell = Spell(
            log,
            begins="too much was sent of messages that do not end: their sockets are cut off",
            ended="messages end again",
        )
        self._cut_off = Counter(
            "carillon_unfinished_cut_off",
            "Sockets cut off as too much in all was sent of messages that did not end",
            registry=registry,
        )

    def __len__(self) -> int:
        return len(self._parts)

    def becomes(self, transport: asyncio.Transport, tenant: str, size: int) -> None:
        """So many bytes of a message have come; 0 when it has ended, or its socket has."""
        if transport in self._parts:
            self._forget(transport)
        if size > SMALL:
            self._parts[transport] = tenant, size
            self._of_tenants[tenant] += size
            while self._of_tenants.total() > self._most:
                self._cut_one()

    def _cut_one(self) -> None:
        [(most, size)] = self._of_tenants.most_common(1)
        first = next(transport for transport, (tenant, _) in self._parts.items() if tenant == most)
        self._spell.goes_on(tenant=most, bytes=size)
        self._cut_off.inc()
        self._forget(first)
        first.abort()

    def _forget(self, transport: asyncio.Transport) -> None:
        tenant, size = self._parts.pop(transport)
        self._of_tenants[tenant] -= size
        if not self._of_tenants[tenant]:
            del self._of_tenants[tenant]
