"""Publishes batches of messages: pipelined, confirmed, in order, and bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractMessage

from domain.errors import Unavailable
from infra.rabbit.faults import DEPENDENCY, told_as_unavailable
from infra.rabbit.link import Link
from infra.rabbit.names import Names
from infra.rabbit.topology import declare

CONFIRM_TIMEOUT = 2.0
"""How long a batch may take, waiting for a connection included, in seconds."""
PER_MESSAGE = 0.001
"""And this much more for each message."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    exchange: str
    routing_key: str
    message: AbstractMessage
    mandatory: bool = False
    """Whether it counts as lost when no queue takes it."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Of one connection. Each kind has its own, so that none waits for another's confirms."""

    connection: AbstractConnection
    events: AbstractChannel
    tasks: AbstractChannel
    signals: AbstractChannel


async def open_channels(connection: AbstractConnection, names: Names) -> Channels:
    channels = Channels(
        connection=connection,
        events=await connection.channel(on_return_raises=True),
        tasks=await connection.channel(on_return_raises=True),
        signals=await connection.channel(publisher_confirms=False),
    )
    await declare(channels.events, names)
    return channels


async def publish(
    link: Link[Channels], pick: Callable[[Channels], AbstractChannel], batch: Sequence[Outgoing]
) -> None:
    """Returns once RabbitMQ has confirmed every message. Raises Unavailable when that is not known."""
    channels = None
    try:
        with told_as_unavailable():
            async with asyncio.timeout(CONFIRM_TIMEOUT + PER_MESSAGE * len(batch)):
                channels = await link.ready()
                await _confirmed(pick(channels), batch)
    except Unavailable:
        if channels is not None:
            link.renew(channels)  # what is still unanswered on it must not be mistaken for later messages
        raise


async def _confirmed(channel: AbstractChannel, batch: Sequence[Outgoing]) -> None:
    wire = await channel.get_underlay_channel()
    answers = await asyncio.gather(
        *(
            wire.basic_publish(
                one.message.body,
                exchange=one.exchange,
                routing_key=one.routing_key,
                properties=one.message.properties,
                mandatory=one.mandatory,
            )
            for one in batch
        ),
        # Every answer is looked at: one that was only cancelled would otherwise pass for a confirm.
        return_exceptions=True,
    )
    for answer in answers:
        if isinstance(answer, BaseException):
            raise Unavailable(DEPENDENCY) from answer
