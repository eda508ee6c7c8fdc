"""A small GraphQL client, over HTTP and over `graphql-transport-ws`, that never waits for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

DEADLINE = 10.0
"""Seconds after which an answer counts as missing."""
PROTOCOL = Subprotocol("graphql-transport-ws")

Json = dict[str, Any]


class GraphQLErrors(Exception):  # noqa: N818  an answer, not a fault
    """What the server answered instead of data."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__("; ".join(error["message"] for error in errors))
        self.errors = errors

    @property
    def codes(self) -> list[str | None]:
        return [error.get("extensions", {}).get("code") for error in self.errors]


class SocketClosed(Exception):  # noqa: N818  what the client meets
    def __init__(self, closed: ConnectionClosed) -> None:
        self.code = closed.rcvd.code if closed.rcvd else None
        self.reason = closed.rcvd.reason if closed.rcvd else ""
        super().__init__(f"{self.code} {self.reason}")


class HttpClient:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def post(
        self, query: str, headers: dict[str, str] | None = None, **variables: Any
    ) -> httpx2.Response:
        body = {"query": query, "variables": variables}
        return await self.http.post("/graphql", json=body, headers=headers)

    async def execute(self, query: str, **variables: Any) -> Json:
        """Its data; raises GraphQLErrors."""
        return data_of((await self.post(query, **variables)).json())


@asynccontextmanager
async def http_client(address: str) -> AsyncIterator[HttpClient]:
    async with httpx2.AsyncClient(base_url=address, timeout=DEADLINE) as http:
        yield HttpClient(http)


class Stream:
    """The results of one operation on a socket."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Json | SocketClosed] = asyncio.Queue()

    def hear(self, message: Json | SocketClosed) -> None:
        self._messages.put_nowait(message)

    async def next_body(self) -> Json:
        """The next whole result; raises StopAsyncIteration at the end, GraphQLErrors when it was refused."""
        async with asyncio.timeout(DEADLINE):
            message = await self._messages.get()
        if isinstance(message, SocketClosed):
            raise message
        if message["type"] == "error":
            raise GraphQLErrors(message["payload"])
        if message["type"] == "complete":
            raise StopAsyncIteration
        body: Json = message["payload"]
        return body

    async def __anext__(self) -> Json:
        """The data of the next result; raises GraphQLErrors when it has errors."""
        return data_of(await self.next_body())

    def __aiter__(self) -> Stream:
        return self


class GraphQLSocket:
    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self._ids = count(1)
        self._streams: dict[str, Stream] = {}

    async def execute(self, query: str, **variables: Any) -> Json:
        """The data of a query or mutation; raises GraphQLErrors."""
        async with self.subscribe(query, **variables) as stream:
            return await anext(stream)

    @asynccontextmanager
    async def subscribe(self, query: str, **variables: Any) -> AsyncIterator[Stream]:
        """The server may take a moment to begin: what happens before it has is not told."""
        operation_id = str(next(self._ids))
        stream = self._streams[operation_id] = Stream()
        payload = {"query": query, "variables": variables}
        await self.send({"id": operation_id, "type": "subscribe", "payload": payload})
        try:
            yield stream
        finally:
            if self._streams.pop(operation_id, None) is not None:
                await self.send({"id": operation_id, "type": "complete"})

    async def send(self, message: Json) -> None:
        try:
            await self.websocket.send(json.dumps(message))
        except ConnectionClosed as closed:
            raise SocketClosed(closed) from closed

    async def read(self) -> None:
        """Gives every message to its operation, until the socket is closed."""
        try:
            async for text in self.websocket:
                message = json.loads(text)
                if message["type"] == "ping":
                    await self.send({"type": "pong"})
                elif "id" in message:
                    self._hear(message)
            await self.websocket.recv()  # closed normally: raises, and says how
        except ConnectionClosed as closed:
            for stream in self._streams.values():
                stream.hear(SocketClosed(closed))
            self._streams.clear()

    def _hear(self, message: Json) -> None:
        ended = message["type"] in {"complete", "error"}
        operation_id = message["id"]
        stream = self._streams.pop(operation_id, None) if ended else self._streams.get(operation_id)
        if stream is not None:
            stream.hear(message)


@asynccontextmanager
async def graphql_socket(address: str, headers: dict[str, str] | None = None) -> AsyncIterator[GraphQLSocket]:
    """Connected and acknowledged."""
    async with raw_socket(address, headers) as websocket:
        await websocket.send(json.dumps({"type": "connection_init"}))
        async with asyncio.timeout(DEADLINE):
            assert json.loads(await websocket.recv()) == {"type": "connection_ack"}
        socket = GraphQLSocket(websocket)
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(socket.read())
            try:
                yield socket
            finally:
                reader.cancel()


def raw_socket(
    address: str, headers: dict[str, str] | None = None, protocol: Subprotocol = PROTOCOL
) -> connect:
    """A socket on which nothing was said yet."""
    url = f"ws{address.removeprefix('http')}/graphql"
    return connect(
        url, subprotocols=[protocol], additional_headers=headers, max_size=None, compression=None, proxy=None
    )


def data_of(body: Json) -> Json:
    if body.get("errors"):
        raise GraphQLErrors(body["errors"])
    data: Json = body["data"]
    return data
