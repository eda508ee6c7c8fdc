"""A subscriber to notifications who comes back after every loss, at any API, with the last cursor it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.asking import FOLLOW
from tests.support.graphql_client import Json, SocketClosed, Stream, graphql_socket


class Follower:
    def __init__(self, after: str | None = None) -> None:
        self.heard: list[Json] = []
        self._after = after

    @property
    def after(self) -> str | None:
        return self.heard[-1]["cursor"] if self.heard else self._after

    @property
    def cursors(self) -> list[str]:
        return [notification["cursor"] for notification in self.heard]

    @asynccontextmanager
    async def at(self, address: str) -> AsyncIterator[None]:
        """Hears what this API tells for as long as it lives, and this is not left."""
        async with graphql_socket(address) as socket, socket.subscribe(FOLLOW, after=self.after) as stream:
            await socket.execute("{ viewer { tenant } }")  # answered in order: it is subscribed by then
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(self._hear(stream))
                yield
                hearing.cancel()

    async def _hear(self, stream: Stream) -> None:
        with suppress(SocketClosed):
            while True:
                with suppress(TimeoutError):  # for a while there is nothing to tell
                    self.heard.append((await anext(stream))["notifications"])
