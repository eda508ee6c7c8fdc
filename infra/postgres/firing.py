"""Fires schedules: each round is one transaction, so that a fire time is settled wholly or not at all.

Any number of schedulers may be at it. The lock on a schedule's row serialises them, its callers included; the
clock of the database decides; and the unique index tasks_fire stands behind both.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg

from domain.clock import Ids
from domain.contracts.schedules import ScheduleMisfiredV1
from domain.errors import Refusal
from domain.schedules.firing import Decision, Due, decide, replanned
from domain.schedules.model import Schedule
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.ports import Fired, Recurrences
from domain.tasks.model import Task
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing
from infra.postgres.changes import CANCEL, CANCEL_KIND, Changed, versions
from infra.postgres.database import Connection, Database, columns
from infra.postgres.schedules import COLUMNS, schedule_from
from infra.postgres.tasks import insert
from infra.telemetry.spans import begin_trace

T = TypeVar("T")

log = logging.getLogger(__name__)

AS_STORED = HeaderSeals(KeyRing())
"""What a template holds is encrypted already, and its tasks take it over: firing needs no keys."""
MOST_CANCELLED = 1_000
"""Unfinished tasks that a round cancels for new ones: one for each schedule, unless its policy changed."""
SECONDS = 0.2
"""Of computing in one round: after a long outage a schedule may take a tenth of a second."""
MOST_TASKS = 1_000
"""A round that has so many to make takes no further schedule; each makes a hundred at most."""

_UNFINISHED = "schedule_id is not null and state in ('SCHEDULED', 'QUEUED', 'RUNNING', 'RETRYING')"
"""As the index tasks_unfinished_of_schedule has it."""

DUE = f"""
select {COLUMNS}, now() as now from schedules
where next_fire_time <= now() and next_fire_time is not null and not paused
order by next_fire_time, id limit $1 for update skip locked
"""  # schedules_due
FREE = f"""
select {COLUMNS}, now() as now from schedules as s
where held_fire_time is not null and not paused
    and (overlap_policy = 'ALLOW'
        or not exists (select from tasks as t where t.schedule_id = s.id and {_UNFINISHED}))
order by held_fire_time limit $1 for update of s skip locked
"""  # schedules_held, tasks_unfinished_of_schedule
MOVED_ZONES = f"""
select {COLUMNS}, now() as now from schedules
where next_fire_time is not null and not paused and zone_version <> $2
order by next_fire_time, id limit $1 for update skip locked
"""
# A statement of its own, after the locks: it sees the tasks of whoever fired these schedules before.
UNFINISHED = f"""
select s.id from unnest($1::uuid[]) as s(id)
where exists (select from tasks where schedule_id = s.id and {_UNFINISHED})
"""
CANCEL_UNFINISHED = f"""
with found as materialized (
    select id from tasks where schedule_id = any($1) and {_UNFINISHED} and cancel_requested_at is null
    order by id limit {MOST_CANCELLED} for update
), moved as (
    update tasks as t
    set {CANCEL}, updated_at = now(), version = t.version + 1
    from found where t.id = found.id
    returning t as task
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, {CANCEL_KIND}) from moved
)
select (task).id, (task).tenant, (task).version, (task).state from moved
"""
SETTLE = """
update schedules as s
set settled_until = n.settled_until, next_fire_time = n.next_fire_time, held_fire_time = n.held_fire_time,
    zone_version = n.zone_version
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::text[])
    as n(id, settled_until, next_fire_time, held_fire_time, zone_version)
where s.id = n.id and s.settled_until <= n.settled_until
"""
TELL = """
insert into outbox (partition, event)
select outbox_partition(e.schedule_id), e.event::json
from unnest($1::uuid[], $2::text[]) as e(schedule_id, event)
"""
SET_ASIDE = """
update schedules
set paused = true, fault = $2, next_fire_time = null, held_fire_time = null, version = version + 1,
    updated_at = now()
where id = $1
"""
NEXT = "select min(next_fire_time) - now() from schedules where next_fire_time is not null and not paused"


class PostgresFiring:
    """Implements domain.schedules.ports.Firing."""

    def __init__(self, database: Database, recurrences: Recurrences, ids: Ids, changed: Changed) -> None:
        self._database = database
        self._recurrences = recurrences
        self._ids = ids
        self._changed = changed

    async def fire(self, limit: int) -> Fired:
        return await self._settle("fire", DUE, limit)

    async def release(self, limit: int) -> Fired:
        return await self._settle("release", FREE, limit)

    async def replan(self, limit: int) -> int:
        version = self._recurrences.zone_database_version()
        async with self._database.transaction("replan") as connection:
            records = await connection.fetch(MOVED_ZONES, limit, version)
            planned, broken = await _each(
                records, lambda schedule, now: replanned(schedule, self._recurrences, now), lambda _: 0
            )
            await _store_settled(connection, planned)
            await _set_aside(connection, broken)
        return len(planned) + len(broken)

    async def next_fire_in(self) -> timedelta | None:
        async with self._database.work("next_fire") as connection:
            due: timedelta | None = await connection.fetchval(NEXT)
        return due

    async def _settle(self, work: str, statement: str, limit: int) -> Fired:
        async with self._database.transaction(work) as connection:
            records = await connection.fetch(statement, limit)
            if not records:
                return Fired()
            now: datetime = records[0]["now"]
            unfinished = await _unfinished(connection, records)
            decisions, broken = await _each(
                records,
                lambda schedule, now: decide(
                    schedule, self._recurrences, now, unfinished=schedule.id in unfinished
                ),
                lambda decision: len(decision.make),
            )
            cancelled = await _cancel(connection, decisions)
            tasks = [self._task(decision.schedule, due, now) for decision in decisions for due in decision.make]
            made = await _insert(connection, tasks)
            await _tell(connection, decisions, now)
            await _store_settled(connection, [decision.schedule for decision in decisions])
            await _set_aside(connection, broken)
        await self._changed(versions(cancelled))
        return Fired(
            schedules=len(decisions) + len(broken),
            tasks=made,
            skipped=sum(decision.skipped for decision in decisions),
            dropped=sum(decision.dropped for decision in decisions),
            cancelled=len(cancelled),
            stopping=any(record["state"] == "RUNNING" for record in cancelled),
            set_aside=len(broken),
        )

    def _task(self, schedule: Schedule, due: Due, now: datetime) -> Task:
        work = schedule.task
        return Task(
            id=self._ids.next(),
            tenant=schedule.tenant,
            title=work.title,
            description=work.description,
            scheduled_at=due.scheduled_at,
            action=work.action,
            queue=work.queue,
            priority=work.priority,
            concurrency_key=work.concurrency_key,
            owner=work.owner,
            labels=work.labels,
            timeout=work.timeout,
            retry=work.retry,
            created_at=now,
            updated_at=now,
            traceparent=begin_trace("fire"),
            schedule_id=schedule.id,
            schedule_revision=schedule.revision,
            fire_time=due.fire_time,
        )


async def _each(
    records: Sequence[asyncpg.Record], settle: Callable[[Schedule, datetime], T], tasks: Callable[[T], int]
) -> tuple[list[T], dict[UUID, str]]:
    """What `settle` makes of the first of them, and why of those that cannot be read: they must not stop the
    others. The rest is left to the next round: one that outlasts its transaction's limit would never end.
    """
    settled: list[T] = []
    broken: dict[UUID, str] = {}
    clock = asyncio.get_running_loop().time
    end, made = clock() + SECONDS, 0
    for record in records:
        if made >= MOST_TASKS or clock() > end:
            break
        try:
            settled.append(settle(schedule_from(record), record["now"]))
            made += tasks(settled[-1])
        except Exception as fault:  # whatever is wrong with one of them, the others fire
            broken[record["id"]] = (
                fault.message if isinstance(fault, Refusal) else f"An internal error: {type(fault).__name__}."
            )
            log.exception("a schedule cannot be read and is paused", extra={"schedule": str(record["id"])})
        await asyncio.sleep(0)  # whoever shares the loop goes on meanwhile
    return settled, broken


async def _set_aside(connection: Connection, broken: dict[UUID, str]) -> None:
    for id, reason in broken.items():
        await connection.execute(SET_ASIDE, id, reason)


async def _unfinished(connection: Connection, records: Sequence[asyncpg.Record]) -> frozenset[UUID]:
    """Of those whose decision depends on it."""
    asked = [record["id"] for record in records if record["overlap_policy"] != OverlapPolicy.ALLOW]
    found = await connection.fetch(UNFINISHED, asked) if asked else []
    return frozenset(record["id"] for record in found)


async def _insert(connection: Connection, tasks: Sequence[Task]) -> int:
    made = len(await insert(connection, tasks, AS_STORED)) if tasks else 0
    if made < len(tasks):
        log.error("fire times had their tasks already", extra={"fire_times": len(tasks) - made})
    return made


async def _cancel(connection: Connection, decisions: Sequence[Decision]) -> list[asyncpg.Record]:
    ids = [decision.schedule.id for decision in decisions if decision.cancel_unfinished]
    return await connection.fetch(CANCEL_UNFINISHED, ids) if ids else []


async def _tell(connection: Connection, decisions: Sequence[Decision], now: datetime) -> None:
    facts = [_misfired(decision, now) for decision in decisions if decision.dropped]
    if facts:
        wires = [json.dumps(fact.to_wire()) for fact in facts]
        await connection.execute(TELL, [fact.schedule_id for fact in facts], wires)


def _misfired(decision: Decision, now: datetime) -> ScheduleMisfiredV1:
    schedule = decision.schedule
    return ScheduleMisfiredV1(
        tenant=schedule.tenant,
        schedule_id=schedule.id,
        revision=schedule.revision,
        name=schedule.name,
        owner=schedule.owner,
        dropped=decision.dropped,
        exact=decision.exact,
        until=schedule.settled_until,
        at=now,
        traceparent=begin_trace("fire"),
    )


async def _store_settled(connection: Connection, schedules: Sequence[Schedule]) -> None:
    rows = [
        (each.id, each.settled_until, each.next_fire_time, each.held_fire_time, each.zone_version)
        for each in schedules
    ]
    if rows:
        await connection.execute(SETTLE, *columns(rows))
