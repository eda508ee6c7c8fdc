"""Turns at executing the events of subscriptions: some of each tenant at once, so that others have theirs.

A change to one task may be an event of thousands of subscriptions that nobody shares, all at the same moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MOST = 32
"""Events of a tenant that are executed at once: enough to have Redis asked for several together."""


@dataclass(slots=True)
class _Tenant:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST))
    """It serves those who wait in the order in which they came."""
    users: int = 0


class Turns:
    def __init__(self, waits: Callable[[], None]) -> None:
        """`waits` is told of each event that has to wait."""
        self._waits = waits
        self._tenants: dict[str, _Tenant] = {}
        """Of those of whom an event is executed."""

    def __len__(self) -> int:
        return len(self._tenants)

    @asynccontextmanager
    async def one(self, tenant: str) -> AsyncIterator[None]:
        turns = self._tenants.get(tenant)
        if turns is None:
            turns = self._tenants[tenant] = _Tenant()
        turns.users += 1
        try:
            if turns.free.locked():
                self._waits()
            async with turns.free:
                yield
        finally:
            turns.users -= 1
            if not turns.users:
                del self._tenants[tenant]
