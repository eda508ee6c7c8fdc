"""Hears every event as it is published, and notices when some may have been missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from domain.contracts.events import Event
from infra.background import background
from infra.live.batches import Batches
from infra.live.event_metrics import EventMetrics
from infra.rabbit.acknowledging import Acknowledging
from infra.rabbit.event_wire import Unreadable, read_events
from infra.rabbit.names import Names
from infra.rabbit.routing import EVERYTHING
from infra.rabbit.topology import declare_events

log = logging.getLogger(__name__)

PREFETCH = 50
"""Messages on their way to this process."""
MAX_WAITING = 10_000
MAX_BYTES_WAITING = 32 * 1024 * 1024
"""Messages that wait for this process in RabbitMQ; the oldest is dropped first."""


class RabbitListener:
    def __init__(
        self,
        hear: Callable[[Event], None],
        miss: Callable[[], None],
        names: Names,
        metrics: EventMetrics,
    ) -> None:
        self._hear = hear
        self._miss = miss
        self._names = names
        self._metrics = metrics
        self._listening = False
        """Whether someone may rely on hearing everything: set by who opened it, once it is open."""

    def rely(self) -> None:
        """From here on a new subscription means that events may have been missed before it."""
        self._listening = True

    @asynccontextmanager
    async def serve(self, channel: AbstractChannel) -> AsyncIterator[None]:
        await declare_events(channel, self._names)
        # What overflows is sent to a second queue, that holds one message: the notice that there was any.
        notice = await channel.declare_queue(exclusive=True, auto_delete=True, arguments={"x-max-length": 1})
        queue = await channel.declare_queue(
            exclusive=True,
            auto_delete=True,
            arguments={
                "x-max-length": MAX_WAITING,
                "x-max-length-bytes": MAX_BYTES_WAITING,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": notice.name,
            },
        )
        await queue.bind(self._names.events, EVERYTHING)
        # With acknowledgements: without, RabbitMQ would keep what we are slow to take in its own memory,
        # past every bound.
        await channel.set_qos(prefetch_count=PREFETCH)
        inbox = asyncio.Queue[AbstractIncomingMessage]()  # bounded by the prefetch
        acknowledging = Acknowledging(PREFETCH // 2)
        batches = Batches(inbox, PREFETCH, partial(self._take, acknowledging))
        async with background() as tasks:
            tasks.start(batches.run(), "listen")
            tasks.start(acknowledging.tell_forever(), "acknowledge-heard")
            await notice.consume(self._on_overflow, no_ack=True)
            await queue.consume(inbox.put)
            if self._listening:
                self._tell_missed()
            yield

    async def _take(self, acknowledging: Acknowledging, messages: list[AbstractIncomingMessage]) -> None:
        for message in messages:
            self._on_message(message)
        await acknowledging.done(messages)

    def _on_message(self, message: AbstractIncomingMessage) -> None:
        try:
            events = read_events(message)
        except Unreadable:
            self._metrics.unheard.inc()
            log.warning("events cannot be read", extra={"message_id": message.message_id})
            return
        for event in events:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        try:
            self._hear(event)
        except Exception:  # a listener's fault is its own: the next event is heard all the same
            self._metrics.unheard.inc()
            log.exception("an event could not be heard", extra={"event_id": event.event_id})

    async def _on_overflow(self, _: AbstractIncomingMessage) -> None:
        self._tell_missed()

    def _tell_missed(self) -> None:
        self._metrics.missed.inc()
        self._miss()
