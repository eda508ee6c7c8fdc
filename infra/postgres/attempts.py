"""Attempts in PostgreSQL: every write of a worker carries its lease and its fencing number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from domain.actions.model import ActionKind
from domain.attempts.model import Attempt, AttemptState, Settled, Started
from infra.postgres.actions import action_from_json
from infra.postgres.changes import Changed, versions
from infra.postgres.database import Database, columns
from infra.postgres.lanes import reopen
from infra.postgres.task_rows import retry_from

KNOWN_ACTIONS = [kind.value for kind in ActionKind]
"""An action of a newer version is left to a newer worker: it is handed over again."""

# What a worker needs of a task to run it, and `versions` to tell of it.
STARTED = """t.id, t.tenant, t.version, t.attempt, t.uncounted_attempts, t.fence, t.action, t.max_attempts,
    t.backoff, t.backoff_base, t.backoff_cap, t.timeout, t.scheduled_at, t.started_at, t.traceparent,
    t.fire_time, t.limited"""

# FOR KEY SHARE on the worker's row: the rescuer, which locks it FOR UPDATE, and a start never overlap.
# The tasks are looked up one by one by their id (a lateral with an OFFSET stays as it is): planned as a join,
# each of them is compared with all that the worker runs, because the statistics know of no running task.
# Events are made in RETURNING: of the row as it is there, not of a copy that is taken apart for each column.
START = f"""
with lease as materialized (
    select id from workers where id = $1 and lease_until > now() for key share
), asked as materialized (
    select distinct id from unnest($2::uuid[]) as a(id) order by id
), found as materialized (
    select t.id, t.queued_at from lease, asked cross join lateral (
        select * from tasks where id = asked.id offset 0 for update
    ) as t
    where t.state = 'QUEUED' and t.action->>'kind' = any($3)
), started as (
    update tasks as t
    set state = 'RUNNING', attempt = t.attempt + 1, fence = t.fence + 1, worker_id = $1, queued_at = null,
        started_at = now(), updated_at = now(), version = t.version + 1
    from found where t.id = found.id
    returning {STARTED}, found.queued_at as handed_over_at, task_changed_v1(t, 'STARTED') as event
), told as (
    insert into outbox (partition, event) select outbox_partition(id), event from started
)
select {STARTED}, handed_over_at from started as t
union all
select {STARTED}, null from lease, asked cross join lateral (
    select * from tasks where id = asked.id offset 0
) as t
where t.state = 'RUNNING' and t.worker_id = $1
"""

FINISH = """
with settled as materialized (
    select * from unnest($2::uuid[], $3::bigint[], $4::attempt_state[], $5::task_state[], $6::interval[],
        $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::int[])
        as s(id, fence, attempt_state, task_state, due_in, due_at, result, error_type, error_message, uncounted)
    order by id
), found as materialized (
    select s.*, t.scheduled_at as was_due_at,
        -- An attempt that was asked to stop and failed is not tried again.
        case when s.task_state = 'RETRYING' and t.cancel_requested_at is not null then 'CANCELLED'
             else s.task_state end as next_state
    from settled as s cross join lateral (
        select * from tasks where id = s.id offset 0 for update
    ) as t
    where t.fence = s.fence and t.state = 'RUNNING' and t.worker_id = $1
), finished as (
    update tasks as t
    set state = f.next_state,
        scheduled_at = case when f.next_state = 'RETRYING' then least(
                greatest(coalesce(f.due_at, now() + f.due_in), now()), now() + interval '400 days')
                            else t.scheduled_at end,
        finished_at = case when f.next_state = 'RETRYING' then null else now() end,
        worker_id = null, cancel_requested_at = null, result = f.result::jsonb, error_type = f.error_type,
        error_message = f.error_message, error_attempt = case when f.error_type is not null then t.attempt end,
        uncounted_attempts = t.uncounted_attempts + f.uncounted,
        updated_at = now(), version = t.version + 1
    from found as f
    where t.id = f.id
    returning t.id, t.tenant, t.version, t.attempt, t.started_at, t.error_type, t.error_message, f.was_due_at,
        f.attempt_state, task_changed_v1(t, t.state::text) as event
), kept as (
    insert into attempts
        (task_id, number, tenant, state, due_at, started_at, finished_at, worker, error_type, error_message)
    select id, attempt, tenant, attempt_state, was_due_at, started_at, now(),
        (select name from workers where id = $1), error_type, error_message
    from finished
), told as (
    insert into outbox (partition, event) select outbox_partition(id), event from finished
)
select id, tenant, version from finished
"""

HAND_BACK = f"""
with given as materialized (
    select * from unnest($2::uuid[], $3::bigint[]) as g(id, fence)
), found as materialized (
    select t.id from tasks as t join given as g on t.id = g.id and t.fence = g.fence
    where t.state = 'RUNNING' and t.worker_id = $1
    order by t.id for update of t
), back as (
    update tasks as t
    set state = case when t.cancel_requested_at is null then 'SCHEDULED'::task_state else 'CANCELLED' end,
        finished_at = case when t.cancel_requested_at is not null then now() end,
        attempt = t.attempt - 1, worker_id = null, started_at = null, cancel_requested_at = null,
        updated_at = now(), version = t.version + 1
    from found where t.id = found.id
    returning t as task
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id),
        task_changed_v1(task, case when (task).state = 'CANCELLED' then 'CANCELLED' else 'RESCUED' end)
    from back
), {reopen("back")}
select (task).id, (task).tenant, (task).version from back
"""

# A running attempt has no row yet: its task's row tells of it.
_RUNNING = """
select t.id as task_id, t.attempt as number, 'RUNNING'::attempt_state as state, t.scheduled_at as due_at,
    t.started_at, null::timestamptz as finished_at, coalesce(w.name, '') as worker,
    null::text as error_type, null::text as error_message
from tasks as t left join workers as w on w.id = t.worker_id
where t.tenant = $1 and t.id = any($2) and t.state = 'RUNNING'
"""
# Looked for in the days the task lived, with room for a clock that was set: each day is a table of its own.
_ENDED = """
select a.task_id, a.number, a.state, a.due_at, a.started_at, a.finished_at, a.worker, a.error_type,
    a.error_message
from tasks as t join attempts as a on a.task_id = t.id
    and a.finished_at >= t.created_at - interval '1 hour' and a.finished_at <= t.updated_at + interval '1 hour'
where t.tenant = $1 and t.id = any($2)
"""
HISTORY = f"""
select ranked.* from (
    select a.*, row_number() over (partition by task_id order by number) as place
    from ({_ENDED} union all {_RUNNING}) as a
    where a.number > $3
) as ranked
where place <= $4 order by task_id, number
"""
FIND = f"select a.* from ({_ENDED} union all {_RUNNING}) as a"


class PostgresAttempts:
    """Implements domain.attempts.ports.Attempts."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed

    async def start(self, worker: UUID, ids: Sequence[UUID]) -> list[Started]:
        async with self._database.work("start") as connection:
            records = await connection.fetch(START, worker, list(ids), KNOWN_ACTIONS)
        await self._changed(versions(records))
        return [_started(record) for record in records]

    async def finish(self, worker: UUID, settled: Sequence[Settled]) -> frozenset[UUID]:
        async with self._database.work("finish") as connection:
            records = await connection.fetch(FINISH, worker, *_columns(settled))
        await self._changed(versions(records))
        return frozenset(record["id"] for record in records)

    async def hand_back(self, worker: UUID, fences: Sequence[tuple[UUID, int]]) -> None:
        ids, numbers = [id for id, _ in fences], [fence for _, fence in fences]
        async with self._database.work("hand_back") as connection:
            records = await connection.fetch(HAND_BACK, worker, ids, numbers)
        await self._changed(versions(records))

    async def history(
        self, tenant: str, task_ids: Sequence[UUID], first: int, after: int = 0
    ) -> list[list[Attempt]]:
        async with self._database.read("attempts", tenant) as connection:
            records = await connection.fetch(HISTORY, tenant, list(task_ids), after, first)
        found: dict[UUID, list[Attempt]] = {}
        for record in records:
            found.setdefault(record["task_id"], []).append(_attempt(record))
        return [found.get(id, []) for id in task_ids]

    async def find(self, tenant: str, keys: Sequence[tuple[UUID, int]]) -> list[Attempt | None]:
        async with self._database.read("find_attempts", tenant) as connection:
            records = await connection.fetch(FIND, tenant, [task_id for task_id, _ in keys])
        found = {(record["task_id"], record["number"]): _attempt(record) for record in records}
        return [found.get(key) for key in keys]


def _columns(settled: Sequence[Settled]) -> list[list[Any]]:
    rows = [
        (
            one.task_id,
            one.fence,
            one.attempt_state.value,
            one.task_state.value,
            one.due_in,
            one.due_at,
            None if one.result is None else json.dumps(one.result),
            one.error_type,
            one.error_message,
            0 if one.counts else 1,
        )
        for one in settled
    ]
    return columns(rows)


def _started(record: asyncpg.Record) -> Started:
    return Started(
        task_id=record["id"],
        tenant=record["tenant"],
        number=record["attempt"],
        counted=record["attempt"] - record["uncounted_attempts"],
        fence=record["fence"],
        action=action_from_json(record["action"]),
        retry=retry_from(record),
        timeout=record["timeout"],
        due_at=record["scheduled_at"],
        started_at=record["started_at"],
        traceparent=record["traceparent"],
        queued_at=record["handed_over_at"],
        fire_time=record["fire_time"],
        limited=record["limited"],
    )


def _attempt(record: asyncpg.Record) -> Attempt:
    return Attempt(
        task_id=record["task_id"],
        number=record["number"],
        state=AttemptState(record["state"]),
        due_at=record["due_at"],
        started_at=record["started_at"],
        finished_at=record["finished_at"],
        worker=record["worker"],
        error_type=record["error_type"],
        error_message=record["error_message"],
    )
