"""Fire times for answers: computed a few at a time, so that all else gets its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from datetime import datetime
from time import perf_counter
from weakref import WeakValueDictionary

from domain.clock import Clock
from domain.schedules.model import Schedule
from domain.schedules.planning import next_fire_times
from domain.schedules.ports import Recurrences
from domain.schedules.recurrence import Recurrence

SLICE = 0.002
"""Seconds after which others have their turn. One fire time, which may take a few of this, is not divided."""


class Turns:
    """Of a process: computes one after the other, and for at most half of the time.

    In slices on the loop, not in a thread: a thread that computes takes the interpreter from the loop all the
    same, and is not stopped when the operation it computes for has ended.
    """

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self._of_tenants = WeakValueDictionary[str, asyncio.Lock]()
        """However many of a tenant's operations want one, they wait for the next turn as one."""

    async def taken(self, tenant: str, times: Iterator[datetime]) -> list[datetime]:
        """All of them. Raises what computing them does."""
        found: list[datetime] = []
        ended = False
        mine = self._of_tenants.setdefault(tenant, asyncio.Lock())
        while not ended:
            async with mine, self._free:
                began = perf_counter()
                try:
                    ended = _slice(times, found, began + SLICE)
                finally:  # what was refused took its time too
                    await asyncio.sleep(perf_counter() - began)
        return found


def _slice(times: Iterator[datetime], found: list[datetime], end: float) -> bool:
    """Whether all of them are found."""
    for each in times:
        found.append(each)
        if perf_counter() >= end:
            return False
    return True


class FireTimes:
    """For one operation, in which it is the same moment all along, and the same is computed once."""

    def __init__(self, tenant: str, recurrences: Recurrences, clock: Clock, turns: Turns) -> None:
        self._tenant = tenant
        self._recurrences = recurrences
        self._clock = clock
        self._turns = turns
        self._now: datetime | None = None
        self._free = asyncio.Lock()
        self._known: dict[Hashable, list[datetime]] = {}

    @property
    def now(self) -> datetime:
        if self._now is None:
            self._now = self._clock.now()
        return self._now

    async def of_schedule(self, schedule: Schedule, most: int) -> list[datetime]:
        """The next ones, in order; none while it is paused, and once it has ended."""
        times = next_fire_times(schedule, self._recurrences, self.now, most)
        return await self._once((schedule.id, schedule.version, most), times)

    async def of_recurrence(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime, most: int
    ) -> list[datetime]:
        """The first `most` later than `after`. Raises Invalid for what is none, or fires too seldom."""
        times = self._checked(recurrence, zone, anchor, after, most)
        return await self._once((recurrence, zone, anchor, after, most), times)

    def _checked(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime, most: int
    ) -> Iterator[datetime]:
        self._recurrences.check(recurrence, zone, anchor, after)
        yield from self._recurrences.fire_times(recurrence, zone, anchor, after, most)

    async def _once(self, asked: Hashable, times: Iterator[datetime]) -> list[datetime]:
        async with self._free:
            if asked not in self._known:
                self._known[asked] = await self._turns.taken(self._tenant, times)
        return self._known[asked]
