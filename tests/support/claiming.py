"""Schedulers beside the first, and what the rows themselves say may be claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.actions.model import Succeeded
from domain.attempts.model import settle
from domain.contracts.tasks import TaskEventKind
from domain.queues.model import QueueEdit
from infra.cache.ports import TaskVersion
from infra.postgres.due_tasks import PostgresDueTasks
from tests.support.storage import Storage

WAITING = ("SCHEDULED", "RETRYING")
AT_WORK = ("QUEUED", "RUNNING")


async def _unheard(_: Sequence[TaskVersion]) -> None:
    return None


def schedulers(storage: Storage, count: int) -> list[PostgresDueTasks]:
    """Each with a memory of its own."""
    return [PostgresDueTasks(storage.engine, storage.engine, _unheard) for _ in range(count)]


async def set_queue(storage: Storage, name: str, tenant: str = "acme", **edit: object) -> None:
    await storage.queues.change(tenant, name, QueueEdit(**edit), 100)  # type: ignore[arg-type]  # as the test has it


async def done(storage: Storage, worker: UUID, ids: Sequence[UUID]) -> None:
    """Started and ended."""
    started = await storage.attempts.start(worker, ids)
    assert len(started) == len(ids)
    if started:
        await storage.attempts.finish(worker, [settle(one, Succeeded(), 0) for one in started])


async def edit(storage: Storage, id: UUID, **changes: Any) -> None:
    await storage.tasks.change(
        "acme", id, lambda task, _: replace(task.editable(), **changes), TaskEventKind.UPDATED
    )


async def rows(storage: Storage) -> list[asyncpg.Record]:
    async with storage.database.work("test") as connection:
        return await connection.fetch("select *, scheduled_at <= now() as due from tasks")


async def at_work(storage: Storage, **wanted: object) -> list[UUID]:
    """The tasks handed over or running, of these columns."""
    return [
        row["id"]
        for row in await rows(storage)
        if row["state"] in AT_WORK and all(row[name] == value for name, value in wanted.items())
    ]


async def claimable(storage: Storage) -> list[UUID]:
    """What a claim may take of the one tenant there is, in its order; by looking at every row."""
    found = await rows(storage)
    async with storage.database.work("test") as connection:
        paused = {row["name"] for row in await connection.fetch("select name from queues where paused")}
    keys = {row["concurrency_key"] for row in found if row["state"] in AT_WORK} - {None}
    due = [row for row in found if row["state"] in WAITING and row["due"] and row["queue"] not in paused]
    order = []
    for row in sorted(due, key=lambda row: (row["priority"], row["scheduled_at"], row["id"])):
        if row["concurrency_key"] not in keys:
            keys |= {row["concurrency_key"]} - {None}
            order.append(row["id"])
    return order


async def pass_time(storage: Storage, seconds: float, *memories: PostgresDueTasks) -> None:
    """Everything there is, and all that schedulers remember, becomes so much older."""
    span = timedelta(seconds=seconds)
    await storage.execute(
        "update tasks set scheduled_at = scheduled_at - $1::interval, updated_at = updated_at - $1, "
        "queued_at = queued_at - $1",
        span,
    )
    await storage.execute("update lanes set reopened_at = reopened_at - $1::interval", span)
    await storage.execute("update queues set refilled_at = refilled_at - $1::interval", span)
    for memory in memories:
        floors = memory._floors
        if floors.seen_at.year > 1:
            lanes = [(lane, at - span if at.year > 1 else at, id) for lane, at, id in floors.lanes]
            memory._floors = replace(floors, seen_at=floors.seen_at - span, lanes=lanes)
