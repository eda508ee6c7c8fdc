"""What a task costs with few rows stored and with many: `python -m tests.load.growth --rows 1000000`.

Method: two databases of their own on the server of the tests, one with 10,000 tasks and one with --rows, each
with attempts, words and notifications, spread over four weeks back and ahead (tests/load/rows.py). Then, in
turns on both, batches of 100 tasks go from creation over claim, start and finish to the publishing of their
events, through the repositories, one after the other. Prints the medians of each step, and their ratio. With
--snapshot, a third column: the last rounds of so many seconds of that load on the larger database, while a
snapshot taken before them is still open. --small and --large name databases filled before, which are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

import asyncpg

from domain.attempts.model import AttemptState, Settled
from domain.tasks.states import TaskState
from infra.postgres.migrate import migrate
from infra.postgres.outbox import PostgresOutboxLead
from tests.load.rows import fill
from tests.support.services import fresh_database, open_postgres
from tests.support.storage import Storage, a_task, open_storage

FEW = 10_000
BATCH = 100
STEPS = ("create", "claim", "start", "finish", "publish")


@dataclass
class Measured:
    """Rounds of a batch from creation to publishing, on one database."""

    storage: Storage
    outbox: PostgresOutboxLead
    worker: UUID
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def round(self) -> None:
        began = time.perf_counter()
        tasks = [a_task(fingerprint=b"load") for _ in range(BATCH)]
        await self.storage.tasks.add(tasks)
        began = self._took("create", began)
        ids = await self.storage.claimed(BATCH)
        began = self._took("claim", began)
        started = await self.storage.attempts.start(self.worker, ids)
        began = self._took("start", began)
        settled = [
            Settled(
                task_id=one.task_id,
                fence=one.fence,
                attempt_state=AttemptState.SUCCEEDED,
                task_state=TaskState.SUCCEEDED,
            )
            for one in started
        ]
        recorded = await self.storage.attempts.finish(self.worker, settled)
        began = self._took("finish", began)
        while pending := await self.outbox.oldest(500):
            await self.outbox.remove([one.seq for one in pending])
        self._took("publish", began)
        assert len(recorded) == BATCH, "every task that was created has to end"

    async def beat(self) -> None:
        await self.storage.execute("update workers set lease_until = now() + interval '1 day'")

    def medians(self) -> dict[str, float]:
        """In milliseconds for a batch, by step; start to finish and the whole as well."""
        found = {step: median(self.seconds[step]) * 1000 for step in STEPS}
        found["start to finish"] = found["start"] + found["finish"]
        found["all"] = sum(found[step] for step in STEPS)
        self.seconds.clear()
        return found

    def _took(self, step: str, began: float) -> float:
        now = time.perf_counter()
        self.seconds[step].append(now - began)
        return now


@asynccontextmanager
async def measured(url: str) -> AsyncIterator[Measured]:
    async with open_storage(url) as storage, storage.outbox.lead() as outbox:
        await storage.execute("delete from workers")
        worker = await storage.a_worker(slots=BATCH)
        await outbox.acquire()
        one = Measured(storage, outbox, worker)
        await one.beat()
        for _ in range(20):  # until plans are made and pages are read
            await one.round()
        one.seconds.clear()
        yield one


async def main() -> None:
    options = _options()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(open_postgres())
        urls = [
            await _database(stack, server, options.small, FEW),
            await _database(stack, server, options.large, options.rows),
        ]
        small, large = [await stack.enter_async_context(measured(url)) for url in urls]
        for _ in range(options.rounds):
            await small.round()
            await large.round()
        columns = {f"{FEW:,} tasks": small.medians(), f"{options.rows:,} tasks": large.medians()}
        if options.snapshot:
            name = f"after {options.snapshot:g} s under a snapshot"
            columns[name] = await _under_a_snapshot(large, urls[1], options.snapshot, options.rounds)
    _print(columns)


async def _database(stack: AsyncExitStack, server: str, name: str | None, rows: int) -> str:
    if name is not None:
        return f"{server.rpartition('/')[0]}/{name}"
    url = await stack.enter_async_context(fresh_database(server, fill=migrate))
    await fill(url, rows)
    return url


async def _under_a_snapshot(large: Measured, url: str, seconds: float, rounds: int) -> dict[str, float]:
    """The medians of the last rounds of that many seconds of load."""
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction(isolation="repeatable_read"):
            await holder.fetchval("select count(*) from workers")
            end, done = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                await large.round()
                done += 1
            for step in STEPS:
                large.seconds[step] = large.seconds[step][-rounds:]
            print(f"{done * BATCH:,} tasks went through while the snapshot was open")
            return large.medians()
    finally:
        await holder.close()


def _print(columns: dict[str, dict[str, float]]) -> None:
    first = next(iter(columns.values()))
    print(f"milliseconds for {BATCH} tasks", *columns, sep=" | ")
    for step, few in first.items():
        shown = [f"{column[step]:.2f} ({column[step] / few:.2f})" for column in columns.values()]
        print(step, *shown, sep=" | ")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--snapshot", type=float, default=0, help="seconds of load while one is open")
    parser.add_argument("--small", help="a database filled before, to be kept")
    parser.add_argument("--large", help="the same, with --rows rows")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
