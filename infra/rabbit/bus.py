"""Events, signals and hand-overs over RabbitMQ, opened together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection
from prometheus_client import CollectorRegistry, Counter

from domain.errors import Unavailable
from infra.background import Background, background
from infra.breakers import Breaker
from infra.live.delivery import DURABLE_CONSUMERS
from infra.live.event_metrics import EventMetrics
from infra.live.signal_metrics import SignalMetrics
from infra.rabbit.dead_letters import RabbitDeadLetters
from infra.rabbit.events import RabbitEvents
from infra.rabbit.faults import DEPENDENCY, told_as_unavailable
from infra.rabbit.hand_over import RabbitHandOver
from infra.rabbit.link import Link, open_link
from infra.rabbit.names import Names
from infra.rabbit.publisher import Channels, Publisher, open_channels
from infra.rabbit.signals import RabbitSignals
from infra.rabbit.topology import count_dead_letters
from infra.rabbit.uninterrupted import a_channel
from infra.settings import Settings

CHECK_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class RabbitBus:
    tasks: Background
    signals: RabbitSignals
    events: RabbitEvents
    hand_over: RabbitHandOver
    publishing: Link[Channels]
    consuming: Link[AbstractConnection]
    names: Names
    dead: Mapping[str, RabbitDeadLetters]

    def set_aside(self) -> Mapping[str, RabbitDeadLetters]:
        """By the consumer that could not handle them."""
        return self.dead

    async def dead_letters(self) -> Mapping[str, int]:
        """How many lie in each queue of dead letters. Raises Unavailable, at once without a connection."""
        if self.publishing.session is None:
            raise Unavailable(DEPENDENCY)
        with told_as_unavailable():
            async with asyncio.timeout(CHECK_TIMEOUT):
                connection = (await self.publishing.ready()).connection
                async with a_channel(self.tasks, connection) as channel:
                    return await count_dead_letters(channel, self.names)

    async def check(self) -> None:
        """Raises Unavailable when RabbitMQ does not answer on both connections."""
        with told_as_unavailable():
            async with asyncio.timeout(CHECK_TIMEOUT):
                for connection in (await self.consuming.ready(), (await self.publishing.ready()).connection):
                    async with a_channel(self.tasks, connection) as channel:
                        await channel.get_exchange(self.names.events)


@asynccontextmanager
async def open_rabbit_bus(
    settings: Settings, registry: CollectorRegistry, breaker: Breaker
) -> AsyncIterator[RabbitBus]:
    """Opens also when RabbitMQ cannot be reached.

    Two connections: one that publishes is held up by RabbitMQ when memory or disk run out, and consuming
    is what frees them.
    """
    url, names = str(settings.amqp_url), Names(settings.namespace)
    lost = Counter(
        "carillon_rabbit_connections_lost",
        "Connections to RabbitMQ that were lost.",
        ["link"],
        registry=registry,
    )

    cut_off = Counter(
        "carillon_dead_letter_looks_cut_off",
        "Looks at the dead letters of a consumer that could not take all of them.",
        ["consumer"],
        registry=registry,
    )

    async def set_up(connection: AbstractConnection) -> Channels:
        return await open_channels(connection, names)

    async def as_it_is(connection: AbstractConnection) -> AbstractConnection:
        return connection

    async with (
        open_link(
            url, f"{names.namespace} publishing", set_up, lost.labels("publishing"), breaker.hear
        ) as publishing,
        open_link(url, f"{names.namespace} consuming", as_it_is, lost.labels("consuming")) as consuming,
        background() as tasks,
    ):
        signals = RabbitSignals(tasks, publishing, consuming, names, SignalMetrics(registry))
        tasks.start(signals.send_forever(), "signals")
        publisher = Publisher(publishing, breaker)
        events = RabbitEvents(tasks, publisher, consuming, names, EventMetrics(registry))
        bus = RabbitBus(
            tasks=tasks,
            signals=signals,
            events=events,
            hand_over=RabbitHandOver(publisher, names),
            publishing=publishing,
            consuming=consuming,
            names=names,
            dead={
                name: RabbitDeadLetters(
                    name, tasks, consuming, names, events.send, cut_off=cut_off.labels(name).inc
                )
                for name in DURABLE_CONSUMERS
            },
        )
        async with breaker.looked_for(bus.check, unasked=settings.breaker_reset):
            yield bus
