"""Sends the same request over and over, on many connections at once, at little cost to the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

from typing_extensions import override

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "
NO_BODY = (b"304",)


def http_request(address: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A GET without a body, else a POST of JSON."""
    method = "POST" if body else "GET"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {urlsplit(address).netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join((*lines, "", "")).encode() + body


class Connection(asyncio.Protocol):
    """Asks again as soon as it is answered, and counts."""

    def __init__(self, request: bytes, status: bytes) -> None:
        self._request = request
        self._status = status
        self._transport: asyncio.Transport
        self._received = b""
        self.answers = 0
        self.last = b""
        self.ended = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's
        self._transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head, end, _ = received.partition(HEAD_END)
        if not end or len(received) < len(head) + len(end) + length_in(head):
            return
        if head[9:12] != self._status:
            self._fail(received)
            return
        self.answers += 1
        self._received, self.last = b"", received
        self._transport.write(self._request)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(b"the connection was closed")

    def close(self) -> None:
        self.ended.cancel()
        self._transport.close()

    def _fail(self, said: bytes) -> None:
        if not self.ended.done():
            self.ended.set_exception(AssertionError(said[:2_000].decode()))


async def ask(address: str, request: bytes, *, connections: int, seconds: float, status: int = 200) -> int:
    """How often it was answered. Raises AssertionError on an answer with another status."""
    made = [await _connected(address, Connection(request, b"%d" % status)) for _ in range(connections)]
    await asyncio.wait([each.ended for each in made], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for each in made:
        if each.ended.done():
            each.ended.result()
    for each in made:
        each.close()
    return sum(each.answers for each in made)


async def _connected(address: str, connection: Connection) -> Connection:
    host, _, port = urlsplit(address).netloc.partition(":")
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: connection, host, int(port))
    return connection


async def answer(address: str, request: bytes) -> bytes:
    """One answer, head and all."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(request)
    head = await reader.readuntil(HEAD_END)
    body = await reader.readexactly(length_in(head))
    writer.close()
    return head + body


def length_in(head: bytes) -> int:
    """Of the body that follows this head; an answer without one says 304 and nothing of a length."""
    lowered = head.lower()
    at = lowered.find(LENGTH)
    if at < 0:
        assert head[9:12] in NO_BODY, head
        return 0
    return int(lowered[at + len(LENGTH) :].split(b"\r\n", 1)[0])
