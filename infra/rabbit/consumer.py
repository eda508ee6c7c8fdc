"""A durable consumer of events: handles what its queue holds in batches, and sets aside what keeps failing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from domain.contracts.events import Event
from domain.errors import Unavailable
from infra.background import background
from infra.live.batches import Batches
from infra.live.delivery import MAX_DELIVERIES, Consumer
from infra.rabbit.acknowledging import Acknowledging
from infra.rabbit.event_wire import Unreadable, failed_message, failures_of, read_events
from infra.rabbit.names import Names
from infra.rabbit.publisher import Outgoing
from infra.rabbit.topology import declare_consumer, declare_events

PREFETCH = 20
"""Messages, each of up to `event_wire.PACK` events, that wait in this process."""

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Delivered:
    event: Event
    failures: int


class RabbitConsumer:
    def __init__(self, consumer: Consumer, batch: int, names: Names, publish: Publish) -> None:
        self._consumer = consumer
        self._batch = batch
        self._names = names
        self._publish = publish

    @asynccontextmanager
    async def serve(self, channel: AbstractChannel) -> AsyncIterator[None]:
        """Consume on this channel until left, then handle what is in hand to its end.

        When the channel is lost instead, what is in hand is given up: it will be delivered again.
        """
        await declare_events(channel, self._names)
        queue = await declare_consumer(channel, self._names, self._consumer.name)
        await channel.set_qos(prefetch_count=PREFETCH)
        inbox = asyncio.Queue[AbstractIncomingMessage]()  # bounded by the prefetch
        acknowledging = Acknowledging(PREFETCH // 2)
        batches = Batches(inbox, PREFETCH, partial(self._settle, acknowledging))
        async with background() as tasks:
            tasks.start(acknowledging.tell_forever(), f"acknowledge-{self._consumer.name}")
            running = tasks.start(batches.run(), f"consume-{self._consumer.name}")
            await queue.consume(inbox.put)
            try:
                yield
            except asyncio.CancelledError:  # left on purpose
                await batches.leave(running)
                await acknowledging.tell()
                raise

    async def _settle(self, acknowledging: Acknowledging, messages: list[AbstractIncomingMessage]) -> None:
        """Handle what the messages hold, put what failed elsewhere; then they are done."""
        delivered: list[_Delivered] = []
        rest: list[Outgoing] = []
        for message in messages:
            try:
                delivered += self._read(message)
            except Unreadable:
                rest.append(self._set_aside(message))
        for start in range(0, len(delivered), self._batch):
            rest += await self._deliver(delivered[start : start + self._batch])
        try:
            if rest:
                await self._publish(rest)
        except Unavailable:
            await acknowledging.refuse(messages)
        else:
            await acknowledging.done(messages)

    def _read(self, message: AbstractIncomingMessage) -> list[_Delivered]:
        failures = failures_of(message)
        delivered = [_Delivered(event, failures) for event in read_events(message)]
        if message.redelivered or failures:
            self._consumer.metrics.redelivered.labels(self._consumer.name).inc(len(delivered))
        return delivered

    def _set_aside(self, message: AbstractIncomingMessage) -> Outgoing:
        self._consumer.set_aside(message.message_id or "")
        return Outgoing(self._names.dead, self._consumer.name, message, mandatory=True)

    async def _deliver(self, delivered: list[_Delivered]) -> list[Outgoing]:
        """What is to become of those that failed: to the end of the queue, or to the dead letters."""
        failed = await self._consumer.deliver([one.event for one in delivered])
        return [self._send_round(delivered[place]) for place in failed]

    def _send_round(self, one: _Delivered) -> Outgoing:
        failures = one.failures + 1
        message = failed_message(one.event, failures)
        if failures < MAX_DELIVERIES:
            return Outgoing("", self._names.consumer(self._consumer.name), message, mandatory=True)
        self._consumer.set_aside(one.event.event_id)
        return Outgoing(self._names.dead, self._consumer.name, message, mandatory=True)
