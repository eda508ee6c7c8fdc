"""Puts back what was lost: attempts of dead workers, hand-overs, and cancellations nobody heard."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from infra.postgres.changes import Changed, versions
from infra.postgres.claiming import TAKE_BACK
from infra.postgres.database import Database

MAX_LOSSES = 3
"""A payload that kills its workers is not given another one after this many."""

# Only the worker's row serialises a rescue and a start. Its tasks are looked for in a later statement, which
# sees every start that committed before the row was locked; in one statement they would be orphaned.
DEAD_WORKERS = """
select id from workers where lease_until <= now() order by lease_until limit 20 for update skip locked
"""
LOST_ATTEMPTS = """
with found as materialized (
    select t.id, t.worker_id, t.scheduled_at as due_at, t.losses + 1 as losses,
        case when t.cancel_requested_at is not null then 'CANCELLED'::task_state
             when t.losses + 1 >= $2 or t.attempt - t.uncounted_attempts >= t.max_attempts then 'FAILED'
             else 'RETRYING' end as next_state
    from tasks as t
    where t.state = 'RUNNING'
        and (t.worker_id = any($1) or not exists (select from workers as w where w.id = t.worker_id))
    order by t.id limit $3 for update of t
), moved as (
    update tasks as t
    set state = f.next_state, losses = f.losses, fence = t.fence + 1, worker_id = null,
        cancel_requested_at = null,
        scheduled_at = case when f.next_state = 'RETRYING' then now() else t.scheduled_at end,
        finished_at = case when f.next_state = 'RETRYING' then null else now() end,
        error_type = 'WorkerLost', error_message = 'The worker stopped answering.', error_attempt = t.attempt,
        updated_at = now(), version = t.version + 1
    from found as f where t.id = f.id
    returning t as task, f.due_at, f.worker_id
), kept as (
    insert into attempts
        (task_id, number, tenant, state, due_at, started_at, finished_at, worker, error_type, error_message)
    select (task).id, (task).attempt, (task).tenant, 'LOST', due_at, (task).started_at, now(),
        coalesce((select name from workers where id = moved.worker_id), ''),
        (task).error_type, (task).error_message
    from moved
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task,
        case when (task).state = 'RETRYING' then 'RESCUED' else (task).state::text end)
    from moved
)
select (task).id, (task).tenant, (task).version from moved
"""  # tasks_running
FORGET_WORKERS = """
delete from workers as w
where id = any($1) and not exists (select from tasks where state = 'RUNNING' and worker_id = w.id)
"""

LOST_HAND_OVERS = """
select id from tasks where state = 'QUEUED' and queued_at <= now() - $1::interval
order by queued_at limit $2 for update skip locked
"""  # tasks_in_flight

DEAF_CANCELLATIONS = """
with found as materialized (
    select id, worker_id, scheduled_at as due_at from tasks
    where state = 'RUNNING' and cancel_requested_at <= now() - $1::interval
    order by id limit $2 for update skip locked
), moved as (
    update tasks as t
    set state = 'CANCELLED', fence = t.fence + 1, worker_id = null, finished_at = now(), updated_at = now(),
        version = t.version + 1
    from found as f where t.id = f.id
    returning t as task, f.due_at, f.worker_id
), kept as (
    insert into attempts (task_id, number, tenant, state, due_at, started_at, finished_at, worker)
    select (task).id, (task).attempt, (task).tenant, 'CANCELLED', due_at, (task).started_at, now(),
        coalesce((select name from workers where id = moved.worker_id), '')
    from moved
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, 'CANCELLED') from moved
)
select (task).id, (task).tenant, (task).version from moved
"""  # tasks_running


class PostgresRescue:
    """Implements domain.attempts.ports.Rescue."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed

    async def lost_attempts(self, limit: int) -> int:
        async with self._database.transaction("rescue_attempts") as connection:
            dead: list[UUID] = [record["id"] for record in await connection.fetch(DEAD_WORKERS)]
            moved = await connection.fetch(LOST_ATTEMPTS, dead, MAX_LOSSES, limit)
            await connection.execute(FORGET_WORKERS, dead)
        await self._changed(versions(moved))
        return len(moved)

    async def lost_hand_overs(self, older_than: timedelta, limit: int) -> int:
        async with self._database.transaction("rescue_hand_overs") as connection:
            lost = [record["id"] for record in await connection.fetch(LOST_HAND_OVERS, older_than, limit)]
            moved = await connection.fetch(TAKE_BACK, lost)
        await self._changed(versions(moved))
        return len(moved)

    async def deaf_cancellations(self, older_than: timedelta, limit: int) -> int:
        async with self._database.work("rescue_cancellations") as connection:
            moved = await connection.fetch(DEAF_CANCELLATIONS, older_than, limit)
        await self._changed(versions(moved))
        return len(moved)
