"""Many schedules that fire in the same second, and several schedulers that fire them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from domain.schedules.model import Schedule
from domain.schedules.recurrence import Cron
from infra.live.signal_metrics import SignalMetrics
from infra.memory.signals import MemorySignals
from jobs.firing import run_firing
from jobs.metrics import JobMetrics
from jobs.stop import Stop
from tests.support.engine_fakes import services_of, settings_of
from tests.support.schedules import a_schedule
from tests.support.storage import open_storage, recurrences
from tests.support.waiting import until

LEAD = timedelta(seconds=3)
FILLED_EACH_SECOND = 800
"""At least."""
MOST_CUT = 30
"""Connections: beyond, hardly a round would come to its end on a slow machine."""
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Africa/Nairobi", "Australia/Perth"]
COPIES = """
insert into schedules
select copy.* from schedules as s, generate_series(2, $1) as n,
    jsonb_populate_record(
        null::schedules, to_jsonb(s) || jsonb_build_object('id', md5(s.id::text || n))
    ) as copy
where s.id = any($2)
"""
LEFT = "select count(*) as schedules, clock_timestamp() as at from schedules where next_fire_time <= $1"
KILL = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'carillon' and state <> 'idle'
order by random() limit 1
"""
MADE = """
select count(*) as tasks, count(distinct schedule_id) as distinct_schedules,
    count(*) filter (where fire_time = $1) as at_their_time, (select count(*) from outbox) as events
from tasks where schedule_id is not null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fires:
    seconds: float
    """From the fire time until the last schedule was settled."""
    tasks: int
    distinct: int
    """Schedules that have a task."""
    at_their_time: int
    events: int
    killed: int
    """Connections cut meanwhile."""


async def fire_together(
    url: str, *, schedules: int, schedulers: int, cut_every: float | None = None, limit: float = 60
) -> Fires:
    """On a database of its own, whose connections are cut every so many seconds if that is given."""
    async with AsyncExitStack() as stack:
        watcher = await asyncpg.connect(url, server_settings={"application_name": "watcher"})
        stack.push_async_callback(watcher.close)
        at = await _fill(url, watcher, schedules)
        killed: list[Any] = []
        if cut_every is not None:
            await stack.enter_async_context(_cutting(url, cut_every, killed))
        for _ in range(schedulers):
            await stack.enter_async_context(_scheduler(url))
        left: Any = None

        async def settled() -> bool:
            nonlocal left
            left = await watcher.fetchrow(LEFT, at)
            return bool(left["schedules"] == 0)

        await until(settled, limit)
        made = await watcher.fetchrow(MADE, at)
        assert made is not None
        return Fires(
            seconds=(left["at"] - at).total_seconds(),
            tasks=made["tasks"],
            distinct=made["distinct_schedules"],
            at_their_time=made["at_their_time"],
            events=made["events"],
            killed=len(killed),
        )


async def _fill(url: str, watcher: Any, count: int) -> datetime:
    """Cron expressions of every hour, in several zones; when they fire."""
    start: datetime = await watcher.fetchval(
        "select date_trunc('second', clock_timestamp()) + $1::interval",
        LEAD + timedelta(seconds=count // FILLED_EACH_SECOND),
    )
    async with open_storage(url) as storage:
        first = [await storage.schedules.add("acme", partial(_hourly, zone, start)) for zone in ZONES]
    assert {schedule.next_fire_time for schedule in first} == {start}
    await watcher.execute(COPIES, count // len(ZONES), [schedule.id for schedule in first])
    await watcher.execute("analyze")
    assert await watcher.fetchval("select clock_timestamp()") < start, "making them took too long"
    return start


def _hourly(zone: str, start: datetime, now: datetime) -> Schedule:
    expression = f"{start.second} {start.minute} * * * *"
    return a_schedule(now, zone=zone, recurrence=Cron(expression), anchor=now)


@asynccontextmanager
async def _scheduler(url: str) -> AsyncIterator[None]:
    """The loop of one process, on connections of its own."""
    async with open_storage(url) as storage:
        services = services_of(
            settings=settings_of(),
            firing=storage.firing,
            recurrences=recurrences,
            signals=MemorySignals(SignalMetrics(CollectorRegistry())),
        )
        stop = Stop()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_firing(services, stop, JobMetrics(services.metrics)))
            try:
                yield
            finally:
                stop.ask()


@asynccontextmanager
async def _cutting(url: str, every: float, killed: list[Any]) -> AsyncIterator[None]:
    connection = await asyncpg.connect(url, server_settings={"application_name": "cutter"})

    async def cut() -> None:
        while len(killed) < MOST_CUT:
            await asyncio.sleep(every)
            killed.extend(await connection.fetch(KILL))

    async with asyncio.TaskGroup() as group:
        cutting = group.create_task(cut())
        try:
            yield
        finally:
            cutting.cancel()
    await connection.close()
