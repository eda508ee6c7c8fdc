"""What the tables say of all queues and workers at this moment: each figure bounded in what it costs."""

from __future__ import annotations

from domain.overview.model import Overview, QueueSeen, WorkerSeen
from infra.postgres.database import Database
from infra.postgres.lanes import due_in
from infra.postgres.outbox import COUNTED as OUTBOX_COUNTED
from infra.postgres.outbox import DEPTH, PARTITIONS

LANES = 2_000
COUNTED = 10_000
"""Tasks of one lane, or that wait for a key."""
ENDED = 20_000
"""Tasks of each end that are looked at to tell what a minute had."""
ENDED_COLUMNS = "state, tenant, queue, scheduled_at, started_at, finished_at"

QUEUES = f"""
with waiting as materialized (
    select l.tenant, l.queue, w.* from (select * from lanes limit {LANES}) as l cross join lateral (
        select count(*) as tasks, count(*) >= $2 as more, min(scheduled_at) as oldest
        from ({due_in("l", "$2")}) as due
    ) as w
    union all
    select tenant, queue, count(*), sum(count(*)) over () >= $2, min(scheduled_at) from (
        select tenant, queue, scheduled_at from tasks
        where state in ('SCHEDULED', 'RETRYING') and awaits_key limit $2
    ) as parked group by tenant, queue
    union all
    select tenant, queue, count(*), false, min(scheduled_at) from tasks where state = 'QUEUED'
    group by tenant, queue
), due as materialized (
    select tenant, queue, sum(tasks)::int as tasks, bool_or(more) as more, min(oldest) as oldest
    from waiting group by tenant, queue
), running as materialized (
    select tenant, queue, count(*)::int as tasks from tasks where state = 'RUNNING' group by tenant, queue
), ended as materialized (
    (select {ENDED_COLUMNS} from tasks where state = 'SUCCEEDED' and finished_at > now() - interval '1 minute'
        order by finished_at desc limit {ENDED})
    union all
    (select {ENDED_COLUMNS} from tasks where state = 'FAILED' and finished_at > now() - interval '1 minute'
        order by finished_at desc limit {ENDED})
), span as materialized (
    select state, case when count(*) < {ENDED} then 60
        else greatest(0.001, extract(epoch from now() - min(finished_at))) end as seconds
    from ended group by state
), rates as materialized (
    select tenant, queue,
        coalesce(sum(1 / seconds) filter (where state = 'SUCCEEDED'), 0) as succeeded,
        coalesce(sum(1 / seconds) filter (where state = 'FAILED'), 0) as failed,
        percentile_cont(array[0.5, 0.99]) within group (
            order by extract(epoch from started_at - scheduled_at)::float8
        ) filter (where started_at is not null) as lateness
    from ended join span using (state) group by tenant, queue
), known as (
    select tenant, name, paused from queues where paused
    union select tenant, queue, false from due where tasks > 0
    union select tenant, queue, false from running
    union select tenant, queue, false from rates
)
select k.tenant, k.name, bool_or(k.paused) as paused, coalesce(max(due.tasks), 0) as due,
    coalesce(bool_or(due.more), false) as more_due,
    coalesce(extract(epoch from now() - min(due.oldest)), 0)::float8 as oldest_due_seconds,
    coalesce(max(running.tasks), 0) as running,
    coalesce(max(rates.succeeded), 0)::float8 as succeeded_per_second,
    coalesce(max(rates.failed), 0)::float8 as failed_per_second,
    max(rates.lateness[1]) as lateness_median, max(rates.lateness[2]) as lateness_p99
from known as k
left join due on (due.tenant, due.queue) = (k.tenant, k.name)
left join running on (running.tenant, running.queue) = (k.tenant, k.name)
left join rates on (rates.tenant, rates.queue) = (k.tenant, k.name)
group by k.tenant, k.name
order by due desc, running desc, k.tenant, k.name limit $1
"""  # tasks_claimable, tasks_awaiting_key, tasks_in_flight, tasks_running, tasks_ended
WORKERS = """
select w.name, w.slots, count(t.id)::int as running, w.draining,
    extract(epoch from w.lease_until - now())::float8 as lease_seconds,
    extract(epoch from now() - w.started_at)::float8 as up_seconds
from workers as w left join tasks as t on t.worker_id = w.id and t.state = 'RUNNING'
group by w.id order by w.name, w.id limit $1
"""  # workers_pkey, tasks_running


class PostgresOverviews:
    """Implements domain.overview.ports.Overviews."""

    def __init__(self, database: Database, counted: int = COUNTED) -> None:
        self._database = database
        self._counted = counted

    async def read(self, queues: int, workers: int) -> Overview:
        async with self._database.work("overview") as connection:
            busy = await connection.fetch(QUEUES, queues, self._counted)
            there = await connection.fetch(WORKERS, workers)
            outbox = await connection.fetchrow(DEPTH, PARTITIONS)
        assert outbox is not None, "an aggregate always answers"
        return Overview(
            queues=[QueueSeen(**record) for record in busy],
            workers=[WorkerSeen(**record) for record in there],
            outbox_events=outbox["depth"],
            more_outbox_events=outbox["depth"] >= OUTBOX_COUNTED,
            outbox_oldest_seconds=outbox["age"],
        )
