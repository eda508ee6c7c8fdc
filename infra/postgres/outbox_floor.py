"""Where in the outbox anything may still be, so that what was published is not walked again.

What is removed leaves its entry in the index until a vacuum, which takes none while an old snapshot is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg

Fetch = Callable[..., Awaitable[list[asyncpg.Record]]]

# A sequence nobody used yet says 1 all the same.
LAST_PLACE = "select case when is_called then last_value else 0 end from outbox_seq_seq"
TRANSACTIONS = """
select pg_snapshot_xmin(now)::text::bigint as first_open, pg_snapshot_xmax(now)::text::bigint as next
from pg_current_snapshot() as now
"""
# One beyond the last place is of another database than these places are: of one this was restored from.
FLOORS = """
select coalesce(min(case when f.seq <= last_value then f.seq else 0 end), 0) as seq
from (
    select coalesce(seq, 0) as seq from unnest($1::int[]) as p left join outbox_floors on partition = p
) as f, outbox_seq_seq
"""
KEEP_FLOORS = """
insert into outbox_floors (partition, seq) select p, $2 from unnest($1::int[]) as p order by p
on conflict (partition) do update set seq = excluded.seq
"""


@dataclass(frozen=True, slots=True)
class _Mark:
    place: int
    transaction: int
    """All that may have taken a place up to this one have lower ids."""


class OutboxFloor:
    """Up to the place `at`, nothing is left of the partitions that are led.

    A place is taken before its row is committed, so rows below the newest may appear later. A place is
    passed only once every transaction that began before it was seen has ended; each that writes an
    event has its id before it takes a place, for it has changed or locked what the event is about.
    """

    def __init__(self, fetch: Fetch, look_seconds: float = 1.0) -> None:
        self.at = 0
        self.look_seconds = look_seconds
        self._fetch = fetch
        self._complete = 0
        self._mark: _Mark | None = None
        self._kept = 0
        self._looked_at = float("-inf")

    async def lead(self, taken: Sequence[int], *, more: bool) -> None:
        """These partitions are led from now on, besides `more`: begin where they were left."""
        (left,) = await self._fetch(FLOORS, list(taken))
        self.at = min(self.at, left["seq"]) if more else left["seq"]

    async def look(self, partitions: Sequence[int]) -> None:
        """At what has ended since; not at each call. What was passed is kept for the next to lead them."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < self.look_seconds:
            return
        self._looked_at = now
        ((last,),) = await self._fetch(LAST_PLACE)  # before the transactions are looked at, never after
        if last > self._complete:
            ((first_open, next_one),) = await self._fetch(TRANSACTIONS)
            if self._mark is not None and first_open >= self._mark.transaction:
                self._complete, self._mark = self._mark.place, None
            self._mark = self._mark or _Mark(last, next_one)
        if self.at > self._kept:
            await self._fetch(KEEP_FLOORS, list(partitions), self.at)
            self._kept = self.at

    def seen(self, first: int | None) -> None:
        """The first place that has anything, looked for after `look`; None when there is nothing."""
        passed = self._complete if first is None else min(self._complete, first - 1)
        self.at = max(self.at, passed)
