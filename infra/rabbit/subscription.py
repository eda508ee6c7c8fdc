"""Consuming that is taken up again after every loss of the connection, the channel or the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from aio_pika.abc import AbstractChannel, AbstractConnection

from domain.errors import Unavailable
from infra.background import Background, stop
from infra.rabbit.faults import told_as_unavailable
from infra.rabbit.link import Link

SUBSCRIBE_TIMEOUT = 2.0
PAUSE = 0.1
CLOSE_TIMEOUT = 1.0

Serve = Callable[[AbstractChannel], AbstractAsyncContextManager[None]]
"""Entered: consuming. Left when the channel is gone, or when nobody wants it any more."""


@asynccontextmanager
async def subscribed(
    tasks: Background, link: Link[AbstractConnection], name: str, serve: Serve
) -> AsyncIterator[None]:
    """Entered with the subscription made; while RabbitMQ is gone without it, and it comes later."""
    begun = asyncio.Event()
    keeping = tasks.start(_keep(link, serve, begun), f"subscription-{name}")
    try:
        if link.session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
                    await begun.wait()
        yield
    finally:
        await stop(keeping)


async def _keep(link: Link[AbstractConnection], serve: Serve, begun: asyncio.Event) -> None:
    while True:
        connection = await link.ready()
        with suppress(Unavailable), told_as_unavailable():  # the link logs and counts what is lost
            await _hold_once(connection, serve, begun)
        await asyncio.sleep(PAUSE)


async def _hold_once(connection: AbstractConnection, serve: Serve, begun: asyncio.Event) -> None:
    gone = asyncio.Event()

    def end(*_: object) -> None:
        gone.set()

    async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
        channel = await connection.channel(publisher_confirms=False)
    connection.close_callbacks.add(end)
    channel.close_callbacks.add(end)
    (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(end)
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
                await stack.enter_async_context(serve(channel))
            begun.set()
            await gone.wait()
    finally:
        connection.close_callbacks.discard(end)
        await _close(channel)


async def _close(channel: AbstractChannel) -> None:
    with suppress(Unavailable), told_as_unavailable():
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await channel.close()
