"""Subscribers that do not read: they are ended, counted and can come back; the others notice nothing."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection

from api import connections
from tests.support import wire
from tests.support.graphql_client import http_client, raw_socket
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import until

SIZE = 65_536
QUERY = f"subscription {{ liveText(size: {SIZE}) }}"
EVENTS = 400
QUICK = 3
IN_TIME = 2.0
"""Seconds within which 19 of 20 are told, on a busy machine. Who waits for a slow one does so for longer."""
ON_THE_WAY = 24 * 1024 * 1024
"""Bytes that the buffers of a connection and the backlog of a subscriber may hold together, by far."""
ANSWER = 9_000_000
"""Bytes, of which the buffers of the system hold the half."""
GROWTH = 4 * 1024 * 1024


@pytest.mark.fault(30, "subscribers of one execution that stop reading, over a socket and an event stream")
async def test_who_does_not_read_is_ended_alone_and_nothing_waits_for_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched, registry = Watched(), CollectorRegistry()

    def count(name: str) -> float:
        return registry.get_sample_value(f"carillon_shared_{name}") or 0

    async with serving(small_app(watched, registry=registry)) as address, AsyncExitStack() as stack:
        quick = [await stack.enter_async_context(subscribed(address)) for _ in range(QUICK)]
        slow = await stack.enter_async_context(subscribed(address))
        slow.transport.pause_reading()
        writer = await unread_event_stream(address)
        await until(lambda: count("subscribers") == QUICK + 2)
        assert count("subscriptions") == 1
        seconds, grown_from = [], None
        tracemalloc.start()
        for _ in range(EVENTS):
            began = time.perf_counter()
            await watched.tell()
            for each in quick:
                assert text_of(await hear(each)).startswith(f"{watched.number} ")
            seconds.append(time.perf_counter() - began)
            if grown_from is None and count("resyncs_total") == 2:
                grown_from = tracemalloc.get_traced_memory()[0]
        grown_to = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert grown_from is not None, "both are ended while they still do not read"
        assert grown_to - grown_from < GROWTH
        assert sorted(seconds)[EVENTS * 19 // 20] < IN_TIME

        slow.transport.resume_reading()
        heard = 0
        while "errors" not in (body := (await hear(slow))["payload"]):
            heard += 1
        assert 0 < heard * SIZE < ON_THE_WAY
        assert body["errors"][0]["extensions"] == {"code": "RESYNC"}
        assert await hear(slow) == {"id": "1", "type": "complete"}
        await say(slow, subscribe(QUERY, "2"))
        await until(lambda: count("subscribers") == QUICK + 2)  # the event stream is still not read
        await watched.tell()
        assert text_of(await hear(slow)).startswith(f"{watched.number} ")
        writer.transport.abort()
    assert not [record for record in caplog.records if record.exc_info]


async def test_who_takes_an_answer_drop_by_drop_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT", 1.5)
    names = " ".join(f"{letter}: hello(name: $name)" for letter in "abcdefghi")
    asked = {"query": f"query ($name: String!) {{ {names} }}", "variables": {"name": "x" * 1_000_000}}
    async with serving(small_app()) as address:
        place = urlsplit(address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
        writer.write(wire.post(json.dumps(asked).encode(), "application/json"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        taken = 0
        async with asyncio.timeout(20):
            with suppress(ConnectionResetError):
                while taken < ANSWER and (part := await reader.read(100_000)):
                    taken += len(part)
                    await asyncio.sleep(0.1)  # it is read all along
        assert taken < ANSWER
        writer.close()
        async with http_client(address) as client:
            assert len((await client.http.post("/graphql", json=asked)).content) > ANSWER
            await asyncio.sleep(1.6)  # longer than it would have had
            assert await client.execute("{ hello }") == {"hello": "hello world"}


@asynccontextmanager
async def subscribed(address: str) -> AsyncIterator[ClientConnection]:
    async with raw_socket(address) as client:
        await say(client, INIT, subscribe(QUERY))
        assert await hear(client) == ACK
        yield client


def text_of(message: dict[str, dict[str, dict[str, str]]]) -> str:
    return message["payload"]["data"]["liveText"]


async def unread_event_stream(address: str) -> asyncio.StreamWriter:
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
    body = f'{{"query": "{QUERY}"}}'.encode()
    writer.write(wire.post(body, "text/event-stream"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return writer
