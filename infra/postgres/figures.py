"""What the tables say of the whole installation, for metrics: each figure bounded in what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.postgres.database import Database
from infra.postgres.lanes import due_in

DUE_LIMIT = 100_000
WAITING_LIMIT = 10_000
"""Each of them is read from its row, which the index of those due need not be."""
TENANT_LIMIT = 1_000
"""Due tasks that are counted of each tenant that has figures of its own."""

# tasks_waiting, tasks_in_flight. Ended tasks are counted as they end, not here. In the order of the index,
# or the planner may read the whole table for the few it is after.
WAITING = f"""
select state::text, queue, count(*) from (
    select state, queue from tasks where state in ('SCHEDULED', 'RETRYING')
    order by tenant, scheduled_at, id limit {WAITING_LIMIT}
) as waiting group by state, queue
union all select state::text, queue, count(*) from tasks where state in ('QUEUED', 'RUNNING')
group by state, queue
"""
# What somebody paused waits because it should: it is told apart.
_DUE_OF_LANE = f"lane as l cross join lateral ({due_in('l', DUE_LIMIT)}) as t"
DUE = f"""
with paused as materialized (
    select tenant, name as queue from queues where paused
), lane as materialized (
    select l.*, exists (select from paused as p where p.tenant = l.tenant and p.queue = l.queue) as paused
    from lanes as l
), due as (
    (select false as paused, t.scheduled_at from {_DUE_OF_LANE} where not l.paused limit {DUE_LIMIT})
    union all
    (select true, t.scheduled_at from {_DUE_OF_LANE} where l.paused limit {WAITING_LIMIT})
    union all
    (select exists (select from paused as p where p.tenant = t.tenant and p.queue = t.queue), t.scheduled_at
    from tasks as t
    where t.state in ('SCHEDULED', 'RETRYING') and t.awaits_key and t.scheduled_at <= now()
    limit {DUE_LIMIT})
)
select count(*) filter (where not paused) as due, count(*) filter (where paused) as paused,
    coalesce(extract(epoch from now() - min(scheduled_at) filter (where not paused)), 0)::float8 as age
from due
"""  # tasks_claimable, tasks_awaiting_key
TENANTS = f"""
select n.tenant, due.tasks as due, due.age, flying.tasks as in_flight
from unnest($1::text[]) as n(tenant)
cross join lateral (
    select count(*) as tasks, coalesce(extract(epoch from now() - min(scheduled_at)), 0)::float8 as age from (
        select scheduled_at from tasks
        where state in ('SCHEDULED', 'RETRYING') and tenant = n.tenant and scheduled_at <= now()
        order by scheduled_at limit {TENANT_LIMIT}
    ) as first
) as due
cross join lateral (
    select count(*) as tasks from tasks where state in ('QUEUED', 'RUNNING') and tenant = n.tenant
) as flying
"""  # tasks_waiting, tasks_in_flight
PING = "select 1 from tasks limit 1"
NOBODY = ""
"""A tenant that has no rows."""


# What died since the oldest snapshot of this database cannot be cleared away. Vacuum's own holds back nothing.
# Without pg_read_all_stats only the sessions of our user are seen.
OLDEST_SNAPSHOT = """
select coalesce(max(extract(epoch from now() - xact_start)), 0)::float8 from pg_stat_activity
where backend_xmin is not null and datname = current_database()
    and backend_type <> 'autovacuum worker' and pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class TenantFigures:
    tenant: str
    due: int
    """Counted up to 1,000."""
    age: float
    """Seconds the longest due of them has been."""
    in_flight: int


@dataclass(frozen=True, slots=True)
class Figures:
    waiting: dict[tuple[str, str], int]
    """Tasks that have not ended, by state and queue; those that wait are counted up to 10,000 together."""
    due: int
    """Counted up to 100,000, and as many that wait for their concurrency key."""
    due_paused: int
    """In paused queues, counted up to 10,000, and those that wait for their concurrency key."""
    oldest_due_seconds: float
    """Without those in paused queues."""
    oldest_snapshot_seconds: float
    """How long the transaction has lasted that keeps the dead from being cleared away."""
    tenants: Sequence[TenantFigures]


class PostgresFigures:
    def __init__(self, database: Database, tenants: Sequence[str] = ()) -> None:
        """`tenants` are those that have figures of their own."""
        self._database = database
        self._tenants = list(tenants)

    async def read(self) -> Figures:
        async with self._database.work("figures") as connection:
            waiting = await connection.fetch(WAITING)
            due = await connection.fetchrow(DUE)
            snapshot = await connection.fetchval(OLDEST_SNAPSHOT)
            tenants = await connection.fetch(TENANTS, self._tenants)
        assert due is not None, "an aggregate always answers"
        return Figures(
            waiting={(record["state"], record["queue"]): record["count"] for record in waiting},
            due=due["due"],
            due_paused=due["paused"],
            oldest_due_seconds=due["age"],
            oldest_snapshot_seconds=snapshot,
            tenants=[TenantFigures(**record) for record in tenants],
        )

    async def ping(self) -> None:
        """Raises Unavailable, also when the tables are not there, or what is done for tenants is refused."""
        async with self._database.work("ping") as connection:
            await connection.fetchval(PING)
        async with self._database.work("ping_as_tenant", NOBODY) as connection:
            await connection.fetchval(PING)
