"""Serves an application on a real socket of this machine, as production does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.bounds.unfinished import Unfinished
from api.bounds.unread import Unread
from api.listening import address_of, listen
from api.server import Server
from infra.settings import Settings


@asynccontextmanager
async def serving(
    app: ASGIApp,
    stop_grace: float = 5,
    port: int = 0,
    unread: Unread | None = None,
    unfinished: Unfinished | None = None,
) -> AsyncIterator[str]:
    """The application's address. On the way out the server drains, as it does on SIGTERM."""
    ready = asyncio.Event()
    with listen("127.0.0.1", port) as listener:
        unread = unread or Unread(Settings().max_unread_bytes, CollectorRegistry())
        if unfinished is None:  # an empty one is false
            unfinished = Unfinished(CollectorRegistry())
        server = Server(app, unread=unread, unfinished=unfinished, stop_grace=stop_grace, ready=ready.set)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.serve([listener]))
            await ready.wait()
            try:
                yield address_of(listener)
            finally:
                server.should_exit = True
                await task
