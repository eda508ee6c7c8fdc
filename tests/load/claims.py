"""What a claim costs, whatever is stored: `python -m tests.load.claims`.

Method: on a fresh database, one process, the claims that a scheduler makes (lock, statement, commit), and
nothing else at work. Each claim takes up to 100 tasks, which are then started and ended by plain updates. Rows
are made by generate_series: half of them ended, half due in a year; then vacuumed. Prints one line per figure:
the median and p99 of the claims, in milliseconds, and the median of the look for what is due next.

stored: with 10,000 rows and with --rows. lanes: 1, 100 and 1,000 of them, with something due in one, and with a
backlog in all. snapshot: one is held open (REPEATABLE READ) while 40,000, 80,000 and 160,000 tasks are claimed,
with floors and without. key: 100,000 due tasks of one key before others of the same lane: how long until one of
those is claimed.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from infra.postgres.floors import Floors
from infra.postgres.migrate import migrate
from tests.support.services import fresh_database, open_postgres
from tests.support.storage import TRACEPARENT, Storage, due_in, open_storage

BATCH = 100
SLOTS = 10_000

FILL = f"""
insert into tasks (id, tenant, title, scheduled_at, action, queue, priority, labels, timeout, max_attempts,
    backoff, backoff_base, backoff_cap, traceparent, fingerprint, state, finished_at, concurrency_key)
select gen_random_uuid(), 'acme', 'filled', now() + $3::interval + n * interval '1 microsecond',
    '{{"kind": "NOTIFY", "body": null}}', 'q' || lpad((n % $2)::text, 4, '0'), 5, '[]', '60 s', 5,
    'EXPONENTIAL', '2 s', '10 min', '{TRACEPARENT}', '', $4::task_state,
    case when $4 = 'SUCCEEDED' then now() end, $5
from generate_series(1, $1::int) as n
"""
LANES = """
insert into lanes (tenant, queue, priority, reopened_at)
select distinct tenant, queue, priority, now() - interval '1 hour' from tasks on conflict do nothing
"""
END = """
with started as (update tasks set state = 'RUNNING', updated_at = now() where id = any($1) returning id)
select count(*) from started
"""
ENDED = "update tasks set state = 'SUCCEEDED', finished_at = now(), updated_at = now() where id = any($1)"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="for `stored`; 10,000,000 takes 25 minutes")
    parser.add_argument("figures", nargs="*", choices=list(FIGURES), default=list(FIGURES))
    options = parser.parse_args()
    for figure in options.figures:
        await FIGURES[figure](options.rows)


async def stored(rows: int) -> None:
    for count in (10_000, rows):
        async with opened() as load:
            for _ in range(0, count, 500_000):
                part = min(count, 500_000) // 2
                await load.fill(part, due="-1 hour", state="SUCCEEDED")
                await load.fill(part, due="365 days")
            await load.settle()
            await load.fill(20_000, due="-1 minute")
            print(f"stored {count:,} rows: {await load.measured(150)}")


async def lanes(_: int) -> None:
    for count in (1, 100, 1_000):
        async with opened() as load:
            await load.fill(200_000, lanes=count, due="365 days")
            await load.settle()
            await load.fill(20_000, due="-1 minute")
            print(f"lanes {count:,}, something due in one: {await load.measured(150)}")
            await load.fill(200_000, lanes=count, due="-1 minute")
            print(f"lanes {count:,}, a backlog in all: {await load.measured(150)}")


async def snapshot(_: int) -> None:
    for floors in (True, False):
        async with opened() as load, load.held_snapshot():
            await load.fill(200_000, due="-1 minute")
            claimed = 0
            for most in (0, 40_000, 80_000, 160_000):
                while claimed < most:
                    claimed += len(await load.claimed_and_ended(500))
                figures = await load.measured(20, floors=floors)
                claimed += 20 * BATCH
                print(f"snapshot held, {'with' if floors else 'without'} floors, {most:,} claimed: {figures}")


async def key(_: int) -> None:
    async with opened() as load:
        await load.fill(100_000, due="-1 minute", key="one")
        await load.settle()
        (other,) = await load.storage.added(due_in(-5, queue="q0000"))
        began, claims, claimed = time.perf_counter(), 0, list[UUID]()
        while other not in claimed:
            claimed += await load.storage.claimed(BATCH)
            claims += 1
        took = time.perf_counter() - began
        print(f"key: claimed {len(claimed)} in {claims} claims, {took:.2f} s until the other task")
        await load.fill(20_000, due="-1 minute")
        print(f"key, the 100,000 set aside: {await load.measured(150)}")


FIGURES: dict[str, Callable[[int], Awaitable[None]]] = {
    "stored": stored,
    "lanes": lanes,
    "snapshot": snapshot,
    "key": key,
}


class Load:
    def __init__(self, storage: Storage, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.storage = storage
        self._connection = connection

    async def fill(
        self, count: int, *, lanes: int = 1, due: str, state: str = "SCHEDULED", key: str | None = None
    ) -> None:
        """`due` is an interval from now."""
        fill = FILL.replace("$3::interval", f"interval '{due}'").replace("$4", "$3").replace("$5", "$4::text")
        await self._connection.execute(fill, count, lanes, state, key)
        await self._connection.execute(LANES)
        await self._connection.execute("update lanes set reopened_at = now() - interval '1 hour'")
        self.storage.due_tasks._floors = Floors()

    async def settle(self) -> None:
        await self._connection.execute("vacuum analyze")

    @asynccontextmanager
    async def held_snapshot(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.storage.url)
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("select count(*) from workers")
            yield
        await connection.close()

    async def measured(self, count: int, *, floors: bool = True) -> str:
        claims, looks = list[float](), list[float]()
        for _ in range(count):
            if not floors:
                self.storage.due_tasks._floors = Floors()
            began = time.perf_counter()
            claimed = await self.storage.claimed(BATCH)
            claims.append(time.perf_counter() - began)
            began = time.perf_counter()
            await self.storage.due_tasks.next_due_in()
            looks.append(time.perf_counter() - began)
            await self._end(claimed)
        return f"claim p50 {part(claims, 0.5)} p99 {part(claims, 0.99)}, next due p50 {part(looks, 0.5)} ms"

    async def claimed_and_ended(self, limit: int) -> list[UUID]:
        claimed = await self.storage.claimed(limit)
        await self._end(claimed)
        return claimed

    async def _end(self, claimed: Sequence[UUID]) -> None:
        await self._connection.fetchval(END, claimed)
        await self._connection.execute(ENDED, claimed)


@asynccontextmanager
async def opened() -> AsyncIterator[Load]:
    async with (
        open_postgres() as server,
        fresh_database(server, fill=migrate) as url,
        open_storage(url) as storage,
    ):
        connection = await asyncpg.connect(url)
        await storage.a_worker(slots=SLOTS)
        await storage.execute("update workers set lease_until = now() + interval '1 day'")
        try:
            yield Load(storage, connection)
        finally:
            await connection.close()


def part(seconds: Sequence[float], place: float) -> str:
    ordered = sorted(seconds)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * place))] * 1000:.2f}"


if __name__ == "__main__":
    asyncio.run(main())
