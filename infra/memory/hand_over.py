"""Hand-overs inside one process, on a Dramatiq StubBroker."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dramatiq.brokers.stub import StubBroker

from infra.live.hand_over import message_for, queue_name


class MemoryHandOver:
    """See `domain.live.ports.HandOver`."""

    def __init__(self, broker: StubBroker, namespace: str) -> None:
        self._broker = broker
        self._queue = queue_name(namespace)
        broker.declare_queue(self._queue)

    async def send(self, batches: Sequence[Sequence[UUID]]) -> None:
        for batch in batches:
            self._broker.enqueue(message_for(self._queue, batch))
