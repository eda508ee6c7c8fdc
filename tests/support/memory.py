"""How much memory a process holds, as Linux counts it; and websockets that say nothing, by the thousand."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from typing_extensions import override

from tests.support.socket_talk import ACK_FRAME, INIT
from tests.support.wire import HANDSHAKE, frame

MEGABYTE = 1024
"""In KiB, as memory is told here."""
SLACK = 8 * MEGABYTE
"""What any process may come to hold while it is watched: buffers, caches that fill, pieces of the heap."""
AT_ONCE = 50
"""Handshakes under way together."""
ANSWERED_WITHIN = 120.0
PING, PONG = 0x89, 0x8A


def resident(pid: int) -> int:
    """KiB of it that are in memory."""
    return _status(pid, "VmRSS")


def highest(pid: int) -> int:
    """KiB that were in memory at most, since it began."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def many_files() -> Iterator[int]:
    """As many open files as may be, here and in processes started meanwhile; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class IdleSocket(asyncio.Protocol):
    """Acknowledged, and from then on silent but for the pongs that keep it open."""

    def __init__(self) -> None:
        self.acknowledged = asyncio.get_running_loop().create_future()
        self.open = True
        self._heard = b""
        self._asked = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE)

    @override
    def data_received(self, data: bytes) -> None:
        if not self.acknowledged.done():
            self._heard += data
            if not self._asked and b"\r\n\r\n" in self._heard:
                self._asked = True
                self.transport.write(frame(INIT))
            if ACK_FRAME in self._heard:
                self.acknowledged.set_result(None)
        elif data[0] == PING:
            self.transport.write(bytes([PONG, 0x80 | data[1]]) + bytes(4) + data[2:])

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if not self.acknowledged.done():
            self.acknowledged.set_exception(exc or ConnectionError(f"closed after {self._heard!r}"))


async def idle_sockets(address: str, number: int) -> list[IdleSocket]:
    place, turns = urlsplit(address), asyncio.Semaphore(AT_ONCE)
    loop = asyncio.get_running_loop()

    async def one() -> IdleSocket:
        async with turns, asyncio.timeout(ANSWERED_WITHIN):
            _, socket = await loop.create_connection(IdleSocket, place.hostname or "", place.port or 0)
            await socket.acknowledged
            return socket

    return list(await asyncio.gather(*(one() for _ in range(number))))
