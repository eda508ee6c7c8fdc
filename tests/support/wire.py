"""What a server sends, byte for byte, whatever it is asked and over whichever transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote, urlsplit

from tests.support.socket_talk import INIT

DEADLINE = 30.0
QUIET = 1.5
"""Seconds of silence after which what has no end of its own is not listened to any longer."""
ENOUGH = 4.0
"""Seconds after which it is not listened to any longer, though it goes on."""


def post(body: bytes, accept: str = "application/json", *headers: str) -> bytes:
    head = _head("POST /graphql", accept, f"content-length: {len(body)}", *headers)
    return head + body


def get(query_string: str, path: str = "/graphql", *headers: str) -> bytes:
    return _head(f"GET {path}?{quote(query_string, safe='=&%{}')}", "application/json", *headers)


def _head(line: str, accept: str, *headers: str) -> bytes:
    lines = [
        f"{line} HTTP/1.1",
        "host: localhost",
        "connection: close",
        "content-type: application/json",
        f"accept: {accept}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)


def frame(message: object) -> bytes:
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + text


def talk(*messages: object) -> bytes:
    """A handshake, and what is said after it."""
    return HANDSHAKE + b"".join(map(frame, (INIT, *messages)))


async def answered(address: str, sent: bytes) -> bytes:
    """All that comes back, up to the end of the connection. Raises TimeoutError."""
    received = bytearray()
    with suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE), _talking(address, sent, received) as reader:
            while part := await reader.read(65_536):
                received += part
    return bytes(received)


async def overheard(address: str, sent: bytes, awaited: bytes = b"") -> bytes:
    """What comes back before it is quiet for a while, or the connection ends, or enough was heard.

    What is awaited is waited for in any case, up to a deadline.
    """
    received, silence = bytearray(), None
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(DEADLINE) as limit, _talking(address, sent, received) as reader:
            while part := await asyncio.wait_for(reader.read(65_536), silence):
                received += part
                if silence is None and awaited in received:
                    silence = QUIET
                    limit.reschedule(asyncio.get_running_loop().time() + ENOUGH)
    return bytes(received)


@asynccontextmanager
async def _talking(address: str, sent: bytes, received: bytearray) -> AsyncIterator[asyncio.StreamReader]:
    """With what was sent, and for a websocket the answer to its handshake received."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        if sent.startswith(HANDSHAKE):  # what comes together with it is not for the socket
            writer.write(HANDSHAKE)
            received += await reader.readuntil(b"\r\n\r\n")
        writer.write(sent.removeprefix(HANDSHAKE))
        yield reader
    finally:
        writer.transport.abort()
