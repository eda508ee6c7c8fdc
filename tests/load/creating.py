"""How fast tasks are made: `python -m tests.load.creating`.

Method: an API on the real servers, on a database of its own. First one client sends `createTasks` of 1,000,
one after another; then 32 send `createTask`, each the next as soon as the last is answered. Echo tasks for
tomorrow, so that the payload is checked too. The clients' own CPU is not counted. Prints one line of figures.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from tests.load.cpu import cpu_seconds, shares
from tests.load.making import ACTIONS, TOGETHER, make
from tests.load.setting import installed
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import Installation

CLIENTS = 32
CREATE_ONE = """mutation($task: CreateTaskInput!) {
  createTask(input: $task) { task { id } errors { message path } } }"""


async def main() -> None:
    options = _options()
    async with installed("api") as installation, http_client(installation.api) as client:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        await make(client, "echo", [tomorrow])

        async def together() -> None:
            await make(client, "echo", [tomorrow] * options.together * TOGETHER)

        async def singly() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(_one_by_one(client, tomorrow, options.singly // CLIENTS))

        many = await _measured(installation, together, options.together * TOGETHER)
        one = await _measured(installation, singly, options.singly // CLIENTS * CLIENTS)
    print(f"createTasks of {TOGETHER}: {many}; createTask by {CLIENTS} clients: {one}")


async def _measured(installation: Installation, work: Callable[[], Awaitable[None]], tasks: int) -> str:
    before, began = await cpu_seconds(installation), time.monotonic()
    await work()
    rate = tasks / (time.monotonic() - began)
    used = shares(before, await cpu_seconds(installation), tasks / 1000)
    return f"{rate:.0f} tasks/s, CPU s per 1,000 {used}"


async def _one_by_one(client: HttpClient, due: datetime, count: int) -> None:
    for _ in range(count):
        task = {"title": "load", "action": ACTIONS["echo"], "scheduledAt": due.isoformat()}
        made = (await client.execute(CREATE_ONE, task=task))["createTask"]
        assert not made["errors"], made


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--together", type=int, default=20, help="requests of 1,000 tasks")
    parser.add_argument("--singly", type=int, default=6_400, help="requests of one task")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
