"""Each tenant's share of the connections: one with dear questions leaves some to the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from domain.errors import TenantBusy

log = logging.getLogger(__name__)


class ShareMetrics:
    """Of the databases of a process. Which tenant it was is in the log alone: there is no end of tenants."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waits = Counter(
            "carillon_sql_share_waits", "Work that waited for its tenant's other work.", registry=registry
        )
        self.refusals = Counter(
            "carillon_sql_share_refusals",
            "Work refused because its tenant's other work did not end in time.",
            registry=registry,
        )


@dataclass(slots=True)
class _Share:
    free: asyncio.Semaphore
    """It serves those who wait in the order in which they came."""
    users: int = 0
    """Who hold a connection, or wait for one."""
    told: bool = False
    """Logged, which is done once until nothing is under way."""


class Shares:
    """Of a pool of `size` connections a tenant may use half at once, and one in any case."""

    def __init__(self, size: int, metrics: ShareMetrics) -> None:
        self._most = max(1, size // 2)
        self._metrics = metrics
        self._used: dict[str, _Share] = {}
        """By tenant: of those that hold or wait for something."""
        self._holders: set[asyncio.Task[Any] | None] = set()

    def __len__(self) -> int:
        return len(self._used)

    @asynccontextmanager
    async def one(self, tenant: str, deadline: float) -> AsyncIterator[bool]:
        """Leave to use one connection; tells whether it was waited for.

        Raises TenantBusy when there is none before `deadline`, by the loop's time, and when who waited was late
        then. Raises RuntimeError in a task that holds one already: it might wait for itself.
        """
        task = asyncio.current_task()
        if task in self._holders:
            raise RuntimeError("work for a tenant within work for a tenant")
        share = self._used.get(tenant)
        if share is None:
            share = self._used[tenant] = _Share(asyncio.Semaphore(self._most))
        waits = share.free.locked()
        share.users += 1
        try:
            if waits:
                self._metrics.waits.inc()
                async with asyncio.timeout_at(deadline):
                    await share.free.acquire()
            else:
                await share.free.acquire()  # at once
            self._holders.add(task)
            try:
                yield waits
            finally:
                self._holders.discard(task)
                share.free.release()
        except TimeoutError as fault:
            self._note_refusal(share, tenant)
            raise TenantBusy from fault
        finally:
            share.users -= 1
            if not share.users:
                del self._used[tenant]

    def _note_refusal(self, share: _Share, tenant: str) -> None:
        self._metrics.refusals.inc()
        if not share.told:
            share.told = True
            log.warning("too much is under way for a tenant", extra={"tenant": tenant})
