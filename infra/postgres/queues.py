"""Queues in PostgreSQL: their settings, and what waits and runs in each."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import TooMany
from domain.queues.model import Queue, QueueEdit
from infra.postgres.claiming import BEGIN_LOCKED
from infra.postgres.database import Database
from infra.postgres.lanes import due_in

COUNT_LIMIT = 100_000
"""Up to so many tasks are counted in each lane."""
RECENT_LIMIT = 20_000
"""Changes of tasks that are looked at to tell how many finish: when a minute has more, the latest ones."""

NAMES = """names as materialized (
    select name from (
        select queue as name from lanes where tenant = $1 union select name from queues where tenant = $1
    ) as known
    where $2::text[] is null or name = any($2) order by name limit $3
)"""
SETTINGS = f"""
with {NAMES}
select n.name, coalesce(s.paused, false) as paused, s.concurrency, s.rate_per_second
from names as n left join queues as s on s.tenant = $1 and s.name = n.name
order by n.name
"""
# In bounded time: lanes are counted to a limit, and so are the changes of a minute.
FIGURES = f"""
with {NAMES}, waiting as materialized (
    select l.queue, w.* from lanes as l cross join lateral (
        select count(*) as tasks, min(scheduled_at) as oldest from ({due_in("l", COUNT_LIMIT)}) as due
    ) as w
    where l.tenant = $1 and l.queue in (select name from names)
    union all
    select queue, count(*), min(scheduled_at) from (
        select queue, scheduled_at from tasks
        where state in ('SCHEDULED', 'RETRYING') and awaits_key and tenant = $1 limit {COUNT_LIMIT}
    ) as parked group by queue
    union all
    select queue, count(*), min(scheduled_at) from tasks
    where state = 'QUEUED' and tenant = $1 group by queue
), due as materialized (
    select queue, sum(tasks)::int as tasks, min(oldest) as oldest from waiting group by queue
), running as materialized (
    select queue, count(*)::int as tasks from tasks where state = 'RUNNING' and tenant = $1 group by queue
), recent as materialized (
    select queue, finished_at, updated_at from tasks
    where tenant = $1 and updated_at > now() - interval '1 minute' order by updated_at desc limit {RECENT_LIMIT}
), span as (
    select case when count(*) < {RECENT_LIMIT} then 60
        else greatest(0.001, extract(epoch from now() - min(updated_at))) end as seconds from recent
), finished as materialized (
    select queue, count(*) / (select seconds from span) as a_second from recent
    where finished_at > now() - interval '1 minute' group by queue
)
select n.name, coalesce(s.paused, false) as paused, s.concurrency, s.rate_per_second,
    coalesce(due.tasks, 0) as depth, coalesce(running.tasks, 0) as running,
    coalesce(extract(epoch from now() - due.oldest), 0)::float8 as oldest_due_seconds,
    coalesce(finished.a_second, 0)::float8 as finished_per_second
from names as n
left join queues as s on s.tenant = $1 and s.name = n.name
left join due on due.queue = n.name
left join running on running.queue = n.name
left join finished on finished.queue = n.name
order by n.name
"""  # tasks_claimable, tasks_awaiting_key, tasks_in_flight, tasks_running, tasks_by_update

# A limit that is set starts with what a second allows; one that is changed keeps no more than that.
CHANGE = """
insert into queues as q (tenant, name, paused, concurrency, rate_per_second, tokens)
values ($1, $2, coalesce($3, false), $5, $7::float8, coalesce(greatest(1, $7::float8), 0))
on conflict (tenant, name) do update
set paused = coalesce($3, q.paused),
    concurrency = case when $4 then $5 else q.concurrency end,
    rate_per_second = case when $6 then $7::float8 else q.rate_per_second end,
    tokens = case when $6 then case when q.rate_per_second is null then excluded.tokens
                                    else least(q.tokens, excluded.tokens) end else q.tokens end,
    refilled_at = case when $6 then now() else q.refilled_at end
"""
FORGET = """
delete from queues
where tenant = $1 and name = $2 and not paused and concurrency is null and rate_per_second is null
"""
OTHERS = "select count(*) from queues where tenant = $1 and name <> $2"


class PostgresQueues:
    """Implements domain.queues.ports.Queues."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(
        self, tenant: str, limit: int, names: Sequence[str] | None = None, *, figures: bool = True
    ) -> list[Queue]:
        work, statement = ("queues", FIGURES) if figures else ("queue_settings", SETTINGS)
        async with self._database.read(work, tenant) as connection:
            records = await connection.fetch(statement, tenant, names, limit)
        return [Queue(**record) for record in records]

    async def find(self, tenant: str, name: str) -> Queue:
        found = await self.all(tenant, 1, [name])
        return found[0] if found else Queue(name=name)

    async def change(self, tenant: str, name: str, edit: QueueEdit, limit: int) -> None:
        given = edit.given()
        # As a claim does: none that began before still goes by what was set then.
        async with self._database.begun("change_queue", BEGIN_LOCKED, tenant) as connection:
            if await connection.fetchval(OTHERS, tenant, name) >= limit:
                raise TooMany(
                    f"Something is set for {limit:,} queues already: the most there may be.", ("name",)
                )
            await connection.execute(
                CHANGE,
                tenant,
                name,
                given.get("paused"),
                "concurrency" in given,
                given.get("concurrency"),
                "rate_per_second" in given,
                given.get("rate_per_second"),
            )
            await connection.execute(FORGET, tenant, name)
