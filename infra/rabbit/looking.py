"""One look at a queue at a time, in all processes together: two at once would each see a part of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractConnection, AbstractQueue
from aiormq.exceptions import ChannelLockedResource
from pamqp.common import FieldTable

FORGOTTEN = 20.0
"""Seconds, more than any look takes, after which RabbitMQ lets others look though it was not told to."""
_PAUSE = 0.05
_GOODBYE = 1.0


@asynccontextmanager
async def looking(connection: AbstractConnection, name: str) -> AsyncIterator[None]:
    """Waits for its turn, of which an exclusive queue of this name is the sign.

    RabbitMQ gives it to one connection alone, and takes it back when that ends. Those of one connection it does
    not hold off from each other.
    """
    while (sign := await _sign(connection, name)) is None:  # noqa: ASYNC110  nobody tells of the end of it
        await asyncio.sleep(_PAUSE)
    try:
        yield
    finally:
        with suppress(TimeoutError):  # what was done is done, and the sign is forgotten by itself
            async with asyncio.timeout(_GOODBYE):
                await sign.delete()
                await sign.channel.close()


async def _sign(connection: AbstractConnection, name: str) -> AbstractQueue | None:
    """None while another connection has it."""
    channel = await connection.channel()
    try:
        arguments: FieldTable = {"x-expires": int(FORGOTTEN * 1000)}
        return await channel.declare_queue(name, exclusive=True, arguments=arguments)
    except ChannelLockedResource:  # which has closed the channel, too
        return None
