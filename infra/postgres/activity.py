"""What running attempts tell of themselves, in PostgreSQL: off the task's row, which is costly to write."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from domain.attempts.activity import LINES_KEPT, LINES_READ, LogLine, LogPlace, NewLine, ProgressReport, Recent
from domain.attempts.model import Progress
from infra.live.event_reading import read_task_changed
from infra.postgres.database import Database, columns

WRITE_PROGRESS = """
insert into task_progress (task_id, fence, fraction, message, at)
select t.id, r.fence, r.fraction, r.message, now()
from unnest($2::uuid[], $3::bigint[], $4::float8[], $5::text[]) as r(id, fence, fraction, message)
join tasks as t on t.id = r.id and t.fence = r.fence and t.state = 'RUNNING' and t.worker_id = $1
order by t.id
on conflict (task_id) do update
set fence = excluded.fence, fraction = excluded.fraction, message = excluded.message, at = excluded.at
"""

# The fence alone is asked for: an attempt's last lines may come when its end is recorded already. FOR SHARE
# keeps the next start waiting, so that lines are committed in the order of their places.
# A task's log is cut now and then, to what was kept before this batch: a little more may be there.
WRITE_LOG = f"""
with given as materialized (
    select * from unnest($1::uuid[], $2::bigint[], $3::int[], $4::int[], $5::interval[], $6::text[])
        as l(task_id, fence, number, attempt, age, message)
), found as materialized (
    select t.id, t.fence from tasks as t
    where exists (select from given as g where g.task_id = t.id and g.fence = t.fence)
    order by t.id for share of t
), cut as (
    delete from task_log as l
    using (select distinct task_id from given where number % 20 = 1) as g, lateral (
        select k.fence, k.number from task_log as k
        where k.task_id = g.task_id order by k.fence desc, k.number desc offset {LINES_KEPT} limit 1
    ) as edge
    where l.task_id = g.task_id and (l.fence, l.number) <= (edge.fence, edge.number)
        and exists (select from found where id = g.task_id)
), written as (
    insert into task_log (task_id, fence, number, attempt, at, message)
    select g.task_id, g.fence, g.number, g.attempt, now() - g.age, g.message
    from given as g join found on found.id = g.task_id and found.fence = g.fence
    on conflict (task_id, fence, number) do nothing
    returning 1
)
select count(*) from written
"""

PROGRESS = """
select p.task_id, p.fraction, p.message, p.at
from task_progress as p join tasks as t on t.id = p.task_id and t.fence = p.fence
where t.tenant = $1 and t.id = any($2) and t.attempt > 0
"""
LOG = """
select l.* from tasks as t, lateral (
    select task_id, fence, number, attempt, at, message from task_log
    where task_id = t.id order by fence desc, number desc limit $3
) as l
where t.tenant = $1 and t.id = any($2)
order by l.task_id, l.fence, l.number
"""  # task_log_pkey

# First the task, then its lines: those of an attempt are stored before its end is.
STANDING = """
select task_changed_v1(t, case when t.state in ('SUCCEEDED', 'FAILED', 'CANCELLED') then t.state::text
    else 'UPDATED' end) as task, p.fraction, p.message, p.at
from tasks as t left join task_progress as p on p.task_id = t.id and p.fence = t.fence and t.attempt > 0
where t.tenant = $1 and t.id = $2
"""
AFTER = f"""
select fence, number, attempt, at, message from task_log
where task_id = $1 and (fence, number) > ($2, $3) order by fence, number limit {LINES_READ}
"""
LAST = "select fence, number from task_log where task_id = $1 order by fence desc, number desc limit 1"


class PostgresActivity:
    """Implements domain.attempts.ports.Activity."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write_progress(self, worker: UUID, reports: Sequence[ProgressReport]) -> None:
        rows = [(each.task_id, each.fence, each.fraction, each.message) for each in reports]
        async with self._database.work("write_progress") as connection:
            await connection.execute(WRITE_PROGRESS, worker, *columns(rows))

    async def write_log(self, lines: Sequence[NewLine]) -> int:
        rows = [
            (each.task_id, each.place.fence, each.place.number, each.attempt, each.age, each.message)
            for each in lines
        ]
        async with self._database.work("write_log") as connection:
            written: int = await connection.fetchval(WRITE_LOG, *columns(rows))
        return written

    async def progress(self, tenant: str, task_ids: Sequence[UUID]) -> list[Progress | None]:
        async with self._database.read("progress", tenant) as connection:
            records = await connection.fetch(PROGRESS, tenant, list(task_ids))
        found = {record["task_id"]: _progress(record) for record in records}
        return [found.get(id) for id in task_ids]

    async def log(self, tenant: str, task_ids: Sequence[UUID], last: int) -> list[list[LogLine]]:
        async with self._database.read("log", tenant) as connection:
            records = await connection.fetch(LOG, tenant, list(task_ids), last)
        found: dict[UUID, list[LogLine]] = {}
        for record in records:
            found.setdefault(record["task_id"], []).append(_line(record))
        return [found.get(id, []) for id in task_ids]

    async def recent(self, tenant: str, task_id: UUID, after: LogPlace | None) -> Recent | None:
        async with self._database.work("recent", tenant) as connection:
            record = await connection.fetchrow(STANDING, tenant, task_id)
            if record is None:
                return None
            if after is None:
                ends = await connection.fetch(LAST, task_id)
                lines: tuple[LogLine, ...] = ()
                last = LogPlace(ends[0]["fence"], ends[0]["number"]) if ends else LogPlace(0, 0)
            else:
                found = await connection.fetch(AFTER, task_id, after.fence, after.number)
                lines = tuple(_line(each) for each in found)
                last = lines[-1].place if lines else after
        return Recent(
            task=read_task_changed(record["task"]),
            progress=None if record["at"] is None else _progress(record),
            lines=lines,
            last=last,
        )


def _progress(record: asyncpg.Record) -> Progress:
    return Progress(fraction=record["fraction"], message=record["message"], at=record["at"])


def _line(record: asyncpg.Record) -> LogLine:
    return LogLine(
        place=LogPlace(record["fence"], record["number"]),
        at=record["at"],
        attempt=record["attempt"],
        message=record["message"],
    )
