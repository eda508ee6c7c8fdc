"""Tasks in PostgreSQL: their row, its mapping, and every write together with its event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg

from domain.contracts.tasks import TaskEventKind
from domain.errors import Conflict, NotFound, StaleVersion, Unavailable
from domain.paging import Page, PageRequest, page_of
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace
from domain.tasks.model import Task
from domain.tasks.ports import Added, Change
from domain.tasks.states import TaskState
from domain.tasks.words import words
from infra.encryption.headers import HeaderSeals
from infra.postgres.actions import action_to_json
from infra.postgres.database import Connection, Database, columns
from infra.postgres.lanes import register
from infra.postgres.task_listing import (
    MATCHES,
    ORDERS,
    OWNED,
    Arguments,
    Order,
    Where,
    conditions,
    matches,
    owned,
    page_clause,
)
from infra.postgres.task_rows import COLUMNS, WHOLE, rows_with, task_from

_OF_TASK = ", ".join(f"(task).{column.strip()}" for column in COLUMNS.split(","))
"""The same of a whole row. `(task).*` would be other columns as soon as a later layout has more of them."""

# A null instant means "now", and only the database's clock says when that is.
ADD = f"""
with given as materialized (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
        $7::text[], $8::smallint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::interval[],
        $14::smallint[], $15::text[], $16::interval[], $17::interval[], $18::text[], $19::bytea[], $20::text[],
        $21::uuid[], $22::int[], $23::timestamptz[])
        as n(id, tenant, title, description, scheduled_at, action, queue, priority, key, owner, labels,
            concurrency_key, timeout, max_attempts, backoff, backoff_base, backoff_cap, traceparent,
            fingerprint, words, schedule_id, schedule_revision, fire_time)
), added as (
    insert into tasks as t (id, tenant, title, description, scheduled_at, action, queue, priority, key, owner,
        labels, concurrency_key, timeout, max_attempts, backoff, backoff_base, backoff_cap, traceparent,
        fingerprint, schedule_id, schedule_revision, fire_time, created_at, updated_at)
    select n.id, n.tenant, n.title, n.description, coalesce(n.scheduled_at, now()), n.action::jsonb, n.queue,
        n.priority, n.key, n.owner, n.labels::jsonb, n.concurrency_key, n.timeout, n.max_attempts, n.backoff,
        n.backoff_base, n.backoff_cap, n.traceparent, n.fingerprint, n.schedule_id, n.schedule_revision,
        n.fire_time, now(), now()
    from given as n
    order by n.key, n.id  -- two batches with the same keys wait for each other in one order
    on conflict do nothing  -- tasks_key, tasks_fire
    returning t.id, t.tenant, t.queue, t.priority, t.state, t.created_at, t.scheduled_at, t.labels,
        task_changed_v1(t, 'CREATED') as event
), labelled as (
    insert into task_labels (tenant, name, value, task_id)
    select added.tenant, label->>0, label->>1, added.id
    from added, jsonb_array_elements(added.labels) as label
), searchable as (
    insert into task_words (task_id, tenant, words)
    select n.id, n.tenant, array_to_tsvector(string_to_array(n.words, ' '))
    from given as n join added on added.id = n.id
), told as (
    insert into outbox (partition, event) select outbox_partition(id), event from added
), {register("added", "added")}
select id, created_at, scheduled_at from added
"""

FIND = f"select {COLUMNS} from tasks where tenant = $1 and id = any($2)"  # tasks_pkey
FIND_BY_KEYS = f"select {COLUMNS} from tasks where tenant = $1 and key = any($2)"  # tasks_key
LOCK = f"select {COLUMNS}, now() as now from tasks where tenant = $1 and id = $2 for update"

CHANGE = f"""
with changed as (
    update tasks as t
    set title = $2, description = $3, state = $4::task_state, scheduled_at = $5, action = $6::jsonb, queue = $7,
        priority = $8, owner = $9, labels = $10::jsonb, uncounted_attempts = $11::int, started_at = $12,
        finished_at = $13, cancel_requested_at = $14, result = $15::jsonb, error_type = $16,
        error_message = $17, error_attempt = $18,
        queued_at = case when $4::task_state = 'QUEUED' then t.queued_at end,
        losses = case when $11::int > t.uncounted_attempts then 0 else t.losses end, awaits_key = false,
        version = t.version + 1, updated_at = now()
    where t.id = $1
    returning t as task
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, $19) from changed
), {register("changed")}
select {_OF_TASK} from changed
"""
UNLABEL = "delete from task_labels where task_id = $1"
LABEL = """
insert into task_labels (tenant, name, value, task_id)
select $2, label->>0, label->>1, $1 from jsonb_array_elements($3::jsonb) as label
"""
REWORD = "update task_words set words = array_to_tsvector(string_to_array($2, ' ')) where task_id = $1"

DELETE = """
with gone as (delete from tasks as t where t.id = $1 returning t as task),
attempts as (delete from attempts where task_id = $1),
told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id),
        (task_changed_v1(task, 'DELETED')::jsonb
            || jsonb_build_object('version', (task).version + 1, 'at', now()))::json
    from gone
)
select 1 from gone
"""


ADD_TRIES = 3


class PostgresTasks:
    """Implements domain.tasks.ports.Tasks."""

    def __init__(self, database: Database, seals: HeaderSeals) -> None:
        self._database = database
        self._seals = seals

    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        tasks = [_sealed(task, self._seals) for task in tasks]
        for _ in range(ADD_TRIES):
            try:
                async with self._writing(tasks) as connection:
                    return await _add(connection, tasks, self._seals)
            except _KeyVanished:
                continue
        raise Unavailable("PostgreSQL")  # the tasks of our keys are deleted faster than we can read them

    def _writing(self, tasks: Sequence[Task]) -> AbstractAsyncContextManager[Connection]:
        """One statement is a transaction of its own; only a batch that may meet a key needs to be undone."""
        tenant = tasks[0].tenant
        if len(tasks) > 1 and any(task.key is not None for task in tasks):
            return self._database.transaction("add_tasks", tenant)
        return self._database.work("add_tasks", tenant)

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        async with self._database.read("find_tasks", tenant) as connection:
            records = await connection.fetch(FIND, tenant, list(ids))
        found = {record["id"]: task_from(record) for record in records}
        return [found.get(id) for id in ids]

    async def find_by_key(self, tenant: str, key: str) -> Task | None:
        async with self._database.read("find_task_by_key", tenant) as connection:
            record = await connection.fetchrow(FIND_BY_KEYS, tenant, [key])
        return task_from(record) if record else None

    async def page(
        self,
        tenant: str,
        wanted: TaskFilter,
        order: TaskOrder,
        request: PageRequest[TaskPlace],
        reading: frozenset[str] | None = None,
    ) -> Page[Task]:
        rows = WHOLE if reading is None else rows_with(reading | {"id", ORDERS[order].column})
        async with self._database.read("list_tasks", tenant) as connection:
            where, arguments = await listing_conditions(connection, tenant, wanted, ORDERS[order])
            where, tail = page_clause(where, arguments, ORDERS[order], request)
            records = await connection.fetch(
                f"select {rows.columns} from tasks where {' and '.join(where)} {tail}", *arguments
            )
        return page_of([rows.task(record) for record in records], request)

    async def count(self, tenant: str, wanted: TaskFilter, limit: int) -> int | None:
        async with self._database.read("count_tasks", tenant) as connection:
            where, arguments = await listing_conditions(connection, tenant, wanted)
            count: int = await connection.fetchval(
                f"select count(*) from (select from tasks where {' and '.join(where)} limit {limit + 1}) as t",
                *arguments,
            )
        return count if count <= limit else None

    async def change(
        self,
        tenant: str,
        id: UUID,
        change: Change,
        kind: TaskEventKind,
        *,
        version: int | None = None,
        owner: str | None = None,
    ) -> Task:
        async with self._database.transaction("change_task", tenant) as connection:
            record = await _locked(connection, tenant, id, version, owner)
            before = task_from(record)
            after = change(before, record["now"])
            if after == before:
                return before
            if after.state is TaskState.CANCELLED and before.state is not TaskState.CANCELLED:
                kind = TaskEventKind.CANCELLED
            stored = await _store(connection, after, kind, self._seals)
            await _index(connection, before, after)
        return stored

    async def delete(
        self, tenant: str, id: UUID, *, version: int | None = None, owner: str | None = None
    ) -> None:
        async with self._database.transaction("delete_task", tenant) as connection:
            record = await _locked(connection, tenant, id, version, owner)
            task_from(record).deletable()
            await connection.execute(DELETE, id)


async def listing_conditions(
    connection: Connection, tenant: str, wanted: TaskFilter, order: Order | None = None
) -> tuple[Where, Arguments]:
    """With few matches of the words, labels or owner, their ids; with many, the conditions themselves.

    The planner cannot tell which it will be, and what is right for one takes seconds for the other.
    """
    found, most = matches(tenant, wanted), MATCHES
    if found is None and order is not None:
        found, most = owned(tenant, wanted, order), OWNED
    if found is None:
        return conditions(tenant, wanted)
    statement, arguments = found
    ids = [record["task_id"] for record in await connection.fetch(statement, *arguments)]
    return conditions(tenant, wanted, None if len(ids) > most else ids)


class _KeyVanished(Exception):  # noqa: N818  says what happened, and undoes the batch
    """The task that held one of our keys was gone when we looked for it."""


async def insert(connection: Connection, tasks: Sequence[Task], seals: HeaderSeals) -> list[asyncpg.Record]:
    """With all that goes with a new task; the one place where tasks are made.

    Those whose key or fire time has a task already are left out. Of the others, id, created_at, scheduled_at.
    """
    return await connection.fetch(ADD, *_columns(tasks, seals))


async def _add(connection: Connection, tasks: Sequence[Task], seals: HeaderSeals) -> list[Added]:
    records = await insert(connection, tasks, seals)
    stored = {record["id"]: record for record in records}
    named = await _named(connection, [task for task in tasks if task.id not in stored])
    return [
        _created(task, stored[task.id]) if task.id in stored else _repeated(task, index, named)
        for index, task in enumerate(tasks)
    ]


async def _named(connection: Connection, tasks: Sequence[Task]) -> dict[str, asyncpg.Record]:
    """The stored tasks that have the keys of these, which are all of one tenant."""
    if not tasks:
        return {}
    keys = [task.key for task in tasks]
    return {record["key"]: record for record in await connection.fetch(FIND_BY_KEYS, tasks[0].tenant, keys)}


def _created(task: Task, record: asyncpg.Record) -> Added:
    at, due = record["created_at"], record["scheduled_at"]
    return Added(replace(task, created_at=at, updated_at=at, scheduled_at=due), created=True)


def _repeated(task: Task, index: int, named: dict[str, asyncpg.Record]) -> Added:
    first = named.get(task.key or "")
    if first is None:
        raise _KeyVanished
    if first["fingerprint"] != task.fingerprint:
        raise Conflict(path=(str(index), "key"), task_id=first["id"])
    return Added(task_from(first), created=False)


def _columns(tasks: Sequence[Task], seals: HeaderSeals) -> list[list[Any]]:
    rows = [
        (
            task.id,
            task.tenant,
            task.title,
            task.description,
            task.scheduled_at if task.scheduled_at != task.created_at else None,
            action_to_json(task.action, task.tenant, seals),
            task.queue,
            task.priority,
            task.key,
            task.owner,
            json.dumps(task.labels),
            task.concurrency_key,
            task.timeout,
            task.retry.max_attempts,
            task.retry.backoff.value,
            task.retry.base,
            task.retry.cap,
            task.traceparent,
            task.fingerprint,
            _words(task),
            task.schedule_id,
            task.schedule_revision,
            task.fire_time,
        )
        for task in tasks
    ]
    return columns(rows)


def _sealed(task: Task, seals: HeaderSeals) -> Task:
    action = seals.sealed(task.tenant, task.action)
    return task if action is task.action else replace(task, action=action)


def _words(task: Task) -> str:
    return " ".join(words(f"{task.title} {task.description or ''}"))


async def _locked(
    connection: Connection, tenant: str, id: UUID, version: int | None, owner: str | None
) -> asyncpg.Record:
    record = await connection.fetchrow(LOCK, tenant, id)
    if record is None or (owner is not None and record["owner"] != owner):
        raise NotFound("There is no such task.")
    if version is not None and record["version"] != version:
        raise StaleVersion(f"The task is at version {record['version']}: read it again.", ("version",))
    return record


async def _store(connection: Connection, task: Task, kind: TaskEventKind, seals: HeaderSeals) -> Task:
    error = task.error
    record = await connection.fetchrow(
        CHANGE,
        task.id,
        task.title,
        task.description,
        task.state.value,
        task.scheduled_at,
        action_to_json(task.action, task.tenant, seals),
        task.queue,
        task.priority,
        task.owner,
        json.dumps(task.labels),
        task.uncounted_attempts,
        task.started_at,
        task.finished_at,
        task.cancel_requested_at,
        None if task.result is None else json.dumps(task.result),
        error.type if error else None,
        error.message if error else None,
        error.attempt if error else None,
        kind.value,
    )
    assert record is not None, "the row is locked"
    return task_from(record)


async def _index(connection: Connection, before: Task, after: Task) -> None:
    """Labels and words have tables of their own, so that a change of state does not touch their indexes."""
    if after.labels != before.labels:
        await connection.execute(UNLABEL, after.id)
        await connection.execute(LABEL, after.id, after.tenant, json.dumps(after.labels))
    if (after.title, after.description) != (before.title, before.description):
        await connection.execute(REWORD, after.id, _words(after))
