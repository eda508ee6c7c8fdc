"""What a server sends, byte for byte, whatever it is asked and over whichever transport."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext, suppress
from urllib.parse import quote, urlsplit

from tests.support.socket_talk import INIT

DEADLINE = 10.0
QUIET = 1.5
"""Seconds of silence after which what has no end of its own is not listened to any longer."""

ENOUGH = 4.0


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
    return await _received(address, sent, DEADLINE, DEADLINE, ends=True)


async def overheard(address: str, sent: bytes, awaited: bytes = b"") -> bytes:
    """What comes back before it is quiet for a while, or the connection ends, or enough was heard.

    What is awaited is waited for in any case, up to a deadline.
    """
    return await _received(address, sent, QUIET, DEADLINE if awaited else ENOUGH, awaited=awaited)


async def _received(
    address: str, sent: bytes, patience: float, most: float, *, ends: bool = False, awaited: bytes = b""
) -> bytes:
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    received = b""
    try:
        with nullcontext() if ends else suppress(TimeoutError), suppress(ConnectionError):
            async with asyncio.timeout(most):
                if sent.startswith(HANDSHAKE):  # what comes together with it is not for the socket
                    writer.write(HANDSHAKE)
                    received += await reader.readuntil(b"\r\n\r\n")
                writer.write(sent.removeprefix(HANDSHAKE))
                while part := await asyncio.wait_for(
                    reader.read(65_536), patience if awaited in received else most
                ):
                    received += part
    finally:
        writer.transport.abort()
    return received
