"""The outbox: each partition is led over one connection, which holds its advisory lock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from domain.live.outbox import Pending
from infra.live.event_reading import read_event
from infra.postgres.database import OUTAGES, Connection, Database, connection_settings, unavailable
from infra.postgres.outbox_floor import OutboxFloor

log = logging.getLogger(__name__)

PARTITIONS = 8
"""As the function outbox_partition has it."""

# The first half of the lock's key: which of our locks it is.
LOCK_SPACE = 0x0CA211

ACQUIRE = "select p from unnest($1::int[]) as p where pg_try_advisory_lock($2, p)"
OLDEST = """
with removed as (delete from outbox where seq = any($4))
select seq, event, event->>'type' as type from outbox
where partition = any($1) and seq > $2 and seq not in (select unnest($4::bigint[])) order by seq limit $3
"""  # outbox_pkey; what it removes it still sees itself
# No relay leads this partition: what cannot be read is kept there, and holds up nothing.
SET_ASIDE = "update outbox set partition = -1 where seq = any($1)"
REMOVE = "delete from outbox where seq = any($1)"
COUNTED = 100_000
DEPTH = f"""
select count(*) as depth, coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as age
from (
    select created_at from outbox
    where partition >= 0 and seq > (
        select min(coalesce(f.seq, 0)) from generate_series(0, $1 - 1) as p
        left join outbox_floors as f on f.partition = p
    )
    order by seq limit {COUNTED}
) as waiting
"""


class PostgresOutbox:
    """Implements domain.live.outbox.Outbox."""

    def __init__(self, url: str, database: Database, limit: float) -> None:
        self._url = url
        self._database = database
        self._limit = limit

    @asynccontextmanager
    async def lead(self) -> AsyncIterator[PostgresOutboxLead]:
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=self._limit,
                command_timeout=self._limit,
                server_settings=connection_settings(self._limit),
            )
        except (*OUTAGES, TimeoutError) as fault:
            raise unavailable(fault) from fault
        try:
            yield PostgresOutboxLead(connection)
        finally:
            try:
                await connection.close(timeout=self._limit)
            except (*OUTAGES, TimeoutError, asyncio.CancelledError):
                connection.terminate()

    async def depth(self) -> tuple[int, float]:
        async with self._database.work("outbox_depth") as connection:
            record = await connection.fetchrow(DEPTH, PARTITIONS)
        assert record is not None, "the statement always answers"
        return record["depth"], record["age"]


class PostgresOutboxLead:
    """Implements domain.live.outbox.OutboxLead."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._owned: set[int] = set()
        self.floor = OutboxFloor(self._fetch)

    async def acquire(self) -> int:
        # A session that takes a lock twice has it twice: only those not owned are asked for.
        wanted = [partition for partition in range(PARTITIONS) if partition not in self._owned]
        taken = await self._fetch(ACQUIRE, wanted, LOCK_SPACE) if wanted else []
        if taken:
            await self.floor.lead([record["p"] for record in taken], more=bool(self._owned))
        self._owned.update(record["p"] for record in taken)
        return len(self._owned)

    async def oldest(self, limit: int, confirmed: Sequence[int] = ()) -> list[Pending]:
        pending: list[Pending] = []
        unreadable: list[int] = []
        owned = sorted(self._owned)
        await self.floor.look(owned)
        records = await self._fetch(OLDEST, owned, self.floor.at, limit, list(confirmed))
        self.floor.seen(records[0]["seq"] if records else None)
        for record in records:
            try:
                event = read_event(record["event"], record["type"])
            except ValueError:
                unreadable.append(record["seq"])
            else:
                pending.append(Pending(record["seq"], event, record["event"]))
        if unreadable:
            log.error("events in the outbox cannot be read and are set aside", extra={"seqs": unreadable})
            await self._fetch(SET_ASIDE, unreadable)
        return pending

    async def remove(self, seqs: Sequence[int]) -> None:
        await self._fetch(REMOVE, list(seqs))

    async def _fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:  # noqa: ANN401  as bound
        try:
            return await self._connection.fetch(statement, *arguments)
        except (*OUTAGES, TimeoutError) as fault:
            raise unavailable(fault) from fault
