"""Events over RabbitMQ: confirmed when published, kept for durable consumers, fanned out to listeners."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractConnection

from domain.contracts.events import Event
from domain.live.outbox import Pending
from domain.live.ports import Handle
from infra.background import Background
from infra.live.delivery import Consumer
from infra.live.event_metrics import EventMetrics
from infra.rabbit.consumer import RabbitConsumer
from infra.rabbit.event_wire import packed
from infra.rabbit.link import Link
from infra.rabbit.listener import RabbitListener
from infra.rabbit.names import Names
from infra.rabbit.publisher import Outgoing, Publisher
from infra.rabbit.subscription import subscribed


class RabbitEvents:
    """See `domain.live.ports.Events`."""

    def __init__(
        self,
        tasks: Background,
        publisher: Publisher,
        consuming: Link[AbstractConnection],
        names: Names,
        metrics: EventMetrics,
    ) -> None:
        self._tasks = tasks
        self._publisher = publisher
        self._consuming = consuming
        self._names = names
        self._metrics = metrics

    async def publish(self, events: Sequence[Pending]) -> None:
        if not events:
            return
        self._metrics.published.inc(len(events))
        await self.send([Outgoing(self._names.events, key, message) for key, message in packed(events)])
        self._metrics.confirmed.inc(len(events))

    @asynccontextmanager
    async def consume(self, name: str, handle: Handle, batch: int) -> AsyncIterator[None]:
        self._metrics.begin(name)
        consumer = Consumer(name, handle, self._metrics)
        rabbit = RabbitConsumer(consumer, batch, self._names, self._send_on)
        async with subscribed(self._tasks, self._consuming, name, rabbit.serve):
            yield

    @asynccontextmanager
    async def listen(self, hear: Callable[[Event], None], miss: Callable[[], None]) -> AsyncIterator[None]:
        listener = RabbitListener(hear, miss, self._names, self._metrics)
        async with subscribed(self._tasks, self._consuming, "events", listener.serve):
            listener.rely()
            yield

    async def send(self, batch: Sequence[Outgoing]) -> None:
        """Returns once RabbitMQ has them all. Raises Unavailable when that is not known."""
        await self._publisher.publish(lambda channels: channels.events, batch)

    async def _send_on(self, batch: Sequence[Outgoing]) -> None:
        """As `send`, however often it failed: a consumer refused at once would be given the same at once."""
        await self._publisher.insist(lambda channels: channels.events, batch)
