"""What is opened with RabbitMQ is opened, and closed, whole: whoever wanted it may leave at any point.

A channel that is left while it opens can cost the connection, and with it what all others do over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from aio_pika.abc import AbstractChannel, AbstractConnection

from infra.background import Background
from infra.rabbit.faults import told_as_unavailable

T = TypeVar("T")

ANSWER = 1.0
"""Seconds that RabbitMQ has to close what is given up."""


@asynccontextmanager
async def uninterrupted(tasks: Background, opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Entered and left in one of `tasks`. Raises Unavailable, beside what `opening` raises itself."""
    opened: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    left, faults = asyncio.Event(), list[Exception]()

    async def hold() -> None:
        try:
            with told_as_unavailable():
                async with opening as value:
                    if not opened.done():
                        opened.set_result(value)
                    await left.wait()
        except Exception as fault:  # noqa: BLE001  it is raised where it is waited for
            faults.append(fault)
        finally:
            opened.cancel()

    holding = tasks.start(hold(), "hold-open")
    either: list[asyncio.Future[Any]] = [holding, opened]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if faults:
            raise faults.pop()
        yield await opened
        left.set()
        await asyncio.wait([holding])
        if faults:
            raise faults.pop()
    finally:
        left.set()
        if not opened.cancel():  # what was open is not left half closed, if RabbitMQ answers
            await asyncio.wait([holding], timeout=ANSWER)


def a_channel(
    tasks: Background, connection: AbstractConnection
) -> AbstractAsyncContextManager[AbstractChannel]:
    return uninterrupted(tasks, _channel(connection))


@asynccontextmanager
async def _channel(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    async with connection.channel() as channel:
        yield channel
