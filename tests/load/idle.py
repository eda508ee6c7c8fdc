"""What waiting costs: `python -m tests.load.idle`.

Method: one of each process on the real servers, on a database of its own, with 100,000 tasks due tomorrow.
After their events are published, CPU is counted over 30 seconds; RabbitMQ and Redis are the whole servers,
whoever else uses them. Prints one line: percent of one core for each, and the messages that wait in the
queues of the tasks and of the notifier.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

import aio_pika

from tests.load.cpu import cpu_seconds, shares
from tests.load.making import make
from tests.load.setting import installed
from tests.support.graphql_client import http_client
from tests.support.installation import Installation
from tests.support.services import RABBIT

PUBLISHED_WITHIN = 300.0


async def main() -> None:
    options = _options()
    async with installed() as installation:
        async with http_client(installation.api) as client:
            await make(client, "notify", [datetime.now(UTC) + timedelta(days=1)] * options.tasks)
        await installation.quiet(PUBLISHED_WITHIN)
        before = await cpu_seconds(installation)
        await asyncio.sleep(options.seconds)
        after = await cpu_seconds(installation)
        percent = shares(before, after, options.seconds / 100)
        print(f"{options.tasks} tasks wait: CPU % {percent}; messages {await _messages(installation)}")


async def _messages(installation: Installation) -> int:
    async with await aio_pika.connect(RABBIT.url) as connection:
        channel = await connection.channel()
        names = [f"{installation.namespace}.{queue}" for queue in ("tasks", "notifier", "notifier.dead")]
        queues = [await channel.declare_queue(name, passive=True) for name in names]
        return sum(queue.declaration_result.message_count or 0 for queue in queues)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
