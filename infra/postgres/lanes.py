"""The registry of lanes: which queues and priorities of a tenant may have something to claim."""

from __future__ import annotations

import asyncpg

from infra.postgres.database import Database

SLACK_SECONDS = 1
"""Clients' clocks differ: a task that is past by less than this does not reopen its lane."""
_SLACK = f"interval '{SLACK_SECONDS} second'"
_LOCK = "hashtext('carillon.lanes')"


def due_in(lane: str, limit: int | str, columns: str = "scheduled_at") -> str:
    """The first tasks of a lane that are due and may be claimed, in their order. By tasks_claimable.

    `lane` is what the lane's columns are taken from, `limit` a number or a parameter.
    """
    return f"""
        select {columns} from tasks
        where state in ('SCHEDULED', 'RETRYING') and not awaits_key and tenant = {lane}.tenant
            and queue = {lane}.queue and priority = {lane}.priority and scheduled_at <= now()
        order by scheduled_at, id limit {limit}
    """


def register(source: str, row: str = "(task)") -> str:
    """CTEs that see to it that claims find the tasks in `source`, just inserted or changed.

    `row` is what a task's columns are taken from there.

    Lanes are inserted in one order, or two batches could wait for each other. The shared lock, which lasts as
    long as the transaction, keeps a lane from being removed between our look at it and our commit.
    """
    return f"""registered as (
    insert into lanes (tenant, queue, priority)
    select distinct {row}.tenant, {row}.queue, {row}.priority
    from {source}, (select pg_advisory_xact_lock_shared({_LOCK})) as kept
    where {row}.state in ('SCHEDULED', 'RETRYING')
    order by 1, 2, 3
    on conflict do nothing
), {reopen(source, row)}"""


def reopen(source: str, row: str = "(task)") -> str:
    """CTEs that have lanes looked at from their beginning again, where tasks came in below what was looked at.

    Claims do not look again below what they know to be empty: see `infra.postgres.floors`. A lane that was
    reopened half the slack ago is open still.
    """
    return f"""low as materialized (
    select l.tenant, l.queue, l.priority from lanes as l
    where l.reopened_at < now() - {_SLACK} / 2 and exists (
        select from {source}
        where {row}.state in ('SCHEDULED', 'RETRYING') and {row}.scheduled_at < now() - {_SLACK}
            and {row}.tenant = l.tenant and {row}.queue = l.queue and {row}.priority = l.priority)
    order by 1, 2, 3 for update
), reopened as (
    update lanes as l set reopened_at = now() from low
    where l.tenant = low.tenant and l.queue = low.queue and l.priority = low.priority
)"""


# Whoever inserts or changes a task holds the lock shared until its commit. Not waited for long: while we wait,
# everyone else does.
BEGIN_ALONE = f"begin; set local lock_timeout = '200ms'; select pg_advisory_xact_lock({_LOCK})"

# Walks that skip from lane to lane, and from key to key. An anti-join would read every task that waits, however
# many these are, while nobody can write one.
_WAITING = """waiting(tenant, queue, priority) as (
    (select tenant, queue, priority from tasks
     where state in ('SCHEDULED', 'RETRYING') and not awaits_key order by 1, 2, 3 limit 1)
    union all
    select n.* from waiting as w cross join lateral (
        select tenant, queue, priority from tasks
        where state in ('SCHEDULED', 'RETRYING') and not awaits_key
            and (tenant, queue, priority) > (w.tenant, w.queue, w.priority)
        order by 1, 2, 3 limit 1
    ) as n
)"""  # tasks_claimable
_AWAITING = """awaiting(tenant, concurrency_key, queue, priority) as (
    (select tenant, concurrency_key, queue, priority from tasks
     where state in ('SCHEDULED', 'RETRYING') and awaits_key order by 1, 2, 3, 4 limit 1)
    union all
    select n.* from awaiting as w cross join lateral (
        select tenant, concurrency_key, queue, priority from tasks
        where state in ('SCHEDULED', 'RETRYING') and awaits_key
            and (tenant, concurrency_key, queue, priority)
                > (w.tenant, w.concurrency_key, w.queue, w.priority)
        order by 1, 2, 3, 4 limit 1
    ) as n
)"""  # tasks_awaiting_key

RESTORE = f"""
with recursive {_WAITING}
insert into lanes (tenant, queue, priority) select tenant, queue, priority from waiting on conflict do nothing
"""
_EMPTY = f"""
with recursive {_WAITING}, {_AWAITING}, empty as materialized (
    select tenant, queue, priority from lanes
    except select tenant, queue, priority from waiting
    except select tenant, queue, priority from awaiting
    except select tenant, queue, priority from tasks where state in ('QUEUED', 'RUNNING')
)
"""  # tasks_in_flight
ANY_EMPTY = f"{_EMPTY} select exists (select from empty)"
REMOVE = f"""
{_EMPTY} delete from lanes as l using empty as e
where l.tenant = e.tenant and l.queue = e.queue and l.priority = e.priority
"""


async def tend_lanes(database: Database) -> tuple[int, int]:
    """Add the lanes that should be there, remove those nothing waits or runs in. How many of each.

    None is removed while tasks are being written in transactions that do not end.
    """
    async with database.work("tend_lanes") as connection:
        restored = await connection.execute(RESTORE)
        any_empty = await connection.fetchval(ANY_EMPTY)
    removed = await _remove(database) if any_empty else 0
    return _count(restored), removed


async def _remove(database: Database) -> int:
    """Looked for once more: under the lock nobody can write what a lane would be needed for."""
    try:
        async with database.begun("remove_lanes", BEGIN_ALONE) as connection:
            return _count(await connection.execute(REMOVE))
    except asyncpg.LockNotAvailableError:
        return 0


def _count(status: str) -> int:
    """Of rows, from a command's status: INSERT 0 3."""
    return int(status.rsplit(" ", 1)[1])
