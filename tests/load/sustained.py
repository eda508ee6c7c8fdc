"""A steady load for a while: `python -m tests.load.sustained --rate 200 --seconds 30`.

Method: one of each process on the real servers, on a database of its own. Reminders are made ahead, due at
even steps, so that each is claimed, run, told and written as a notification; a subscriber on a websocket
hears of each end. Lateness is by the database's clock: start minus due. Told is from the commit of a task's
end, by the database's clock, to its arrival at the subscriber, by ours: the same machine's. The backlog is
what was due and had not ended when the last task was due. Prints one line of figures.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from tests.load.cpu import cpu_seconds, shares
from tests.load.figures import spread
from tests.load.making import make
from tests.load.setting import installed
from tests.support.graphql_client import graphql_socket, http_client
from tests.support.installation import Installation

LEAD = timedelta(seconds=5)
LISTENING = timedelta(seconds=2)
MAKING_RATE = 500
"""Tasks a second that are surely made, however busy the machine is."""
WATCH = "subscription { taskEvents { kind at } }"
LATE = "select extract(epoch from started_at - due_at)::float8 * 1000 as late from attempts"
BACKLOG = "select count(*) from tasks where scheduled_at <= now() and state <> 'SUCCEEDED'"


async def main() -> None:
    options = _options()
    async with installed() as installation:
        print(await _measured(installation, options.rate, options.seconds))


async def _measured(installation: Installation, rate: float, seconds: float) -> str:
    count = int(rate * seconds)
    start = datetime.now(UTC) + LEAD + timedelta(seconds=count / MAKING_RATE)
    due = [start + timedelta(seconds=number / rate) for number in range(count)]
    async with http_client(installation.api) as client:
        await make(client, "notify", due)
    assert datetime.now(UTC) < start - LISTENING, "making the tasks took too long"
    # Not earlier: a subscription that hears of nothing for long is given up.
    await asyncio.sleep((start - LISTENING - datetime.now(UTC)).total_seconds())
    async with asyncio.TaskGroup() as group:
        told = group.create_task(_told(installation, count))
        await asyncio.sleep((start - datetime.now(UTC)).total_seconds())
        before = await cpu_seconds(installation)
        await asyncio.sleep((due[-1] - datetime.now(UTC)).total_seconds())
        backlog = await installation.value(BACKLOG)
        after = await cpu_seconds(installation)
    late = [record["late"] for record in await installation.database.fetch(LATE)]
    return (
        f"{count} tasks at {rate:g}/s: lateness ms {spread(late)}; told ms {spread(told.result())}; "
        f"backlog {backlog}; CPU s per 1,000: {shares(before, after, count / 1000)}"
    )


async def _told(installation: Installation, count: int) -> list[float]:
    told: list[float] = []
    async with graphql_socket(installation.api) as socket, socket.subscribe(WATCH) as events:
        async for data in events:
            event = data["taskEvents"]
            if event["kind"] == "SUCCEEDED":
                ended = datetime.fromisoformat(event["at"])
                told.append((datetime.now(UTC) - ended) / timedelta(milliseconds=1))
            if len(told) == count:
                break
    return told


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100, help="tasks a second")
    parser.add_argument("--seconds", type=float, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
