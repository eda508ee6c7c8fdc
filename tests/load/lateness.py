"""How late tasks start, and how soon a subscriber is told: `python -m tests.load.lateness`.

Method: reminders are created ahead of time, due at even steps over some seconds. A subscriber on a websocket
hears of each end. Lateness is what the attempts themselves recorded: their start minus the instant they were
due, both by the database's clock. Told is the subscriber's clock at the event's arrival minus the time of the
event's commit, so it means something only with the server on the same machine. Without --address, an embedded
Carillon is started on a fresh home and stopped at the end. Prints one line of figures.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.load.figures import spread
from tests.support.graphql_client import GraphQLSocket, HttpClient, graphql_socket, http_client
from tests.support.processes import embedded

LEAD = timedelta(seconds=3)
CREATE = """mutation($tasks: [CreateTaskInput!]!) {
  createTasks(input: {tasks: $tasks}) { createdCount errors { message } } }"""
WATCH = "subscription($queue: String!) { taskEvents(filter: {queues: [$queue]}) { kind at task { id } } }"
READ = """query($queue: String!, $after: String) {
  tasks(first: 100, after: $after, filter: {queues: [$queue]}) {
    nodes { attempts(first: 1) { nodes { lateness } } } pageInfo { hasNextPage endCursor } } }"""


async def main() -> None:
    options = _options()
    async with AsyncExitStack() as stack:
        address = options.address
        if address is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            address, _ = await stack.enter_async_context(embedded(folder / "home", folder / "log"))
        client = await stack.enter_async_context(http_client(address))
        watcher = await stack.enter_async_context(graphql_socket(address))
        told = await _run(
            client, watcher, int(options.rate * options.seconds), options.seconds, queue := _queue()
        )
        late = await _lateness(client, queue)
    print(f"tasks {len(late)} over {options.seconds:g} s: lateness ms {spread(late)}; told ms {spread(told)}")


async def _run(
    client: HttpClient, watcher: GraphQLSocket, count: int, seconds: float, queue: str
) -> list[float]:
    """Milliseconds from the commit of each task's end to its arrival here."""
    async with watcher.subscribe(WATCH, queue=queue) as events:
        start = datetime.now(UTC) + LEAD
        for first in range(0, count, 500):
            tasks = [
                {
                    "title": f"lateness {number}",
                    "queue": queue,
                    "scheduledAt": (start + timedelta(seconds=seconds * number / count)).isoformat(),
                }
                for number in range(first, min(first + 500, count))
            ]
            made = await client.execute(CREATE, tasks=tasks)
            assert not made["createTasks"]["errors"], made
        told: list[float] = []
        async for data in events:
            event = data["taskEvents"]
            if event["kind"] == "SUCCEEDED":
                committed = datetime.fromisoformat(event["at"])
                told.append((datetime.now(UTC) - committed) / timedelta(milliseconds=1))
            if len(told) == count:
                break
    return told


async def _lateness(client: HttpClient, queue: str) -> list[float]:
    late: list[float] = []
    after = None
    while True:
        page = (await client.execute(READ, queue=queue, after=after))["tasks"]
        late += [
            _milliseconds(attempt["lateness"])
            for task in page["nodes"]
            for attempt in task["attempts"]["nodes"]
        ]
        if not page["pageInfo"]["hasNextPage"]:
            return late
        after = page["pageInfo"]["endCursor"]


def _milliseconds(duration: str) -> float:
    """Of a short ISO 8601 duration: PT0.004S."""
    return float(duration.removeprefix("PT").removesuffix("S")) * 1000


def _queue() -> str:
    return f"lateness-{datetime.now(UTC):%H%M%S%f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="of a running API, as http://127.0.0.1:8000")
    parser.add_argument("--rate", type=float, default=100, help="tasks a second")
    parser.add_argument("--seconds", type=float, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
