"""The figures of a tenant's queues, read once for all who follow them in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from domain.errors import Unavailable
from domain.queues.model import Queue
from domain.queues.ports import Queues
from domain.queues.service import MAX_QUEUES

SPARED = 9
"""Reading rests so many times as long as it takes: for a tenth of the time a tenant's is under way at most."""
RETRY = 1.0
"""Seconds for which a reading that failed has failed for all."""


class QueueReadings:
    """`now` is in seconds that never go back."""

    def __init__(self, queues: Queues, now: Callable[[], float] = time.monotonic) -> None:
        self._queues = queues
        self._now = now
        self._followed: dict[str, QueuesFollowed] = {}

    def __len__(self) -> int:
        """Tenants whose queues are followed."""
        return len(self._followed)

    @asynccontextmanager
    async def followed(self, tenant: str) -> AsyncIterator[QueuesFollowed]:
        if tenant not in self._followed:
            self._followed[tenant] = QueuesFollowed(self._queues, tenant, self._now)
        queues = self._followed[tenant]
        queues.followers += 1
        try:
            yield queues
        finally:
            queues.followers -= 1
            if not queues.followers:
                del self._followed[tenant]


class QueuesFollowed:
    """Those of one tenant, as they were last read for anyone who follows them."""

    def __init__(self, queues: Queues, tenant: str, now: Callable[[], float]) -> None:
        self.followers = 0
        self._queues = queues
        self._tenant = tenant
        self._now = now
        self._outcome: Sequence[Queue] | Unavailable = ()
        self._began = float("-inf")
        self._rests = 0.0
        """Seconds in which they are not read again, from when it began."""
        self._reading = asyncio.Lock()

    async def recent(self, seconds: float) -> Sequence[Queue]:
        """As they were that long ago at most, or longer when reading them is dear. Raises Unavailable."""
        async with self._reading:
            failed = isinstance(self._outcome, Unavailable)
            if self._now() - self._began >= (RETRY if failed else max(seconds, self._rests)):
                await self._read()
        if isinstance(self._outcome, Unavailable):
            raise self._outcome
        return self._outcome

    async def _read(self) -> None:
        began = self._now()
        try:
            self._outcome = await self._queues.all(self._tenant, MAX_QUEUES)
            self._rests = (self._now() - began) * (1 + SPARED)
        except Unavailable as fault:
            self._outcome = fault
        self._began = began
