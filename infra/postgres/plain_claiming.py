"""The statements for when no queue has settings and no task a key: the same, and cheaper.

Parameters 1 to 8 are those of `infra.postgres.floors.Floors`.
"""

from __future__ import annotations

from infra.postgres.claim_parts import (
    ANSWER,
    AWAITING,
    BUSY,
    CLAIMED,
    DUE_AT,
    IN_FLIGHT,
    LANE_ORDER,
    PLACES,
    WAITING,
    WAITING_AT,
    chosen,
    room,
    row,
)

_NO_LIMITS = f"""not exists (select from queues) and (
    select tenant from tasks where {AWAITING} order by tenant, concurrency_key, queue limit 1) is null"""

# Told when all that was due is seen and taken; counted from the answer, as in NEXT_DUE.
_IDLE_FOR = f"""
    case when (select count(*) from due) < least($10, room.tasks)
        and (select count(*) from claimed) = (select count(*) from due)
    then least(now() + interval '1 hour', (
        select min(first.scheduled_at) from places as p cross join lateral (
            select scheduled_at from tasks
            where {WAITING} and (tenant, queue, priority) <= (p.tenant, p.queue, p.priority)
                and (tenant, queue, priority, scheduled_at) > (p.tenant, p.queue, p.priority, now())
            {LANE_ORDER} limit 1
        ) as first)) - clock_timestamp() end
"""
_SUMMARY = row(
    "claim",
    at="now()",
    room="free",
    workers="room.workers",
    limits="false",
    complete="plain.so",
    idle_for=_IDLE_FOR,
)

# It takes nothing unless it sees for itself that there is neither a limit nor a key; then it is not complete.
CLAIM_PLAIN = f"""
with {IN_FLIGHT}, {room("$9")}, {BUSY}, {PLACES}, due as materialized (
    select d.* from places as p cross join lateral (
        {DUE_AT} limit least($10::int, (select tasks from room))
    ) as d
), plain as materialized (
    select {_NO_LIMITS} and not exists (select from due where concurrency_key is not null) as so
), {chosen("due where (select so from plain)", "$10")}, {CLAIMED}
{ANSWER}
union all
{_SUMMARY} from room, plain
"""

# It follows a hand-over, and must not be in its way. Its answer holds where there are no limits.
NEXT_DUE_PLAIN = f"""
with {PLACES}
select {_NO_LIMITS} as plain, min(first.scheduled_at) - clock_timestamp() as due_in
from places as p cross join lateral ({WAITING_AT} limit 1) as first
where $3::uuid[] is not null
"""
