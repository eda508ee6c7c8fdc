"""The figures of a tenant's queues, read once for all who follow them in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from domain.errors import Unavailable
from domain.queues.model import Queue
from domain.queues.ports import Queues
from domain.queues.service import MAX_QUEUES

SPARED = 9
"""Reading rests so many times as long as it takes: for a tenth of the time a tenant's is under way at most."""
RETRY = 1.0
"""Seconds for which a reading that failed has failed for all."""


@dataclass(slots=True)
class _Reading:
    """The last one, of a tenant that somebody follows."""

    outcome: Sequence[Queue] | Unavailable = ()
    began: float = float("-inf")
    rests: float = 0.0
    """Seconds in which it is not read again, from when it began."""
    under_way: asyncio.Lock = field(default_factory=asyncio.Lock)
    followers: int = 0


class QueueReadings:
    """`now` is in seconds that never go back."""

    def __init__(self, queues: Queues, now: Callable[[], float] = time.monotonic) -> None:
        self._queues = queues
        self._now = now
        self._followed: dict[str, _Reading] = {}

    def __len__(self) -> int:
        """Tenants whose queues are followed."""
        return len(self._followed)

    @asynccontextmanager
    async def followed(self, tenant: str) -> AsyncIterator[QueuesFollowed]:
        reading = self._followed.setdefault(tenant, _Reading())
        reading.followers += 1
        try:
            yield QueuesFollowed(self._queues, tenant, reading, self._now)
        finally:
            reading.followers -= 1
            if not reading.followers:
                del self._followed[tenant]


class QueuesFollowed:
    def __init__(self, queues: Queues, tenant: str, reading: _Reading, now: Callable[[], float]) -> None:
        self._queues = queues
        self._tenant = tenant
        self._reading = reading
        self._now = now

    async def recent(self, seconds: float) -> Sequence[Queue]:
        """As they were that long ago at most, or longer when reading them is dear. Raises Unavailable."""
        reading = self._reading
        async with reading.under_way:
            failed = isinstance(reading.outcome, Unavailable)
            if self._now() - reading.began >= (RETRY if failed else max(seconds, reading.rests)):
                await self._read()
        if isinstance(reading.outcome, Unavailable):
            raise reading.outcome
        return reading.outcome

    async def _read(self) -> None:
        reading, began = self._reading, self._now()
        try:
            reading.outcome = await self._queues.all(self._tenant, MAX_QUEUES)
            reading.rests = (self._now() - began) * (1 + SPARED)
        except Unavailable as fault:
            reading.outcome = fault
        reading.began = began
