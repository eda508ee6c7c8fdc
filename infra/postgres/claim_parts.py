"""The parts of the statements that choose due tasks.

Parameters 1 to 3 or 1 to 8 are those of `infra.postgres.floors.Floors`.
"""

from __future__ import annotations

WAITING = "state in ('SCHEDULED', 'RETRYING') and not awaits_key"  # tasks_claimable, tasks_keyed
AWAITING = "state in ('SCHEDULED', 'RETRYING') and awaits_key"  # tasks_awaiting_key
AT_WORK = "state in ('QUEUED', 'RUNNING')"  # tasks_in_flight
_FLOOR = "(least($1::timestamptz, now()) - $2::interval)"

# Counted anew each time, never kept in a number that could leak. What is looked up by id compares states as
# texts, so that no plan walks a partial index instead.
IN_FLIGHT = f"""in_flight as materialized (
    select id, tenant, queue, concurrency_key, state, worker_id, updated_at from tasks
    where {AT_WORK} and updated_at >= {_FLOOR}
    union all
    select id, tenant, queue, concurrency_key, state, worker_id, updated_at from tasks
    where id = any($3::uuid[]) and state::text in ('QUEUED', 'RUNNING') and updated_at < {_FLOOR}
)"""

# Counted in one pass, and joined: what counts anew for each queue or candidate takes seconds with thousands.
BUSY = """busy as materialized (
    select tenant, queue, count(*)::int as tasks from in_flight group by tenant, queue
)"""

ROOM = """greatest(0,
    coalesce((select sum(slots) from workers where lease_until > now() and not draining), 0)
    - (select count(*) from in_flight as f where f.state = 'QUEUED' or exists (
        select from workers as w
        where w.id = f.worker_id and w.lease_until > now() and not w.draining)))::int"""

# A first place above the floor is none to begin at: what comes in between does not say so.
PLACES = f"""places as materialized (
    select l.tenant, l.queue, l.priority,
        case when l.reopened_at > {_FLOOR} then '-infinity' else coalesce(f.at, {_FLOOR}) end as at,
        case when l.reopened_at > {_FLOOR} or f.id is null
            then '00000000-0000-0000-0000-000000000000' else f.id end as id
    from lanes as l
    left join unnest($4::text[], $5::text[], $6::smallint[], $7::timestamptz[], $8::uuid[])
        as f(tenant, queue, priority, at, id)
        on f.tenant = l.tenant and f.queue = l.queue and f.priority = l.priority and f.at < {_FLOOR}
)"""

LANE_ORDER = "order by tenant, queue, priority, scheduled_at, id"
# Bounds of rows of columns, and an order of all of them: with equalities instead, whichever index is in the
# order of time could be walked, past the tasks of every other lane.
WAITING_AT = f"""
select tenant, queue, priority, id, scheduled_at, concurrency_key from tasks
where {WAITING} and (tenant, queue, priority) <= (p.tenant, p.queue, p.priority)
    and (tenant, queue, priority, scheduled_at, id) >= (p.tenant, p.queue, p.priority, p.at, p.id) {LANE_ORDER}
"""
DUE_AT = f"""
select tenant, queue, priority, id, scheduled_at, concurrency_key from tasks
where {WAITING} and (tenant, queue, priority, scheduled_at) <= (p.tenant, p.queue, p.priority, now())
    and (tenant, queue, priority, scheduled_at, id) >= (p.tenant, p.queue, p.priority, p.at, p.id) {LANE_ORDER}
"""


def room(limit: str) -> str:
    return f"""free as materialized (select {ROOM} as slots), room as materialized (
    select slots as free, least({limit}::int, slots) as tasks,
        (select count(*) from workers where lease_until > now() and not draining)::int as workers
    from free
)"""


def chosen(candidates: str, of_each: str) -> str:
    """Of these, as many as there is room for: who has the fewest in flight first."""
    return f"""chosen as materialized (
    select tenant, queue, priority, id, scheduled_at, concurrency_key,
        place + coalesce(b.tasks, 0) as turn
    from (
        select *, row_number() over (partition by tenant order by priority, scheduled_at, id) as place
        from {candidates}
    ) as ranked
    left join (select tenant, sum(tasks)::int as tasks from busy group by tenant) as b using (tenant)
    where place <= {of_each}  -- of what comes later in a tenant's order, not all was looked at
    order by turn, priority, scheduled_at, id limit (select tasks from room)
)"""


# What is chosen is locked last, and looked at again: it may have been changed since our snapshot. An array of
# ids is looked up by the primary key; a join alone may read the whole table, if it is thought to be of many.
CLAIMED = """locked as materialized (
    select t.id, c.turn from tasks as t join chosen as c on c.id = t.id
    where t.id = any(array(select id from chosen))
        and t.state::text in ('SCHEDULED', 'RETRYING') and t.scheduled_at <= now()
        and t.queue = c.queue and t.priority = c.priority
    order by t.id for update of t skip locked
), claimed as (
    update tasks as t
    set state = 'QUEUED', queued_at = now(), updated_at = now(), version = t.version + 1, awaits_key = false,
        limited = t.concurrency_key is not null or exists (
            select from queues as q
            where q.tenant = t.tenant and q.name = t.queue and q.concurrency is not null)
    from locked where t.id = locked.id
    returning t as task, locked.turn
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, 'QUEUED') from claimed
)"""

_COLUMNS = {
    "id": "uuid",
    "tenant": "text",
    "queue": "text",
    "priority": "smallint",
    "at": "timestamptz",
    "version": "int",
    "turn": "bigint",
    "key": "text",
    "room": "int",
    "workers": "int",
    "parked": "int",
    "limits": "boolean",
    "complete": "boolean",
    "idle_for": "interval",
    "traceparent": "text",
}


def row(kind: str, *, select: str = "select", **values: str) -> str:
    """A part of a claim's answer: rows of one kind, with the columns of all."""
    columns = (f"({values.get(name, 'null')})::{type} as {name}" for name, type in _COLUMNS.items())
    return f"{select} '{kind}' as kind, {', '.join(columns)}"


LANE = {"id": "id", "tenant": "tenant", "queue": "queue", "priority": "priority"}
_TASKS = row(
    "task",
    **{name: f"(task).{name}" for name in (*LANE, "version")},
    at="(task).scheduled_at",
    turn="turn",
    key="(task).concurrency_key",
    traceparent="(task).traceparent",
)
_FIRST = row("lane", select="select distinct on (tenant, queue, priority)", at="scheduled_at", **LANE)
_LONG_IN_FLIGHT = row("in flight", id="id")
SKIPPED = row("lane", at="at", **LANE)

ANSWER = f"""
{_TASKS} from claimed
union all
({_FIRST} from due order by tenant, queue, priority, scheduled_at, id)
union all
{_LONG_IN_FLIGHT} from in_flight where updated_at < now() - $2::interval
"""
