"""Signals over RabbitMQ: coalesced for a moment, sent without waiting, and lost when it is gone."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from domain.errors import Unavailable
from domain.live.ports import Signal
from infra.background import Background
from infra.live.signal_metrics import SignalMetrics
from infra.live.signal_watch import KeyWatch
from infra.rabbit.faults import told_as_unavailable
from infra.rabbit.link import Link
from infra.rabbit.names import Names
from infra.rabbit.publisher import Channels
from infra.rabbit.subscription import subscribed

log = logging.getLogger(__name__)

MOMENT = 0.001
"""Sends within it go together."""
SEND_TIMEOUT = 1.0
MAX_PENDING = 10_000
"""Keys of one signal that wait to be sent."""
KEYS_PER_MESSAGE = 500
MAX_WAITING = 1_000
"""Messages that wait for one watcher; the oldest is dropped first."""
ALIKE = frozenset({Signal.OUTBOX})
"""One of these says as much as many: what comes before a watcher takes the last one is dropped in RabbitMQ."""


class RabbitSignals:
    """See `domain.live.ports.Signals`."""

    def __init__(
        self,
        tasks: Background,
        publishing: Link[Channels],
        consuming: Link[AbstractConnection],
        names: Names,
        metrics: SignalMetrics,
    ) -> None:
        self._tasks = tasks
        self._publishing = publishing
        self._consuming = consuming
        self._names = names
        self._metrics = metrics
        self._pending: dict[Signal, set[str]] = {}
        self._any = asyncio.Event()

    def send(self, signal: Signal, key: str = "") -> None:
        keys = self._pending.setdefault(signal, set())
        if len(keys) >= MAX_PENDING:
            self._metrics.dropped.inc()
            return
        keys.add(key)
        self._any.set()

    async def send_forever(self) -> None:
        while True:
            await self._any.wait()
            await self.send_once()
            await asyncio.sleep(MOMENT)

    async def send_once(self) -> int:
        """Send what is pending, or drop it when there is no connection. How many messages were sent."""
        pending, self._pending = self._pending, {}
        self._any.clear()
        channels = self._publishing.session
        sent = 0
        for signal, keys in pending.items():
            ordered = sorted(keys)
            for start in range(0, len(ordered), KEYS_PER_MESSAGE):
                sent += await self._send(channels, signal, ordered[start : start + KEYS_PER_MESSAGE])
        return sent

    async def _send(self, channels: Channels | None, signal: Signal, keys: list[str]) -> int:
        if channels is None:
            self._metrics.dropped.inc(len(keys))
            return 0
        try:
            with told_as_unavailable():
                async with asyncio.timeout(SEND_TIMEOUT):
                    await self._publish(channels.signals, signal, keys)
        except Unavailable:  # the link logs and counts that it is lost
            self._publishing.renew(channels)
            self._metrics.dropped.inc(len(keys))
            return 0
        self._metrics.sent.inc()
        return 1

    async def _publish(self, channel: AbstractChannel, signal: Signal, keys: list[str]) -> None:
        message = aio_pika.Message(json.dumps(keys).encode())
        wire = await channel.get_underlay_channel()
        await wire.basic_publish(
            message.body,
            exchange=self._names.signals,
            routing_key=signal.value,
            properties=message.properties,
        )

    @asynccontextmanager
    async def watch(self, *signals: Signal) -> AsyncIterator[KeyWatch]:
        watch = KeyWatch()
        one_by_one = ALIKE.issuperset(signals)

        async def hear(message: AbstractIncomingMessage) -> None:
            try:
                keys = [str(key) for key in json.loads(message.body)]
            except (TypeError, ValueError, RecursionError):
                log.warning("a signal cannot be read", extra={"signal": message.routing_key})
                return
            self._metrics.dropped.inc(watch.hear(keys))

        async def hear_one(message: AbstractIncomingMessage) -> None:
            await hear(message)
            await watch.taken()
            with suppress(Unavailable), told_as_unavailable():  # the queue has gone with its connection
                await message.ack()

        @asynccontextmanager
        async def serve(channel: AbstractChannel) -> AsyncIterator[None]:
            queue = await channel.declare_queue(
                exclusive=True,
                auto_delete=True,
                arguments={"x-max-length": 1 if one_by_one else MAX_WAITING},
            )
            exchange = await channel.declare_exchange(
                self._names.signals, aio_pika.ExchangeType.DIRECT, durable=True
            )
            for signal in signals:
                await queue.bind(exchange, signal.value)
            if one_by_one:
                await channel.set_qos(prefetch_count=1)
                await queue.consume(hear_one)
            else:
                await queue.consume(hear, no_ack=True)
            yield

        async with subscribed(self._tasks, self._consuming, "signals", serve):
            yield watch
