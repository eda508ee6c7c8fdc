"""Publishes batches of messages: pipelined, confirmed, in order, and bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractMessage
from aio_pika.exceptions import DeliveryError

from domain.errors import Unavailable
from domain.resilience.breaker import Verdict
from infra.breakers import Breaker
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


Pick = Callable[[Channels], AbstractChannel]


async def open_channels(connection: AbstractConnection, names: Names) -> Channels:
    channels = Channels(
        connection=connection,
        events=await connection.channel(on_return_raises=True),
        tasks=await connection.channel(on_return_raises=True),
        signals=await connection.channel(publisher_confirms=False),
    )
    await declare(channels.events, names)
    return channels


class Publisher:
    """Publishes over a link, in batches."""

    def __init__(self, link: Link[Channels], breaker: Breaker) -> None:
        self._link = link
        self._breaker = breaker

    async def publish(self, pick: Pick, batch: Sequence[Outgoing]) -> None:
        """Returns once RabbitMQ has confirmed every message. Raises Unavailable when that is not known.

        And at once, with nothing sent, while the breaker is open.
        """
        with self._breaker.guarding(_verdict_of):
            await self.insist(pick, batch)

    async def insist(self, pick: Pick, batch: Sequence[Outgoing]) -> None:
        """The same, whatever the breaker says."""
        channels = None
        try:
            with told_as_unavailable():
                async with asyncio.timeout(CONFIRM_TIMEOUT + PER_MESSAGE * len(batch)):
                    channels = await self._link.ready()
                    await _confirmed(pick(channels), batch)
        except Unavailable:
            if channels is not None:
                # What is still unanswered on it must not be mistaken for later messages.
                self._link.renew(channels)
            raise


def _verdict_of(fault: Unavailable) -> Verdict:
    """That no queue took a message is an answer."""
    return Verdict.WORKS if isinstance(fault.__cause__, DeliveryError) else Verdict.FAILS


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
