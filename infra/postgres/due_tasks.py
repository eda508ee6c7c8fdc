"""From due to handed over: the scheduler's statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from infra.postgres.changes import Changed, versions
from infra.postgres.database import Database

_ROOM = """
greatest(0,
    coalesce((select sum(slots) from workers where lease_until > now() and not draining), 0)
    - (select count(*) from tasks where state = 'QUEUED')
    - (select count(*) from tasks t join workers w on w.id = t.worker_id
       where t.state = 'RUNNING' and w.lease_until > now() and not w.draining))::int
"""  # tasks_queued, tasks_running: both as small as the room is
ROOM = f"select {_ROOM}"

# By priority, each walked in the order of its part of tasks_claimable: an index scan over all of them
# would pass every future task of a more urgent priority. MATERIALIZED, or more than the limit may be claimed.
CLAIM = f"""
with room as materialized (
    select least($1, {_ROOM}) as tasks
), due as materialized (
    select t.id
    from generate_series(0, 9) as p(priority)
    cross join lateral (
        select id from tasks
        where state in ('SCHEDULED', 'RETRYING') and priority = p.priority and scheduled_at <= now()
        order by scheduled_at, id
        limit (select tasks from room)
        for update skip locked
    ) as t
    limit (select tasks from room)
), claimed as (
    update tasks as t
    set state = 'QUEUED', queued_at = now(), updated_at = now(), version = t.version + 1
    from due where t.id = due.id
    returning t as task
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, 'QUEUED') from claimed
)
select (task).id, (task).tenant, (task).version, (task).priority, (task).scheduled_at from claimed
"""

# One scheduler at a time counts the room and fills it; else each would fill all of it. The lock has a statement
# of its own, before the one that counts: that one must see what the last holder committed.
BEGIN_LOCKED = "begin; select pg_advisory_xact_lock(hashtext('carillon.room'))"

TAKE_BACK = """
with found as materialized (
    select id from tasks where id = any($1) and state = 'QUEUED' order by id for update
), taken as (
    update tasks as t
    set state = 'SCHEDULED', queued_at = null, updated_at = now(), version = t.version + 1
    from found where t.id = found.id
    returning t as task
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, 'RESCUED') from taken
)
select (task).id, (task).tenant, (task).version from taken
"""

NEXT_DUE = """
select min(t.scheduled_at) - now()
from generate_series(0, 9) as p(priority)
cross join lateral (
    select scheduled_at from tasks
    where state in ('SCHEDULED', 'RETRYING') and priority = p.priority
    order by scheduled_at limit 1
) as t
"""  # tasks_claimable


class PostgresDueTasks:
    """Implements domain.attempts.ports.DueTasks."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed

    async def room(self) -> int:
        async with self._database.work("room") as connection:
            room: int = await connection.fetchval(ROOM)
        return room

    async def claim(self, limit: int) -> list[UUID]:
        async with self._database.work("claim") as connection:
            # Three round trips instead of five: every one of them makes each task later.
            await connection.execute(BEGIN_LOCKED)
            try:
                records = await connection.fetch(CLAIM, limit)
                await connection.execute("commit")
            except asyncpg.PostgresError:
                await connection.execute("rollback")
                raise
        await self._changed(versions(records))
        records.sort(key=lambda claimed: (claimed["priority"], claimed["scheduled_at"], claimed["id"]))
        return [record["id"] for record in records]

    async def take_back(self, ids: Sequence[UUID]) -> None:
        async with self._database.work("take_back") as connection:
            records = await connection.fetch(TAKE_BACK, list(ids))
        await self._changed(versions(records))

    async def next_due_in(self) -> timedelta | None:
        async with self._database.work("next_due") as connection:
            due: timedelta | None = await connection.fetchval(NEXT_DUE)
        return due
