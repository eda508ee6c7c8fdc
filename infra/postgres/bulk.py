"""Changing many tasks at once in PostgreSQL, by the same moves as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from domain.tasks.bulk import Batch, BulkChange
from domain.tasks.listing import TaskFilter
from domain.tasks.states import TaskState
from infra.postgres.changes import CANCEL, CANCEL_KIND, Changed, versions
from infra.postgres.database import Database
from infra.postgres.lanes import register
from infra.postgres.tasks import listing_conditions

_S = TaskState

# One at a time, for each has an index of its own, and the rest is not walked through: tasks_waiting,
# tasks_in_flight, tasks_running; tasks_given_up, tasks_by_due.
GROUPS = {
    BulkChange.CANCEL: ((_S.SCHEDULED, _S.RETRYING), (_S.QUEUED,), (_S.RUNNING,)),
    BulkChange.REPLAY: ((_S.FAILED, _S.CANCELLED), (_S.SUCCEEDED,)),
}
MOVES = {
    BulkChange.CANCEL: CANCEL,
    BulkChange.REPLAY: """
        state = 'SCHEDULED', scheduled_at = now(), uncounted_attempts = t.attempt,
        losses = case when t.attempt > t.uncounted_attempts then 0 else t.losses end,
        started_at = null, finished_at = null, cancel_requested_at = null, queued_at = null,
        result = null, error_type = null, error_message = null, error_attempt = null, awaits_key = false
    """,
}
PICK = "select id, version from tasks where {where} order by scheduled_at, id limit {limit}"

# Locked in the order of their ids, as every statement locks several tasks. What somebody changed meanwhile has
# another version, and is picked again by the next batch if it still is to be changed.
CHANGE = """
with picked as materialized ({pick}),
found as materialized (
    select t.id from picked as p join tasks as t on t.id = p.id and t.version = p.version
    order by t.id for update of t
), changed as (
    update tasks as t
    set {move}, updated_at = now(), version = t.version + 1
    from found where t.id = found.id
    returning t as task
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, {kind}) from changed order by (task).id
), {lanes}
select p.picked, (task).id, (task).tenant, (task).version, (task).state
from (select count(*) as picked from picked) as p left join changed on true
"""


class PostgresBulkTasks:
    """Implements domain.tasks.bulk.BulkTasks."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed

    async def change(self, tenant: str, change: BulkChange, wanted: TaskFilter, limit: int) -> Batch:
        for group in _groups(change, wanted):
            batch = await self._change(tenant, change, group, limit)
            if batch.picked:
                return batch
        return Batch(0, 0)

    async def count(self, tenant: str, change: BulkChange, wanted: TaskFilter, limit: int) -> int:
        counted = 0
        async with self._database.read("count_many", tenant) as connection:
            for group in _groups(change, wanted):
                where, arguments = await listing_conditions(connection, tenant, group)
                pick = _pick(change, where, limit - counted)
                counted += await connection.fetchval(f"select count(*) from ({pick}) as t", *arguments)
        return counted

    async def _change(self, tenant: str, change: BulkChange, wanted: TaskFilter, limit: int) -> Batch:
        async with self._database.work(f"{change.value.lower()}_many", tenant) as connection:
            where, arguments = await listing_conditions(connection, tenant, wanted)
            statement = CHANGE.format(
                pick=_pick(change, where, limit),
                move=MOVES[change],
                kind=CANCEL_KIND,
                lanes=register("changed"),
            )
            records = await connection.fetch(statement, *arguments)
        changed = [record for record in records if record["id"] is not None]
        await self._changed(versions(changed))
        asked = sum(record["state"] == TaskState.RUNNING for record in changed)
        return Batch(records[0]["picked"], len(changed), asked)


def _groups(change: BulkChange, wanted: TaskFilter) -> Iterator[TaskFilter]:
    for group in GROUPS[change]:
        states = tuple(state for state in group if state in (wanted.states or ()))
        if states:
            yield replace(wanted, states=states)


def _pick(change: BulkChange, where: list[str], limit: int) -> str:
    if change is BulkChange.CANCEL:
        where.append("cancel_requested_at is null")
    return PICK.format(where=" and ".join(where), limit=limit)
