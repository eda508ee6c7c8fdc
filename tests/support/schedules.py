"""Schedules to put into storage, and what firing made of them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.actions.model import Notify
from domain.attempts.retry import RetryPolicy
from domain.schedules.model import Schedule, TaskTemplate
from domain.schedules.planning import planned
from domain.schedules.recurrence import Every
from domain.tasks.model import Task
from tests.support.storage import Storage, ids, recurrences

TEMPLATE = TaskTemplate(
    title="Water the plants",
    action=Notify(body="The ferns too"),
    timeout=timedelta(seconds=60),
    retry=RetryPolicy(),
)
HOURLY = Every(timedelta(hours=1))


def a_schedule(now: datetime, **changes: Any) -> Schedule:
    """Every hour from now on, of the tenant `acme`."""
    schedule = Schedule(
        **{
            "id": ids.next(),
            "tenant": "acme",
            "name": "Garden",
            "recurrence": HOURLY,
            "task": TEMPLATE,
            "anchor": now.replace(microsecond=0),
            "settled_until": now,
            "created_at": now,
            "updated_at": now,
            **changes,
        }
    )
    return planned(schedule, recurrences)


class Garden:
    """Schedules of a storage, and its clock."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def now(self) -> datetime:
        """By the clock of the database."""
        async with self.storage.database.work("test") as connection:
            now: datetime = await connection.fetchval("select clock_timestamp()")
        return now

    async def add(self, **changes: Any) -> Schedule:
        tenant = changes.get("tenant", "acme")
        return await self.storage.schedules.add(tenant, lambda now: a_schedule(now, **changes))

    async def add_passed(self, times: int, every: timedelta = timedelta(hours=1), **changes: Any) -> Schedule:
        """The last of so many fire times passed ten seconds ago, and nothing has fired yet."""

        def make(now: datetime) -> Schedule:
            latest = now.replace(microsecond=0) - timedelta(seconds=10)
            anchor = latest - times * every
            return a_schedule(
                now, **{"recurrence": Every(every), "anchor": anchor, "settled_until": anchor, **changes}
            )

        return await self.storage.schedules.add(changes.get("tenant", "acme"), make)

    async def find(self, schedule: Schedule) -> Schedule:
        [found] = await self.storage.schedules.find(schedule.tenant, [schedule.id])
        assert found is not None
        return found

    async def pass_by(self, schedule: Schedule, times: int = 1) -> Schedule:
        """As if so many more of its hours had passed: what is stored of it is moved into the past."""
        await self.storage.execute(
            """update schedules
               set anchor = anchor - $2::interval, settled_until = settled_until - $2::interval,
                   next_fire_time = next_fire_time - $2::interval,
                   held_fire_time = held_fire_time - $2::interval
               where id = $1""",
            schedule.id,
            times * timedelta(hours=1),
        )
        await self.storage.execute(
            "update tasks set fire_time = fire_time - $2::interval where schedule_id = $1",
            schedule.id,
            times * timedelta(hours=1),
        )
        return await self.find(schedule)

    async def tasks(self, schedule: Schedule) -> list[Task]:
        """In the order of their fire times."""
        async with self.storage.database.work("test") as connection:
            records = await connection.fetch(
                "select id from tasks where schedule_id = $1 order by fire_time, created_at", schedule.id
            )
        return await self._found([record["id"] for record in records])

    async def fire_times(self, schedule: Schedule) -> list[datetime]:
        return [task.fire_time for task in await self.tasks(schedule) if task.fire_time is not None]

    async def end(self, *tasks: Task) -> None:
        await self.storage.execute(
            "update tasks set state = 'SUCCEEDED' where id = any($1)", [task.id for task in tasks]
        )

    async def facts(self) -> list[dict[str, Any]]:
        """Of schedules, as the outbox holds them."""
        async with self.storage.database.work("test") as connection:
            records = await connection.fetch(
                "select event from outbox where event->>'type' = 'schedule.misfired.v1' order by seq"
            )
        return [json.loads(record["event"]) for record in records]

    async def _found(self, ids: list[UUID]) -> list[Task]:
        return [task for task in await self.storage.tasks.find("acme", ids) if task is not None]
