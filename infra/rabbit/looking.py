"""One look at a queue at a time, in all processes together: two at once would each see a part of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelLockedResource
from pamqp.common import FieldTable

from infra.background import Background
from infra.rabbit.uninterrupted import uninterrupted

FORGOTTEN = 20.0
"""Seconds, more than any look takes, after which RabbitMQ lets others look though it was not told to."""
_PAUSE = 0.05
_ANSWER = 1.0
"""Seconds that RabbitMQ has to give the sign, and to take it back."""


@asynccontextmanager
async def looking(
    tasks: Background, connection: AbstractConnection, name: str, until: float
) -> AsyncIterator[None]:
    """Waits for its turn, of which an exclusive queue of this name is the sign.

    RabbitMQ gives it to one connection alone, and takes it back when that ends. Those of one connection it does
    not hold off from each other. Raises TimeoutError after `until`, by the loop's time, and Unavailable when
    RabbitMQ does not answer.
    """
    while True:
        async with uninterrupted(tasks, _sign(connection, name)) as given:
            if given:
                yield
                return
        if asyncio.get_running_loop().time() >= until:
            raise TimeoutError
        await asyncio.sleep(_PAUSE)


@asynccontextmanager
async def _sign(connection: AbstractConnection, name: str) -> AsyncIterator[bool]:
    """Ours until this is left; False while another connection has it."""
    arguments: FieldTable = {"x-expires": int(FORGOTTEN * 1000)}
    try:
        async with asyncio.timeout(_ANSWER):
            channel = await connection.channel()
            sign = await channel.declare_queue(name, exclusive=True, arguments=arguments)
    except ChannelLockedResource:  # which has closed the channel, too
        yield False
        return
    try:
        yield True
    finally:
        with suppress(TimeoutError):  # what was done is done, and the sign is forgotten by itself
            async with asyncio.timeout(_ANSWER):
                await sign.delete()
                await channel.close()
