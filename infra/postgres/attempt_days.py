"""The days of attempts: a table for each day in UTC, made ahead, and dropped as a whole when it is old."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import asyncpg

from domain.retention.ports import AttemptDays
from infra.postgres.database import Connection, Database

DAYS_AHEAD = 3
ONE_DAY = timedelta(days=1)
STRAY_BATCH = 1_000

# Whoever waits for a table makes everyone after it wait as well. This long at most; then it gives way.
LOCK_TIMEOUT = "set local lock_timeout = '100ms'"
# Of several janitors one at a time makes and drops days.
LEAD = "select pg_advisory_xact_lock(hashtext('carillon.attempt_days'))"

NOW = "select now()"
DAYS = """
select relname from pg_inherits join pg_class on pg_class.oid = inhrelid
where inhparent = 'attempts'::regclass and relname <> 'attempts_default'
"""
# Empty, unless no day was made ahead for three of them.
STRAY_DAYS = "select distinct (finished_at at time zone 'UTC')::date as day from attempts_default"
REMOVE_STRAYS = """
delete from attempts_default where ctid = any(array(
    select ctid from attempts_default where finished_at < $1 limit $2))
"""


@dataclass(slots=True)
class _Tally:
    made: int = 0
    moved: int = 0
    removed: int = 0
    put_off: int = 0


class PostgresAttemptDays:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, older_than: timedelta) -> AttemptDays:
        async with self._database.work("attempt_days") as connection:
            now: datetime = await connection.fetchval(NOW)
            existing = {_day_of(record["relname"]) for record in await connection.fetch(DAYS)}
            strays: set[date] = {record["day"] for record in await connection.fetch(STRAY_DAYS)}
        oldest = (now - older_than).astimezone(UTC).date()
        """The first day that has anything young enough."""
        today = now.astimezone(UTC).date()
        wanted = {today + ahead * ONE_DAY for ahead in range(DAYS_AHEAD + 1)} | strays
        tally = _Tally()
        for day in sorted(day for day in wanted - existing if day >= oldest):
            await self._make(day, tally)
        for day in sorted(day for day in existing if day is not None and day < oldest):
            await self._drop(day, tally)
        if strays and min(strays) < oldest:
            await self._remove_strays(_midnight(oldest))
        return AttemptDays(tally.made, tally.moved, tally.removed, tally.put_off)

    async def _make(self, day: date, tally: _Tally) -> None:
        """With the attempts of that day that were kept aside."""
        async with self._changing(tally) as connection:
            if not await _exists(connection, day):
                tally.moved += await _attach(connection, day)
                tally.made += 1

    async def _drop(self, day: date, tally: _Tally) -> None:
        async with self._changing(tally) as connection:
            if await _exists(connection, day):
                await connection.execute(f"drop table {_table(day)}")
                tally.removed += 1

    @asynccontextmanager
    async def _changing(self, tally: _Tally) -> AsyncIterator[Connection]:
        """Gives way, which is tallied, to whoever uses the table, and to another janitor."""
        try:
            async with self._database.transaction("attempt_days") as connection:
                await connection.execute(LOCK_TIMEOUT)
                await connection.execute(LEAD)
                yield connection
        except asyncpg.LockNotAvailableError:
            tally.put_off += 1

    async def _remove_strays(self, before: datetime) -> None:
        async with self._database.work("remove_stray_attempts") as connection:
            await connection.execute(REMOVE_STRAYS, before, STRAY_BATCH)


async def _exists(connection: Connection, day: date) -> bool:
    exists: bool = await connection.fetchval("select to_regclass($1) is not null", _table(day))
    return exists


async def _attach(connection: Connection, day: date) -> int:
    """How many attempts were moved there. Attached, not made in place, which would lock out everyone."""
    first, end = _midnight(day), _midnight(day + ONE_DAY)
    await connection.execute(f"create table {_table(day)} (like attempts including defaults)")
    await connection.execute("lock table attempts_default in access exclusive mode")
    moved = await connection.execute(
        f"""
        with moved as (delete from attempts_default where finished_at >= $1 and finished_at < $2 returning *)
        insert into {_table(day)} select * from moved
        """,
        first,
        end,
    )
    await connection.execute(
        f"alter table attempts attach partition {_table(day)} for values from ('{first}') to ('{end}')"
    )
    return int(moved.rpartition(" ")[2])


def _table(day: date) -> str:
    return f"attempts_{day:%Y%m%d}"


def _day_of(table: str) -> date | None:
    """None for a table that somebody else attached."""
    try:
        return datetime.strptime(table, "attempts_%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
