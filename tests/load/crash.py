"""A worker killed in the middle of a burst: `python -m tests.load.crash`.

Method: one of each process on the real servers with the default leases, on a database of its own, and tasks
due at one instant whose handler notes in a file of its own when it starts and ends, 50 ms apart. When a
quarter has ended, the worker gets SIGKILL; another is started at once. Lost are tasks that never ended by
that file; repeated are those that started more than once, of which as many may be as ran at the kill.
Recovered is from the kill to the end of the last task. Prints one line of figures.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from tests.load.making import make
from tests.load.setting import installed
from tests.support.graphql_client import http_client
from tests.support.installation import Installation
from tests.support.waiting import until

LEAD = timedelta(seconds=3)
LIMIT = 180.0
ENDED = "select count(*) from tasks where state = 'SUCCEEDED'"
RUNNING = "select count(*) from tasks where state = 'RUNNING'"


async def main() -> None:
    options = _options()
    async with installed() as installation:
        print(await _measured(installation, options.tasks))


async def _measured(installation: Installation, tasks: int) -> str:
    async with http_client(installation.api) as client:
        await make(client, "work", [datetime.now(UTC) + LEAD] * tasks)
    await until(lambda: _ended(installation, tasks // 4), LIMIT)
    await installation.kill(installation.of("worker")[0])
    killed = time.monotonic()
    running = await installation.value(RUNNING)
    await installation.start("worker")
    await until(lambda: _ended(installation, tasks), LIMIT)
    recovered = time.monotonic() - killed
    ended = {entry.task for entry in installation.ledger.noted("ended")}
    starts = Counter(entry.task for entry in installation.ledger.noted("started"))
    repeated = sum(count > 1 for count in starts.values())
    return (
        f"{tasks} tasks: lost {tasks - len(ended)}, repeated {repeated} of {running} that were held; "
        f"recovered in {recovered:.1f} s"
    )


async def _ended(installation: Installation, count: int) -> bool:
    await asyncio.sleep(0.05)
    return bool(await installation.value(ENDED) >= count)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=5_000)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
