"""Whether what is stored stops growing: `python -m tests.load.soak --minutes 10`.

Method: a whole Carillon in this process (scheduler with its janitor, worker, relay, notifier) on a PostgreSQL
server of its own, the embedded one as it comes. Reminders are created at --rate each second; once they ended,
tasks are kept for 60 s and notifications for 90 s, so that many times what is kept goes through. Every 10 s the
sizes of the tables with their indexes are read. One has reached its plateau when its largest size in the last
quarter of the time is at most 20 % above that in the quarter before; those below 1 MB are not judged. Attempts
are kept for whole days, so these only grow: their size for each is printed instead. With --snapshot, one is
open from a third to half of the time. Ends with 1 when a table has not reached its plateau.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from infra.bootstrap import Services, open_services
from infra.embedded_postgres import open_embedded_postgres
from infra.postgres.migrate import migrate
from infra.settings import Settings
from jobs.embedded import run_embedded
from tests.support.storage import a_task

KEPT_TASKS, KEPT_NOTIFICATIONS = 60.0, 90.0
SAMPLE_SECONDS = 10.0
SPREAD = 0.2
NOT_JUDGED_BELOW = 1 << 20
A_DAY = 86_400.0

Sizes = Mapping[str, list[int]]


async def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="carillon-soak-") as home:
        async with open_embedded_postgres(Path(home)) as given:
            url = given.replace("//postgres@/postgres?", "///postgres?user=postgres&")  # as settings have it
            await migrate(url)
            async with open_services(_settings(url, home)) as services, run_embedded(services):
                sizes, attempts = await _soak(services, url, options)
    print(f"attempts: {sizes['attempts'][-1] / max(attempts, 1):.0f} bytes for each of {attempts:,}")
    return _judge({table: found for table, found in sizes.items() if table != "attempts"})


async def _soak(services: Services, url: str, options: argparse.Namespace) -> tuple[Sizes, int]:
    sizes: dict[str, list[int]] = defaultdict(list)
    connection = await asyncpg.connect(url)
    loading = asyncio.create_task(_load(services, options.rate))
    holding = asyncio.create_task(_hold(url, options.minutes * 60) if options.snapshot else asyncio.sleep(0))
    began = time.monotonic()
    try:
        while (elapsed := time.monotonic() - began) < options.minutes * 60:
            if loading.done():
                loading.result()
            for table, size in await connection.fetch(SIZES):
                sizes[table].append(size)
            ((tasks, outbox),) = await connection.fetch(ROWS)
            shown = ", ".join(f"{table} {found[-1] / (1 << 20):.1f}" for table, found in sorted(sizes.items()))
            print(f"{elapsed:5.0f} s: {tasks:,} tasks, {outbox:,} events waiting; MB: {shown}", flush=True)
            await asyncio.sleep(SAMPLE_SECONDS)
        attempts: int = await connection.fetchval("select count(*) from attempts")
        return sizes, attempts
    finally:
        for task in (loading, holding):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await connection.close()


async def _load(services: Services, rate: int) -> None:
    """As many tasks each second, a tenth of them with a label, all due at once."""
    begin, made = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begin) * rate) - made
        tasks = [
            a_task(title=f"Water plant {number}", labels=(("plant", str(number)),) if number % 10 == 0 else ())
            for number in range(made, made + due)
        ]
        for first in range(0, due, 500):
            await services.tasks.add(tasks[first : first + 500])
        made += due
        await asyncio.sleep(0.1)


async def _hold(url: str, seconds: float) -> None:
    """A snapshot, from a third to half of the time."""
    await asyncio.sleep(seconds / 3)
    connection = await asyncpg.connect(url)
    async with connection.transaction(isolation="repeatable_read"):
        await connection.fetchval("select count(*) from workers")
        print("a snapshot is taken", flush=True)
        await asyncio.sleep(seconds / 6)
        print("it is given up", flush=True)
    await connection.close()


def _judge(sizes: Sizes) -> int:
    verdict = 0
    for table, found in sorted(sizes.items()):
        quarter = max(1, len(found) // 4)
        before, last = max(found[-2 * quarter : -quarter], default=0), max(found[-quarter:])
        if last < NOT_JUDGED_BELOW:
            continue
        level = last <= (1 + SPREAD) * before
        verdict = max(verdict, int(not level))
        print(
            f"{table}: at most {before / (1 << 20):.1f} MB in the third quarter, "
            f"{last / (1 << 20):.1f} MB in the last: {'plateau' if level else 'no plateau'}"
        )
    return verdict


def _settings(url: str, home: str) -> Settings:
    return Settings(
        database_url=url,  # type: ignore[arg-type]  # it is read from text
        home=home,  # type: ignore[arg-type]  # the same
        retain_succeeded_days=KEPT_TASKS / A_DAY,
        retain_cancelled_days=KEPT_TASKS / A_DAY,
        retain_failed_days=KEPT_TASKS / A_DAY,
        retain_attempts_days=1,
        retain_notifications_days=KEPT_NOTIFICATIONS / A_DAY,
        prune_interval=5,
    )


# With their indexes; the days of attempts together.
SIZES = """
select case when relispartition then 'attempts' else relname end as name,
    sum(pg_total_relation_size(oid))::bigint
from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'alembic_version'
group by 1
"""
ROWS = "select (select count(*) from tasks) as tasks, (select count(*) from outbox) as events"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=int, default=100, help="tasks each second")
    parser.add_argument("--snapshot", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
