"""Hand-overs over RabbitMQ: Dramatiq's messages, published in confirmed batches to the queue it consumes."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import aio_pika

from infra.live.hand_over import message_for
from infra.rabbit.names import Names
from infra.rabbit.publisher import Outgoing, Publisher


class RabbitHandOver:
    """See `domain.live.ports.HandOver`."""

    def __init__(self, publisher: Publisher, names: Names) -> None:
        self._publisher = publisher
        self._queue = names.tasks

    async def send(self, batches: Sequence[Sequence[UUID]]) -> None:
        if not batches:
            return
        outgoing = [self._outgoing(ids) for ids in batches]
        await self._publisher.publish(lambda channels: channels.tasks, outgoing)

    def _outgoing(self, ids: Sequence[UUID]) -> Outgoing:
        message = aio_pika.Message(
            message_for(self._queue, ids).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        return Outgoing("", self._queue, message, mandatory=True)
