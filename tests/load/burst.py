"""How fast a backlog is worked off: `python -m tests.load.burst`.

Method: one of each process on the real servers, on a database of its own. 10,000 tasks due at one instant are
made ahead of it. The rate is from that instant to the end of the last task, both by the database's clock;
`told` is the same until the outbox is empty, so that RabbitMQ has all events. CPU is of all processes, of
PostgreSQL's backends, of RabbitMQ and of Redis, from the instant to the empty outbox, for each 1,000 tasks.
Both depend on what else the machine does: a slower one gathers other batches, so one build's CPU was seen to
differ by 2.5 times. Compare builds on an idle machine, in turn, several times. `--handler insert` does one
INSERT in a transaction of its own, over 16 connections; `--handler work` waits for 50 ms. Prints one
line of figures.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from tests.load.cpu import cpu_seconds, shares
from tests.load.making import make
from tests.load.setting import installed
from tests.support.graphql_client import http_client
from tests.support.installation import Installation
from tests.support.waiting import until

LEAD = timedelta(seconds=20)
LIMIT = 120.0
UNFINISHED = """
select exists (select from tasks where state in ('SCHEDULED', 'RETRYING'))
    or exists (select from tasks where state = 'QUEUED') or exists (select from tasks where state = 'RUNNING')
    or exists (select from outbox)
"""


async def main() -> None:
    options = _options()
    settings = {"CARILLON_WORKER_SLOTS": str(options.slots)} if options.slots else {}
    async with installed(**settings) as installation:
        await installation.database.execute("create table exec_log (job uuid, at timestamptz)")
        print(await _measured(installation, options.handler, options.tasks))


async def _measured(installation: Installation, handler: str, tasks: int) -> str:
    due = datetime.now(UTC) + LEAD
    async with http_client(installation.api) as client:
        await make(client, handler, [due] * tasks)
    await installation.database.execute("analyze tasks")
    ahead = (due - datetime.now(UTC)).total_seconds()
    assert ahead > 0, "making the tasks took too long"
    await asyncio.sleep(ahead)
    before = await cpu_seconds(installation)
    await until(lambda: _all_done(installation), LIMIT)
    told = (datetime.now(UTC) - due).total_seconds()
    after = await cpu_seconds(installation)
    seconds = await _seconds(installation, due)
    done = await installation.value("select count(*) from tasks where state = 'SUCCEEDED'")
    return (
        f"{handler}: {done} of {tasks} tasks in {seconds:.2f} s: {tasks / seconds:.0f}/s; "
        f"told {tasks / told:.0f}/s; CPU s per 1,000: {shares(before, after, tasks / 1000)}"
    )


async def _all_done(installation: Installation) -> bool:
    await asyncio.sleep(0.02)
    return not await installation.value(UNFINISHED)


async def _seconds(installation: Installation, due: datetime) -> float:
    last: datetime = await installation.value("select max(finished_at) from tasks")
    return (last - due).total_seconds()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--handler", choices=("echo", "insert", "notify", "work"), default="echo")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--slots", type=int, help="of the worker; absent: as the setting's default has it")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
