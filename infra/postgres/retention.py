"""Removes what is older than is kept, a small part at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from domain.retention.ports import AttemptDays
from domain.tasks.states import TaskState
from infra.cache.ports import TaskVersion
from infra.cache.task_cache import DELETED
from infra.postgres.attempt_days import PostgresAttemptDays
from infra.postgres.changes import Changed
from infra.postgres.database import Connection, Database

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
FLOOR_SECONDS = 600.0
"""After so long a place is looked for from the beginning: rows that others held were passed over."""

# The condition is judged again under the row's lock: a task that runs again meanwhile stays.
PRUNE_TASKS = """
with old as materialized (
    select id from tasks
    where state = $1::task_state and finished_at >= $2 and finished_at < now() - $3::interval
    order by finished_at limit $4 for update skip locked
)
delete from tasks as t using old where t.id = old.id returning t.tenant, t.id, t.finished_at
"""  # tasks_ended

# Of several janitors one at a time, or they would wait for each other.
LEAD = "select pg_try_advisory_xact_lock(hashtext('carillon.prune_notifications'))"
STREAMS = 500
# Each stream's first notification is found at once: those before it are below pruned_seq.
OLD_STREAMS = """
select s.tenant, first.created_at < now() - $2::interval as old
from (select tenant, pruned_seq from notification_streams where tenant > $1 order by tenant limit $3) as s
left join lateral (
    select created_at from notifications as n where n.tenant = s.tenant and n.seq > s.pruned_seq
    order by n.seq limit 1
) as first on true
order by s.tenant
"""  # notification_streams_pkey, notifications_pkey
# From the first that is left up to, and without, the first that stays: never a gap.
OLD_PART = """
with first as materialized (
    select n.seq, n.created_at from notification_streams as s
    join notifications as n on n.tenant = s.tenant and n.seq > s.pruned_seq
    where s.tenant = $1 order by n.seq limit $3
)
select coalesce((select min(seq) - 1 from first where created_at >= now() - $2::interval),
    (select max(seq) from first))
"""  # notifications_pkey
# In the order of the stream, as those who mark them read lock them.
PRUNE_NOTIFICATIONS = """
with old as materialized (
    select n.seq from notification_streams as s
    join notifications as n on n.tenant = s.tenant and n.seq > s.pruned_seq and n.seq <= $2
    where s.tenant = $1 order by n.seq for update of n
), gone as (
    delete from notifications as n using old where n.tenant = $1 and n.seq = old.seq returning n.seq
), marked as (
    update notification_streams set pruned_seq = $2 where tenant = $1 and pruned_seq < $2
)
select count(*) from gone
"""

PRUNE_AUDIT_LOG = """
with old as materialized (
    select tenant, id from audit_log where at < now() - $1::interval
    order by at limit $2 for update skip locked
)
delete from audit_log as a using old where a.tenant = old.tenant and a.id = old.id
"""  # audit_log_at


class PostgresRetention:
    """Implements domain.retention.ports.Retention."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed
        self._days = PostgresAttemptDays(database)
        self._floors: dict[TaskState, _Floor] = {}

    async def prune_tasks(self, state: TaskState, older_than: timedelta, limit: int) -> int:
        floor = self._floor(state)
        async with self._database.work("prune_tasks") as connection:
            gone = await connection.fetch(PRUNE_TASKS, state.value, floor.at, older_than, limit)
        await self._changed([TaskVersion(record["tenant"], record["id"], DELETED) for record in gone])
        floor.at = max((record["finished_at"] for record in gone), default=floor.at)
        return len(gone)

    async def prune_notifications(self, older_than: timedelta, limit: int) -> int:
        removed, after = 0, ""
        while removed < limit:
            async with self._database.work("old_streams") as connection:
                streams = await connection.fetch(OLD_STREAMS, after, older_than, STREAMS)
            removed += await self._prune_streams(streams, older_than, limit - removed)
            if len(streams) < STREAMS:
                break
            after = streams[-1]["tenant"]
        return removed

    async def prune_audit_log(self, older_than: timedelta, limit: int) -> int:
        async with self._database.work("prune_audit_log") as connection:
            status = await connection.execute(PRUNE_AUDIT_LOG, older_than, limit)
        return int(status.removeprefix("DELETE "))

    async def prune_attempts(self, older_than: timedelta) -> AttemptDays:
        return await self._days.keep(older_than)

    async def _prune_streams(self, streams: list[asyncpg.Record], older_than: timedelta, limit: int) -> int:
        removed = 0
        for stream in streams:
            if stream["old"] and removed < limit:
                async with self._database.transaction("prune_notifications") as connection:
                    removed += await _prune_stream(connection, stream["tenant"], older_than, limit - removed)
        return removed

    def _floor(self, state: TaskState) -> _Floor:
        """Where to look from, so that what a long snapshot keeps of the pruned is not passed each time."""
        now = asyncio.get_running_loop().time()
        floor = self._floors.get(state)
        if floor is None or now - floor.since > FLOOR_SECONDS:
            floor = self._floors[state] = _Floor(now)
        return floor


class _Floor:
    def __init__(self, since: float) -> None:
        self.since = since
        self.at = LONG_AGO


async def _prune_stream(connection: Connection, tenant: str, older_than: timedelta, limit: int) -> int:
    if not await connection.fetchval(LEAD):
        return 0
    last: int | None = await connection.fetchval(OLD_PART, tenant, older_than, limit)
    if last is None:
        return 0
    removed: int = await connection.fetchval(PRUNE_NOTIFICATIONS, tenant, last)
    return removed
