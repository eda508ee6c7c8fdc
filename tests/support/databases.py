"""Databases lent to one test after the other: to empty one takes a hundredth of the time that a copy takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.support.services import drop_database, make_database

END_OTHERS = """select pg_terminate_backend(pid, 10000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()"""
TABLES = "from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
WRITTEN = f"""select oid::regclass::text as name, pg_table_size(oid) as bytes {TABLES}
    and pg_relation_size(oid) > 0 and relname <> 'alembic_version'"""
FIRST_AGAIN = """select setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    from pg_sequences where last_value is not null"""
MOST_BYTES = 1_000_000
"""In the tables of a database that is lent again: what was removed from them is walked over."""
# Whatever alters a table, a function or what is known of a table's rows leaves a trace in one of these.
LAYOUT = f"""select array[
    (select row(count(*), max(xmin::text::bigint))::text from pg_class),
    (select row(count(*), max(xmin::text::bigint))::text from pg_attribute),
    (select row(count(*), max(xmin::text::bigint))::text from pg_constraint),
    (select row(count(*), max(xmin::text::bigint))::text from pg_policy),
    (select row(count(*), max(xmin::text::bigint))::text from pg_proc),
    (select row(count(*), max(xmin::text::bigint))::text from pg_trigger),
    (select row(count(*), max(s.xmin::text::bigint))::text from pg_db_role_setting as s
        join pg_database as d on d.oid = s.setdatabase where datname = current_database()),
    (select row(sum(relpages), sum(reltuples))::text {TABLES}),
    (select string_agg(version_num, ' ') from alembic_version)]"""


class Databases:
    """Copies of one migrated database, each given to one test at a time as if it were new."""

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[tuple[str, list[str]]] = []
        """Their URLs, and their layouts."""

    @asynccontextmanager
    async def lend(self, *, untouched: bool = False) -> AsyncIterator[str]:
        """The URL of one, with no row in it and nobody connected to it; `untouched`, with no trace of rows."""
        url, layout = self._free.pop() if self._free and not untouched else await self._new()
        again = False
        try:
            yield url
            again = await _emptied(url, layout)
        finally:
            if again:
                self._free.append((url, layout))
            else:
                await drop_database(self._server, url)

    async def drop(self) -> None:
        while self._free:
            await drop_database(self._server, self._free.pop()[0])

    async def _new(self) -> tuple[str, list[str]]:
        url = await make_database(self._server, self._template)
        connection = await asyncpg.connect(url)
        try:
            return url, await connection.fetchval(LAYOUT)
        finally:
            await connection.close()


async def _emptied(url: str, layout: list[str]) -> bool:
    """False when the test has altered more than rows, or left too much behind."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(END_OTHERS)
        written = await connection.fetch(WRITTEN)
        if await connection.fetchval(LAYOUT) != layout or sum(row["bytes"] for row in written) > MOST_BYTES:
            return False
        deletions = (f"delete from {row['name']}" for row in written)
        # Row by row, and without what follows from that: a truncation makes every file of a table anew.
        await connection.execute("; ".join(["set session_replication_role = replica", *deletions, FIRST_AGAIN]))
        return True
    finally:
        await connection.close()
