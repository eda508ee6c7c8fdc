"""Answers that nobody reads take no more memory than they may, and nobody else is kept waiting."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from api.bounds.unread import Unread
from tests.support import wire
from tests.support.graphql_client import http_client, raw_socket
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import until

NAMES = " ".join(f"{letter}: hello(name: $name)" for letter in "abcdefghi")
QUERY = f"query ($name: String!) {{ {NAMES} }}"
VARIABLES = {"name": "x" * 1_000_000}
ASKED = wire.post(json.dumps({"query": QUERY, "variables": VARIABLES}).encode(), "application/json")
MOST = 25_000_000
"""Bytes: of answers of 9 MB, of which the buffers of the system hold a part."""


async def test_who_reads_no_answer_is_cut_off_before_they_take_more_than_they_may() -> None:
    registry = CollectorRegistry()
    unread = Unread(MOST, registry)
    async with serving(small_app(), unread=unread) as address, AsyncExitStack() as stack:
        place, held = urlsplit(address), []
        for _ in range(10):
            reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
            held.append((reader, writer))  # what is not held is closed
            stack.callback(writer.transport.abort)
            writer.write(ASKED)
        await until(lambda: figure(registry, "carillon_unread_cut_off_total") >= 1)
        assert 0 < figure(registry, "carillon_unread_bytes") <= MOST
        async with http_client(address) as client:
            assert await client.execute("{ hello }") == {"hello": "hello world"}
    assert figure(registry, "carillon_unread_bytes") == 0


async def test_the_same_holds_for_answers_over_sockets() -> None:
    registry = CollectorRegistry()
    unread = Unread(MOST, registry)
    async with serving(small_app(), unread=unread) as address, AsyncExitStack() as stack:
        for _ in range(10):
            client = await stack.enter_async_context(raw_socket(address))
            await say(client, INIT)
            assert await hear(client) == ACK
            client.transport.pause_reading()
            stack.callback(client.transport.abort)
            await say(client, subscribe(QUERY, variables=VARIABLES))
        await until(lambda: figure(registry, "carillon_unread_cut_off_total") >= 1)
        assert 0 < figure(registry, "carillon_unread_bytes") <= MOST
    assert figure(registry, "carillon_unread_bytes") == 0


async def test_answers_that_wait_for_one_socket_count_together() -> None:
    registry = CollectorRegistry()
    unread = Unread(MOST, registry)
    async with serving(small_app(), unread=unread) as address, raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        client.transport.pause_reading()
        for number in range(10):
            await say(client, subscribe(QUERY, str(number), variables=VARIABLES))
        await until(lambda: figure(registry, "carillon_unread_cut_off_total") == 1)
        client.transport.abort()
    assert figure(registry, "carillon_unread_bytes") == 0


async def test_what_an_event_stream_is_to_tell_next_counts() -> None:
    registry = CollectorRegistry()
    unread = Unread(MOST, registry)
    body = json.dumps({"query": "subscription { flood(size: 9000000) }"}).encode()
    async with serving(small_app(), unread=unread) as address, AsyncExitStack() as stack:
        place, held = urlsplit(address), []
        for _ in range(2):
            reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
            held.append((reader, writer))
            stack.callback(writer.transport.abort)
            writer.write(wire.post(body, "text/event-stream"))
        await until(lambda: figure(registry, "carillon_unread_cut_off_total") == 1)


def figure(registry: CollectorRegistry, name: str) -> float:
    return registry.get_sample_value(name) or 0
