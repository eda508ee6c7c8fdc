"""Looks once a second at what is due and not handed over: little is read while nothing is late."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from prometheus_client import CollectorRegistry, Gauge

from domain.errors import Unavailable
from domain.resilience.backlogs import Backlog, BacklogLimits, Backlogs
from infra.background import background
from infra.postgres.database import Database
from infra.postgres.lanes import due_in
from infra.settings import Settings
from infra.telemetry.spells import Spell

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks."""
SHARE = 20
"""A look that takes long is followed by a pause this many times as long."""

# The first of each lane; all are counted only when one is late, no further than to know that it is too much of
# its tenant, or of all: who has much does not keep what others have from being counted. What waits for its key,
# or in a queue that is paused, waits on purpose.
LOOK = f"""
with first as materialized (
    select l.tenant, l.queue, l.priority, f.scheduled_at
    from lanes as l cross join lateral ({due_in("l", 1)}) as f
    where not exists (select from queues as q where q.tenant = l.tenant and q.name = l.queue and q.paused)
), late as materialized (
    select from first where scheduled_at < now() - $1::interval limit 1
), counted as materialized (
    select t.tenant from (select distinct tenant from first where exists (select from late)) as t
    cross join lateral (
        select from first as f cross join lateral ({due_in("f", "$2", "")}) as each
        where f.tenant = t.tenant limit $2
    ) as own
    limit $3
)
select tenant, coalesce(tasks, 0) as tasks, extract(epoch from now() - oldest)::float8 as seconds
from (select tenant, min(scheduled_at) as oldest from first group by tenant) as o
left join (select tenant, count(*) as tasks from counted group by tenant) as n using (tenant)
where exists (select from late)
"""  # tasks_claimable


class PostgresBacklogs:
    """Tells `backlogs` what there is."""

    def __init__(self, database: Database, limits: BacklogLimits, registry: CollectorRegistry) -> None:
        self._database = database
        self._limits = limits
        self.backlogs = Backlogs(limits)
        in_all = Gauge(
            "carillon_overloaded",
            "1 while no tasks may be made for anybody, as too much is due and not started",
            registry=registry,
        )
        in_all.set_function(lambda: self.backlogs.overloaded)
        of_tenants = Gauge(
            "carillon_overloaded_tenants",
            "Tenants for whom no tasks may be made, as too much of theirs is due and not started",
            registry=registry,
        )
        of_tenants.set_function(lambda: self.backlogs.overloaded_tenants)
        self._spell = Spell(
            log,
            begins="too much is due: tasks are not made for some",
            ended="tasks are made for everybody again",
            counted=lambda: self.backlogs.refused,
            lasts=lambda: self.backlogs.refuses,
        )

    async def look_once(self) -> None:
        """While it cannot be seen, nothing is refused for it."""
        limits = self._limits
        late, own, in_all = timedelta(seconds=limits.seconds), limits.tenant_tasks + 1, limits.tasks + 1
        try:
            async with self._database.work("backlogs") as connection:
                rows = await connection.fetch(LOOK, late, own, in_all)
        except Unavailable:
            rows = []
        self.backlogs.tell({row["tenant"]: Backlog(row["tasks"], row["seconds"]) for row in rows})
        if self.backlogs.refuses:
            self._spell.goes_on(tenants=self.backlogs.overloaded_tenants)

    async def look_forever(self) -> None:
        while True:
            began = time.perf_counter()
            await self.look_once()
            await asyncio.sleep(max(PAUSE, (time.perf_counter() - began) * SHARE))


@asynccontextmanager
async def open_backlogs(
    settings: Settings, database: Database, registry: CollectorRegistry
) -> AsyncIterator[Backlogs]:
    limits = BacklogLimits(
        tenant_tasks=settings.overload_tenant_tasks,
        tasks=settings.overload_tasks,
        seconds=settings.overload_seconds,
    )
    looking = PostgresBacklogs(database, limits, registry)
    async with background() as tasks:
        tasks.start(looking.look_forever(), "look-at-backlogs")
        yield looking.backlogs
