"""A client of server-sent events, for what each byte of a stream says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.graphql_client import DEADLINE

EVENTS = {"accept": "text/event-stream"}


@dataclass(frozen=True)
class Event:
    name: str
    data: Any
    """Read as JSON; None when it is empty."""
    id: str | None = None


COMPLETE = Event("complete", None)


class EventStreamClient:
    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._parts = response.aiter_bytes()
        self._unread = b""

    async def frame(self) -> str:
        """What stands before the next empty line. Raises StopAsyncIteration at the end of the stream."""
        async with asyncio.timeout(DEADLINE):
            while b"\n\n" not in self._unread:
                self._unread += await anext(self._parts)
        frame, _, self._unread = self._unread.partition(b"\n\n")
        return frame.decode()

    async def __anext__(self) -> Event:
        while (frame := await self.frame()).startswith(":"):
            """A comment, which keeps the stream alive."""
        fields = dict(line.split(":", 1) for line in frame.split("\n"))
        data = fields["data"].strip()
        id = fields["id"].strip() if "id" in fields else None
        return Event(fields["event"].strip(), json.loads(data) if data else None, id)

    def __aiter__(self) -> EventStreamClient:
        return self

    async def all(self) -> list[Event]:
        """Up to the end of the stream."""
        return [event async for event in self]


@asynccontextmanager
async def event_stream(
    http: httpx2.AsyncClient, query: str, headers: dict[str, str] | None = None, **variables: Any
) -> AsyncIterator[EventStreamClient]:
    body = {"query": query, "variables": variables}
    async with http.stream("POST", "/graphql", json=body, headers=EVENTS | (headers or {})) as response:
        yield EventStreamClient(response)
