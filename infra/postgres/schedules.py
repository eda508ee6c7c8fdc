"""Schedules in PostgreSQL: their row, its mapping, and what callers do to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.attempts.retry import Backoff, RetryPolicy
from domain.errors import NotFound, StaleVersion
from domain.paging import Page, PageRequest, page_of
from domain.schedules.misfire import MisfirePolicy
from domain.schedules.model import Schedule, TaskTemplate
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.ports import Change, Make
from domain.schedules.recurrence import Cron, Every, Recurrence, RRule
from infra.encryption.headers import HeaderSeals
from infra.postgres.actions import action_from, action_to_json
from infra.postgres.database import Connection, Database

COLUMNS = """id, tenant, name, recurrence, zone, starts_at, ends_at, jitter, misfire_policy, catch_up_window,
    overlap_policy, paused, fault, task, owner, revision, version, anchor, settled_until, next_fire_time,
    held_fire_time, zone_version, created_at, updated_at"""

INSERT = f"""
insert into schedules ({COLUMNS})
values ($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::jsonb, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24)
"""
FIND = f"select {COLUMNS} from schedules where tenant = $1 and id = any($2)"  # schedules_pkey
LOCK = f"select {COLUMNS}, now() as now from schedules where tenant = $1 and id = $2 for update"
CHANGE = """
update schedules as s
set name = $3, recurrence = $4::jsonb, zone = $5, starts_at = $6, ends_at = $7, jitter = $8,
    misfire_policy = $9, catch_up_window = $10, overlap_policy = $11, paused = $12, fault = $13,
    task = $14::jsonb, owner = $15, revision = $16, version = $17, anchor = $18, settled_until = $19,
    next_fire_time = $20, held_fire_time = $21, zone_version = $22, created_at = $23, updated_at = $24
where s.id = $1 and s.tenant = $2
"""
DELETE = "delete from schedules where id = $1"

_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)


class PostgresSchedules:
    """Implements domain.schedules.ports.Schedules."""

    def __init__(self, database: Database, seals: HeaderSeals) -> None:
        self._database = database
        self._seals = seals

    async def add(self, tenant: str, make: Make) -> Schedule:
        async with self._database.transaction("add_schedule", tenant) as connection:
            schedule = self._sealed(make(await connection.fetchval("select now()")))
            await connection.execute(INSERT, *_values(schedule, self._seals))
        return schedule

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Schedule | None]:
        async with self._database.read("find_schedules", tenant) as connection:
            records = await connection.fetch(FIND, tenant, list(ids))
        found = {record["id"]: schedule_from(record) for record in records}
        return [found.get(id) for id in ids]

    async def page(
        self, tenant: str, request: PageRequest[UUID], *, owner: str | None = None
    ) -> Page[Schedule]:
        where = ["tenant = $1"]
        arguments: list[str | UUID] = [tenant]
        for condition, value in (
            ("id > ${}", request.after),
            ("id < ${}", request.before),
            ("owner = ${}", owner),
        ):
            if value is not None:
                arguments.append(value)
                where.append(condition.format(len(arguments)))
        statement = f"""
            select {COLUMNS} from schedules where {" and ".join(where)}
            order by id {"desc" if request.backwards else "asc"} limit {request.size + 1}
        """  # schedules_by_tenant, schedules_by_owner
        async with self._database.read("list_schedules", tenant) as connection:
            records = await connection.fetch(statement, *arguments)
        return page_of([schedule_from(record) for record in records], request)

    async def change(
        self,
        tenant: str,
        id: UUID,
        change: Change,
        *,
        version: int | None = None,
        owner: str | None = None,
    ) -> Schedule:
        async with self._database.transaction("change_schedule", tenant) as connection:
            record = await _locked(connection, tenant, id, version, owner)
            before = schedule_from(record)
            after = change(before, record["now"])
            if after != before:
                after = self._sealed(replace(after, version=before.version + 1, updated_at=record["now"]))
                await connection.execute(CHANGE, *_values(after, self._seals))
        return after

    async def delete(
        self, tenant: str, id: UUID, *, version: int | None = None, owner: str | None = None
    ) -> None:
        async with self._database.transaction("delete_schedule", tenant) as connection:
            await _locked(connection, tenant, id, version, owner)
            await connection.execute(DELETE, id)

    def _sealed(self, schedule: Schedule) -> Schedule:
        action = self._seals.sealed(schedule.tenant, schedule.task.action)
        return replace(schedule, task=replace(schedule.task, action=action))


def schedule_from(record: asyncpg.Record) -> Schedule:
    """The schedule a row of COLUMNS is."""
    return Schedule(
        id=record["id"],
        tenant=record["tenant"],
        name=record["name"],
        recurrence=_recurrence(json.loads(record["recurrence"])),
        zone=record["zone"],
        starts_at=record["starts_at"],
        ends_at=record["ends_at"],
        jitter=record["jitter"],
        misfire_policy=MisfirePolicy(record["misfire_policy"]),
        catch_up_window=record["catch_up_window"],
        overlap_policy=OverlapPolicy(record["overlap_policy"]),
        paused=record["paused"],
        fault=record["fault"],
        task=_template(json.loads(record["task"]), record["owner"]),
        revision=record["revision"],
        version=record["version"],
        anchor=record["anchor"],
        settled_until=record["settled_until"],
        next_fire_time=record["next_fire_time"],
        held_fire_time=record["held_fire_time"],
        zone_version=record["zone_version"],
        created_at=record["created_at"],
        updated_at=record["updated_at"],
    )


def _values(schedule: Schedule, seals: HeaderSeals) -> list[Any]:
    """In the order of COLUMNS."""
    return [
        schedule.id,
        schedule.tenant,
        schedule.name,
        json.dumps(_recurrence_json(schedule.recurrence)),
        schedule.zone,
        schedule.starts_at,
        schedule.ends_at,
        schedule.jitter,
        schedule.misfire_policy.value,
        schedule.catch_up_window,
        schedule.overlap_policy.value,
        schedule.paused,
        schedule.fault,
        json.dumps(_template_json(schedule.task, schedule.tenant, seals)),
        schedule.owner,
        schedule.revision,
        schedule.version,
        schedule.anchor,
        schedule.settled_until,
        schedule.next_fire_time,
        schedule.held_fire_time,
        schedule.zone_version,
        schedule.created_at,
        schedule.updated_at,
    ]


def _recurrence_json(recurrence: Recurrence) -> dict[str, Any]:
    match recurrence:
        case Cron(expression):
            return {"cron": expression}
        case RRule(text):
            return {"rrule": text}
        case Every(interval):
            return {"every": interval // _SECOND}


def _recurrence(stored: dict[str, Any]) -> Recurrence:
    [(kind, value)] = stored.items()
    match kind:
        case "cron":
            return Cron(value)
        case "rrule":
            return RRule(value)
        case _:
            return Every(value * _SECOND)


def _template_json(task: TaskTemplate, tenant: str, seals: HeaderSeals) -> dict[str, Any]:
    """Its owner is a column, to list schedules by."""
    return {
        "title": task.title,
        "description": task.description,
        "labels": task.labels,
        "action": json.loads(action_to_json(task.action, tenant, seals)),
        "queue": task.queue,
        "priority": task.priority,
        "concurrency_key": task.concurrency_key,
        "timeout": task.timeout // _MICROSECOND,
        "max_attempts": task.retry.max_attempts,
        "backoff": task.retry.backoff.value,
        "backoff_base": task.retry.base // _MICROSECOND,
        "backoff_cap": task.retry.cap // _MICROSECOND,
    }


def _template(stored: dict[str, Any], owner: str | None) -> TaskTemplate:
    return TaskTemplate(
        title=stored["title"],
        description=stored["description"],
        owner=owner,
        labels=tuple((name, value) for name, value in stored["labels"]),
        action=action_from(stored["action"]),
        queue=stored["queue"],
        priority=stored["priority"],
        concurrency_key=stored.get("concurrency_key"),  # a release before this one wrote none
        timeout=stored["timeout"] * _MICROSECOND,
        retry=RetryPolicy(
            max_attempts=stored["max_attempts"],
            backoff=Backoff(stored["backoff"]),
            base=stored["backoff_base"] * _MICROSECOND,
            cap=stored["backoff_cap"] * _MICROSECOND,
        ),
    )


async def _locked(
    connection: Connection, tenant: str, id: UUID, version: int | None, owner: str | None
) -> asyncpg.Record:
    record = await connection.fetchrow(LOCK, tenant, id)
    if record is None or (owner is not None and record["owner"] != owner):
        raise NotFound("There is no such schedule.")
    if version is not None and record["version"] != version:
        raise StaleVersion(f"The schedule is at version {record['version']}: read it again.", ("version",))
    return record
