"""The durable exchanges and queues, declared alike by whoever publishes and whoever consumes."""

from __future__ import annotations

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue
from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL
from dramatiq.common import dq_name, xq_name
from pamqp.common import FieldTable

from infra.live.delivery import DURABLE_CONSUMERS
from infra.rabbit.names import Names
from infra.rabbit.routing import EVERYTHING, bindings

MAX_LOST_DELIVERIES = 100
"""How often an event may be delivered to consumers that are gone before they answer. RabbitMQ counts every
connection lost, so this must not be what sets aside an event that fails: it only stops one that kills its
consumer."""


async def declare(channel: AbstractChannel, names: Names) -> None:
    await declare_events(channel, names)
    for name in DURABLE_CONSUMERS:
        await declare_consumer(channel, names, name)
    await channel.declare_exchange(names.signals, ExchangeType.DIRECT, durable=True)
    await _declare_tasks(channel, names.tasks)


async def declare_events(channel: AbstractChannel, names: Names) -> None:
    await channel.declare_exchange(names.events, ExchangeType.TOPIC, durable=True)
    await channel.declare_exchange(names.dead, ExchangeType.DIRECT, durable=True)


async def declare_consumer(channel: AbstractChannel, names: Names, name: str) -> AbstractQueue:
    """The queue of a durable consumer, and that of its dead letters."""
    dead = await channel.declare_queue(
        names.dead_letters(name), durable=True, arguments={"x-queue-type": "quorum"}
    )
    await dead.bind(names.dead, name)
    queue = await channel.declare_queue(
        names.consumer(name),
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": MAX_LOST_DELIVERIES,
            "x-dead-letter-exchange": names.dead,
            "x-dead-letter-routing-key": name,
            # Moved to the dead letters only once it is safe there; RabbitMQ wants reject-publish with it.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    wanted = bindings(name)
    for pattern in wanted:
        await queue.bind(names.events, pattern)
    if EVERYTHING not in wanted:
        await queue.unbind(names.events, EVERYTHING)  # that of a version before
    return queue


async def count_dead_letters(channel: AbstractChannel, names: Names) -> dict[str, int]:
    """By the consumer they are of; `tasks` are hand-overs that no worker could read."""
    queues = {name: names.dead_letters(name) for name in DURABLE_CONSUMERS} | {"tasks": xq_name(names.tasks)}
    return {of: await _waiting(channel, queue) for of, queue in queues.items()}


async def _waiting(channel: AbstractChannel, queue: str) -> int:
    declared = (await channel.declare_queue(queue, passive=True)).declaration_result
    return declared.message_count or 0


async def _declare_tasks(channel: AbstractChannel, queue: str) -> None:
    """As Dramatiq declares them: other arguments would be refused."""
    arguments: FieldTable = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": xq_name(queue)}
    await channel.declare_queue(queue, durable=True, arguments=arguments)
    await channel.declare_queue(dq_name(queue), durable=True, arguments=arguments)
    await channel.declare_queue(xq_name(queue), durable=True, arguments={"x-message-ttl": DEAD_MESSAGE_TTL})
