"""The queues of a durable consumer, whichever way its events travel."""

from __future__ import annotations

from typing import Any

import aio_pika

from infra.live.event_reading import read_events
from infra.memory.bus import MemoryBus
from tests.support.buses import Bus
from tests.support.services import RABBIT


async def dead_letters(bus: Bus, namespace: str, name: str) -> list[Any]:
    if isinstance(bus, MemoryBus):
        return bus.events.dead_letters(name)
    dead = await dead_messages(namespace, name)
    return [event for message in dead for event in read_events(message.body, message.type)]


async def dead_messages(namespace: str, name: str) -> list[Any]:
    """As they lie in RabbitMQ, where they stay."""
    async with await aio_pika.connect(RABBIT.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"{namespace}.{name}.dead", ensure=False)
        messages = []
        while (message := await queue.get(fail=False)) is not None:
            messages.append(message)
        return messages


async def remove_consumer(bus: Bus, namespace: str, name: str) -> None:
    """The queues of a consumer that no installation has, and that its namespace does not know."""
    if isinstance(bus, MemoryBus):
        return
    async with await aio_pika.connect(RABBIT.url) as connection:
        channel = await connection.channel()
        for queue in (f"{namespace}.{name}", f"{namespace}.{name}.dead"):
            await channel.queue_delete(queue)
