"""Many sockets that follow all changes of tasks, as cheaply as can be: started by tests.load.subscribers

    python -m tests.load.subscriber_client HOST PORT SUBSCRIBERS SECONDS same|different

With `different`, no two have the same document, so that it is executed for each. Says `ready` once all have
subscribed, waits for a line, and prints as JSON how many results came, and how late.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from functools import partial
from time import time
from typing import cast

import uvloop
from typing_extensions import override

QUERY = """subscription { taskEvents { id kind at task {
    id title state scheduledAt queue priority attempt version } } }"""
AT_ONCE = 50
HEAD = (
    "GET /graphql HTTP/1.1\r\nhost: {}:{}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)


class Figures:
    measuring = False
    results = 0

    def __init__(self) -> None:
        self.delays: list[float] = []


class Subscriber(asyncio.Protocol):
    """Never answers; looks for what it counts without reading frames."""

    def __init__(self, head: bytes, query: str, figures: Figures) -> None:
        self._head = head
        self._query = query
        self._figures = figures
        self.subscribed = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)

    @override
    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 101"):
            self._say({"type": "connection_init"})
        if b"connection_ack" in data:
            self._say({"id": "1", "type": "subscribe", "payload": {"query": self._query}})
            self.subscribed.set_result(None)
        if self._figures.measuring and (results := data.count(b'"type":"next"')):
            self._figures.results += results
            at = data.rindex(b'"at":"') + 6
            told = datetime.fromisoformat(data[at : data.index(b'"', at)].decode())
            self._figures.delays.append(time() - told.timestamp())

    def _say(self, message: object) -> None:
        text = json.dumps(message).encode()
        length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        self._transport.write(b"\x81" + length + b"\0\0\0\0" + text)


async def main(host: str, port: int, subscribers: int, seconds: float, documents: str) -> None:
    figures = Figures()
    loop = asyncio.get_running_loop()
    head = HEAD.format(host, port).encode()
    for first in range(0, subscribers, AT_ONCE):
        comments = [f" # {first + number}" if documents == "different" else "" for number in range(AT_ONCE)]
        made = [
            await loop.create_connection(partial(Subscriber, head, QUERY + comment, figures), host, port)
            for comment in comments
        ]
        await asyncio.gather(*(each.subscribed for _, each in made))
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    figures.measuring = True
    await asyncio.sleep(seconds)
    delays = sorted(figures.delays)
    p95 = delays[int(len(delays) * 0.95)] if delays else None
    print(json.dumps({"results": figures.results, "p95": p95}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]))
