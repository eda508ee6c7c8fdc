"""The statements that choose due tasks: by lanes, within the limits of queues and keys, fair between tenants.

Parameters 1 to 3 or 1 to 11 are those of `infra.postgres.floors.Floors`.
"""

from __future__ import annotations

from infra.postgres.claim_parts import (
    ANSWER,
    AT_WORK,
    AWAITING,
    BUSY,
    CLAIMED,
    DUE_AT,
    IN_FLIGHT,
    LANE,
    LANE_ORDER,
    PLACES,
    ROOM,
    SKIPPED,
    WAITING,
    WAITING_AT,
    chosen,
    room,
    row,
)
from infra.postgres.lanes import reopen

MOST_PARKED = 2_000
"""Tasks that one claim sets aside until their key is free."""
MOST_PASSED = 100_000
"""Tasks a claim goes past in a lane, since their key is held and they are not set aside yet."""

COUNT_ROOM = f"with {IN_FLIGHT} select {ROOM}"

# `most` is how many more tasks the queue's settings allow now; null is any number. Tokens come in at its rate,
# up to those of a second. `not_before` is when the rate allows what is worth a claim: 20 ms of it.
_LIMITS = """limits as materialized (
    select tenant, queue, rate, filled, in_flight >= concurrency as full, paused,
        least(case when paused then 0 end, concurrency - in_flight, floor(filled)::int) as most,
        now() + make_interval(secs => greatest(0, greatest(1, rate * 0.02) - filled) / rate) as not_before
    from (
        select q.tenant, q.name as queue, q.paused, q.concurrency, q.rate_per_second as rate,
            coalesce(b.tasks, 0) as in_flight,
            case when q.rate_per_second is not null then
                least(greatest(1, q.rate_per_second), q.tokens + q.rate_per_second
                    * greatest(0, extract(epoch from now() - q.refilled_at)::float8)) end as filled
        from queues as q left join busy as b on b.tenant = q.tenant and b.queue = q.name
    ) as q
)"""

MOST_KEYS = 500
"""Keys with tasks set aside that one statement walks over; the next claim goes on behind them."""

# Of each key that nobody holds and queue, the first that was set aside: a walk that skips from key to key.
_FREED = f"""keys(tenant, concurrency_key, queue, place) as (
    (select tenant, concurrency_key, queue, 1 from tasks
     where {AWAITING} and (tenant, concurrency_key, queue) > ($9::text, $10::text, $11::text)
     order by 1, 2, 3 limit 1)
    union all
    select n.*, k.place + 1 from keys as k cross join lateral (
        select tenant, concurrency_key, queue from tasks
        where {AWAITING} and (tenant, concurrency_key, queue) > (k.tenant, k.concurrency_key, k.queue)
        order by 1, 2, 3 limit 1
    ) as n
    where k.place < {MOST_KEYS}
), freed as materialized (
    select k.tenant, k.queue, k.concurrency_key, first.priority, first.scheduled_at, first.id, q.most
    from keys as k
    cross join lateral (
        select id, priority, scheduled_at from tasks
        where {AWAITING} and tenant = k.tenant and concurrency_key = k.concurrency_key and queue = k.queue
            and scheduled_at <= now()
        order by priority, scheduled_at, id limit 1
    ) as first
    left join limits as q on q.tenant = k.tenant and q.queue = k.queue
    where not exists (
        select from in_flight as f where f.tenant = k.tenant and f.concurrency_key = k.concurrency_key)
)"""

_SUMMARY = row(
    "claim",
    at="now()",
    room="free",
    workers="room.workers",
    parked="select count(*) from parked",
    limits="""exists (select from limits) or $9::text <> '' or exists (select from keys)
        or exists (select from blocked)""",
    complete=f"""(select count(*) from blocked) = (select count(*) from parked)
        and (select count(*) from blocked) < {MOST_PARKED}""",
)
_LAST_KEY = row("key", tenant="tenant", queue="queue", key="concurrency_key")

# MATERIALIZED throughout: a plan that ran a part twice could claim more than its limit.
CLAIM = f"""
with recursive {IN_FLIGHT}, {room("$12")}, held as materialized (
    select tenant, concurrency_key from in_flight where concurrency_key is not null
), {BUSY}, {_LIMITS}, {PLACES}, {_FREED}, due as materialized (
    select d.*, q.most from places as p
    left join limits as q on q.tenant = p.tenant and q.queue = p.queue
    cross join lateral (
        select front.* from (
            {DUE_AT} limit {MOST_PASSED}
        ) as front
        where concurrency_key is null
            or (tenant, concurrency_key) not in (select tenant, concurrency_key from held)
        {LANE_ORDER} limit greatest(0, least(q.most, $13::int, (select tasks from room)))
    ) as d
), allowed as (
    select *, row_number() over (partition by tenant, queue order by priority, scheduled_at, id) as in_queue
    from (
        select tenant, queue, priority, id, scheduled_at, concurrency_key, most from due
        union all
        select tenant, queue, priority, id, scheduled_at, concurrency_key, most from freed
        where most is null or most > 0
    ) as one
), apart as (
    select *, row_number() over (
        partition by tenant, concurrency_key, case when concurrency_key is null then id end
        order by priority, scheduled_at, id) as in_key
    from allowed where most is null or in_queue <= most
), {chosen("apart where in_key = 1", "$13")}, {CLAIMED}, spent as (
    update queues as q set tokens = l.filled - c.tasks, refilled_at = greatest(q.refilled_at, now())
    from (select (task).tenant, (task).queue, count(*) as tasks from claimed group by 1, 2) as c
    join limits as l on l.tenant = c.tenant and l.queue = c.queue
    where q.tenant = c.tenant and q.name = c.queue and q.rate_per_second is not null
), blocked as materialized (
    select b.id from (
        select tenant, concurrency_key from held
        union select tenant, concurrency_key from chosen where concurrency_key is not null
    ) as k
    cross join lateral (
        select id from tasks
        where {WAITING} and concurrency_key is not null
            and tenant = k.tenant and concurrency_key = k.concurrency_key and scheduled_at <= now()
        order by scheduled_at limit {MOST_PARKED}
    ) as b
    where not exists (select from chosen as c where c.id = b.id)
    limit {MOST_PARKED}
), parked as (
    update tasks set awaits_key = true
    where id in (
        select id from tasks
        where id = any(array(select id from blocked)) and state::text in ('SCHEDULED', 'RETRYING')
            and concurrency_key is not null and scheduled_at <= now()
        order by id for update skip locked)
    returning id
)
{ANSWER}
union all
{_SUMMARY} from room
union all
{SKIPPED} from places where (tenant, queue) in (select tenant, queue from limits where most <= 0)
union all
{_LAST_KEY} from keys where place = {MOST_KEYS}
"""

# What floors are, by a look at everything: the first place of each lane, and all that is in flight.
LOOK = f"""
{row("lane", at="first.scheduled_at", **{name: f"first.{name}" for name in LANE})}
from (select tenant, queue, priority, '-infinity'::timestamptz as at,
    '00000000-0000-0000-0000-000000000000'::uuid as id from lanes) as p
cross join lateral ({WAITING_AT} limit 1) as first
union all
{row("in flight", id="id")} from tasks where {AT_WORK}
union all
{row("look", at="now()")}
"""  # tasks_claimable, tasks_in_flight

# One scheduler at a time counts the room and the limits and fills them; else each would fill all. The lock has
# a statement of its own, before the one that counts: that one must see what the last holder committed.
BEGIN_LOCKED = "begin; select pg_advisory_xact_lock(hashtext('carillon.room'))"

TAKE_BACK = f"""
with found as materialized (
    select id from tasks where id = any($1) and state = 'QUEUED' order by id for update
), taken as (
    update tasks as t
    set state = 'SCHEDULED', queued_at = null, updated_at = now(), version = t.version + 1
    from found where t.id = found.id
    returning t as task
), told as (
    insert into outbox (partition, event)
    select outbox_partition((task).id), task_changed_v1(task, 'RESCUED') from taken
), {reopen("taken")}
select (task).id, (task).tenant, (task).version from taken
"""

# What a limit holds back is left out: whatever frees it sends a signal. Counted from the answer, not from the
# transaction's begin, or every sleep would be too long by a round trip.
NEXT_DUE = f"""
with recursive {IN_FLIGHT}, {BUSY}, {_LIMITS}, {PLACES}, {_FREED}
select least(
    (select min(greatest(first.scheduled_at, q.not_before)) from places as p
     left join limits as q on q.tenant = p.tenant and q.queue = p.queue
     cross join lateral ({WAITING_AT} limit 1) as first
     where (q.full or q.paused) is not true),
    (select min(greatest(f.scheduled_at, q.not_before)) from freed as f
     left join limits as q on q.tenant = f.tenant and q.queue = f.queue
     where (q.full or q.paused) is not true),
    (select now() from keys where place = {MOST_KEYS})  -- there are more of them to walk over
) - clock_timestamp()
"""
