"""Subscribers to notifications that leave and are cut off again and again, and come back to another API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import httpx2
from websockets.exceptions import WebSocketException

from schema.paging import stream_cursor
from tests.support.event_stream import event_stream
from tests.support.graphql_client import GraphQLErrors, Json, SocketClosed, data_of, graphql_socket, http_client

FOLLOW = """subscription($after: Cursor, $owner: String) {
  notifications(after: $after, owner: $owner) { cursor title } }"""
STAY = 400
"""Notifications after which it leaves by itself."""
PAUSE = 0.05
PASSING = {"RESYNC", "UNAVAILABLE", "TENANT_BUSY"}
BEGINNING = stream_cursor(0)


@dataclass
class Resuming:
    over: Literal["websocket", "sse"]
    owner: str | None
    apis: Callable[[], list[str]]
    """The addresses of those that run."""
    cursors: list[str] = field(default_factory=list)
    """What it was told, in that order."""
    visits: list[str] = field(default_factory=list)

    @property
    def after(self) -> str:
        return self.cursors[-1] if self.cursors else BEGINNING

    async def follow_for_ever(self) -> None:
        """Raises GraphQLErrors for what no subscriber may be told."""
        while True:
            for address in self.apis():
                try:
                    await self._follow(address)
                except (OSError, TimeoutError, WebSocketException, httpx2.TransportError):
                    await asyncio.sleep(PAUSE)

    async def _follow(self, address: str) -> None:
        self.visits.append(address)
        if self.over == "websocket":
            await self._follow_over_websocket(address)
        else:
            await self._follow_over_sse(address)

    async def _follow_over_websocket(self, address: str) -> None:
        async with graphql_socket(address) as socket:
            with suppress(SocketClosed, StopAsyncIteration, TimeoutError):
                async with socket.subscribe(FOLLOW, after=self.after, owner=self.owner) as stream:
                    for _ in range(STAY):
                        if not self._hear(await stream.next_body()):
                            return

    async def _follow_over_sse(self, address: str) -> None:
        headers = {"last-event-id": self.after}
        async with (
            http_client(address) as client,
            event_stream(client.http, FOLLOW, headers, owner=self.owner) as stream,
        ):
            with suppress(StopAsyncIteration, KeyError):  # the end of the stream, or an answer that is none
                for _ in range(STAY):
                    if not self._hear((await anext(stream)).data):
                        return

    def _hear(self, body: Json) -> bool:
        """False when it was the last for now."""
        try:
            self.cursors.append(data_of(body)["notifications"]["cursor"])
        except GraphQLErrors as told:
            if not set(told.codes) <= PASSING:
                raise
            return False
        return True
