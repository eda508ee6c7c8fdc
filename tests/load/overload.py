"""What becomes of requests at twice an API's capacity: `python -m tests.load.overload`.

Method: as `tests.load.reads`, a page of 20 tasks by the `documentId` of a published document. The capacity is
what 4 connections get that ask again once they are answered. Then requests come at random instants, whether or
not those before are answered, each on a connection that is free: first at a fifth of the capacity, which is
unloaded, then at twice the capacity, of which the first seconds are not counted. Prints, for both, how many
were answered and how many shed, and how long each kind took from when it was sent: at the 95th of a hundred,
and the longest. The client shares the machine: how late it was itself to send is told beside, and how busy the
machine was. When it is late to read is still in these times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop
from typing_extensions import override

from tests.load.asking import HEAD_END, ask, length_in
from tests.load.reads import TENANT, prepared
from tests.load.setting import installed

CONNECTIONS = 600
"""As many may be waited for at once; what finds none free is counted as stuck."""
SETTLING = 3.0
"""Seconds in which the API finds out what it can do."""
UNLOADED, OVERLOADED = 0.2, 2.0


@dataclass(slots=True)
class Came:
    """Of a load: seconds by status, and what found no connection."""

    took: dict[bytes, list[float]] = field(default_factory=dict)
    stuck: int = 0
    late: list[float] = field(default_factory=list)
    """Seconds from when each was to be sent until it was."""

    def told(self, status: bytes) -> str:
        return _spread(self.took.get(status, ()))


def _spread(times: Sequence[float]) -> str:
    seconds = sorted(times)
    if not seconds:
        return "none"
    p95 = seconds[len(seconds) * 95 // 100]
    return f"{len(seconds)}, p95 {p95 * 1000:.1f} ms, longest {seconds[-1] * 1000:.1f} ms"


class Asking(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, free: list[Asking]) -> None:
        self._free = free
        self._transport: asyncio.Transport
        self._received = b""
        self._came = Came()
        self._at = 0.0
        self.closed = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True

    def send(self, request: bytes, at: float, came: Came) -> None:
        self._came, self._at = came, asyncio.get_running_loop().time()
        came.late.append(self._at - at)
        self._transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, _ = self._received.partition(HEAD_END)
        if not end or len(self._received) < len(head) + len(end) + length_in(head):
            return
        now = asyncio.get_running_loop().time()
        self._came.took.setdefault(head[9:12], []).append(now - self._at)
        self._received = b""
        self._free.append(self)


class Connections:
    """Made as they are needed; those that the API closes, idle, are forgotten."""

    def __init__(self, address: str) -> None:
        _, _, place = address.partition("://")
        self._host, _, port = place.partition(":")
        self._port = int(port)
        self._free: list[Asking] = []
        self._made = 0

    async def send(self, request: bytes, at: float, came: Came) -> None:
        while self._free and self._free[-1].closed:
            self._free.pop()
            self._made -= 1
        if not self._free:
            if self._made == CONNECTIONS:
                came.stuck += 1
                return
            self._made += 1
            asking = Asking(self._free)
            await asyncio.get_running_loop().create_connection(lambda: asking, self._host, self._port)
            asking.send(request, at, came)
        else:
            self._free.pop().send(request, at, came)


async def come(connections: Connections, request: bytes, rate: float, seconds: float) -> Came:
    """Requests at so many a second, at random instants."""
    loop, came = asyncio.get_running_loop(), Came()
    at = loop.time()
    until = at + seconds
    async with asyncio.TaskGroup() as group:
        while at < until:
            at += random.expovariate(rate)
            if (wait := at - loop.time()) > 0:
                await asyncio.sleep(wait)
            group.create_task(connections.send(request, at, came))
    return came


async def main() -> None:
    options = _options()
    settings = {
        "CARILLON_API_UNNOTICED_LATENCY": str(options.unnoticed),
        "CARILLON_API_CONCURRENCY_LEAST": str(options.least),
        "CARILLON_TENANT": TENANT,
    }
    async with installed("api", CARILLON_AUTHENTICATION="required", **settings) as installation:
        request = (await prepared(installation))[0].request
        capacity = await ask(installation.api, request, connections=4, seconds=4) / 4
        print(f"capacity: {capacity:.0f}/s", flush=True)
        connections = Connections(installation.api)
        for load in (UNLOADED, OVERLOADED):
            await come(connections, request, capacity * load, SETTLING)
            came = await come(connections, request, capacity * load, options.seconds)
            await asyncio.sleep(1)  # for the last answers
            print(f"{load:g} of it: answered {came.told(b'200')}; shed {came.told(b'503')}", end="; ")
            late, busy = _spread(came.late), os.getloadavg()[0] / (os.cpu_count() or 1)
            print(f"stuck {came.stuck}; sent late {late}; load of each core {busy:.1f}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--unnoticed", type=float, default=0, help="seconds: CARILLON_API_UNNOTICED_LATENCY")
    parser.add_argument("--least", type=int, default=4, help="CARILLON_API_CONCURRENCY_LEAST")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main())
