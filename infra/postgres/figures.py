"""What the tables say of the whole installation, for metrics: each figure bounded in what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from infra.postgres.database import Database

DUE_LIMIT = 100_000
WAITING_LIMIT = 10_000
"""Each of them is read from its row, which the index of those due need not be."""

# tasks_waiting, tasks_in_flight. Ended tasks are counted as they end, not here. In the order of the index,
# or the planner may read the whole table for the few it is after.
WAITING = f"""
select state::text, count(*) from (
    select state from tasks where state in ('SCHEDULED', 'RETRYING')
    order by tenant, scheduled_at, id limit {WAITING_LIMIT}
) as waiting group by state
union all select 'QUEUED', count(*) from tasks where state = 'QUEUED'
union all select 'RUNNING', count(*) from tasks where state = 'RUNNING'
"""
DUE = f"""
select count(*) as due, coalesce(extract(epoch from now() - min(scheduled_at)), 0)::float8 as age
from (
    select t.scheduled_at from (select distinct tenant from lanes) as l
    cross join lateral (
        select scheduled_at from tasks
        where state in ('SCHEDULED', 'RETRYING') and tenant = l.tenant and scheduled_at <= now()
        order by scheduled_at limit {DUE_LIMIT}
    ) as t
    limit {DUE_LIMIT}
) as due
"""  # tasks_waiting
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
class Figures:
    by_state: dict[str, int]
    """Tasks that have not ended, by state; those that wait are counted up to 10,000 together."""
    due: int
    """Counted up to 100,000."""
    oldest_due_seconds: float
    oldest_snapshot_seconds: float
    """How long the transaction has lasted that keeps the dead from being cleared away."""


class PostgresFigures:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Figures:
        async with self._database.work("figures") as connection:
            states = await connection.fetch(WAITING)
            due = await connection.fetchrow(DUE)
            snapshot = await connection.fetchval(OLDEST_SNAPSHOT)
        assert due is not None, "an aggregate always answers"
        by_state = dict.fromkeys(("SCHEDULED", "RETRYING", "QUEUED", "RUNNING"), 0)
        by_state |= {record["state"]: record["count"] for record in states}
        return Figures(by_state, due["due"], due["age"], snapshot)

    async def ping(self) -> None:
        """Raises Unavailable, also when the tables are not there, or what is done for tenants is refused."""
        async with self._database.work("ping") as connection:
            await connection.fetchval(PING)
        async with self._database.work("ping_as_tenant", NOBODY) as connection:
            await connection.fetchval(PING)
