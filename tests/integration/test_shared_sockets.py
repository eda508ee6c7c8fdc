"""Sockets that share an execution are written to by it: in order, each at its own pace, until they leave."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from math import inf

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection

from api import shared_streams
from api.bounds.allowance import MOST_KEPT
from tests.support.graphql_client import raw_socket
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import settle_down, until

SIZE = 65_536
"""Characters of an event, many of which fit between a server and a client that does not read."""
MOST_BETWEEN = 1_000
"""Events of that size that never do: they are more than 60 MB."""


@dataclass(frozen=True)
class Served:
    address: str
    watched: Watched
    registry: CollectorRegistry

    def measure(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"carillon_{name}")

    async def subscribed(self, number: int) -> None:
        await until(lambda: self.measure("shared_subscribers") == number)
        await settle_down()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    watched, registry = Watched(), CollectorRegistry()
    async with serving(small_app(watched, registry=registry)) as address:
        served = Served(address, watched, registry)
        yield served
        await until(lambda: served.measure("websocket_connections") == 0)
        assert (watched.open, served.measure("shared_subscribers")) == (0, 0)


async def follow(client: ClientConnection, query: str, operation_id: str = "1") -> None:
    await say(client, INIT, subscribe(query, operation_id))
    assert await hear(client) == ACK


async def test_events_and_answers_come_whole_on_one_socket(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await follow(client, "subscription { live }")
        await served.subscribed(1)
        told, answered = [], 0
        for number in range(1, 51):
            await served.watched.tell()
            await say(client, {"type": "ping", "payload": {"number": number}})
            for _ in range(2):
                message = await hear(client)
                if message["type"] == "next":
                    told.append(message["payload"]["data"]["live"])
                else:
                    answered += 1
    assert told == list(range(1, 51))
    assert answered == 50


async def test_one_that_does_not_read_is_ended_alone_and_hears_what_fitted_in_order(served: Served) -> None:
    query = f"subscription {{ liveText(size: {SIZE}) }}"
    async with raw_socket(served.address) as slow, raw_socket(served.address) as quick:
        for client in (slow, quick):
            await follow(client, query)
        await served.subscribed(2)
        slow.transport.pause_reading()
        while served.measure("shared_resyncs_total") == 0:
            assert served.watched.number < MOST_BETWEEN
            await served.watched.tell()
            assert number_in(await hear(quick)) == served.watched.number
        slow.transport.resume_reading()
        told = []
        while "errors" not in (message := await hear(slow))["payload"]:
            told.append(number_in(message))
        assert told == list(range(1, len(told) + 1))
        assert message["payload"]["errors"][0]["extensions"]["code"] == "RESYNC"
        assert (await hear(slow))["type"] == "complete"
        assert served.measure("shared_resyncs_total") == 1


async def test_what_waits_for_one_that_does_not_read_is_bounded_over_all_its_operations(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_streams, "BACKLOG_SIZE", inf)
    query = f"subscription {{ liveText(size: {SIZE}) }}"
    async with raw_socket(served.address) as slow, raw_socket(served.address) as quick:
        await follow(quick, query)
        await follow(slow, query, "0")
        await say(slow, *(subscribe(query, str(number)) for number in range(1, 30)))
        await served.subscribed(31)
        slow.transport.pause_reading()
        while served.measure("shared_resyncs_total") == 0:
            assert served.watched.number * SIZE < MOST_KEPT / 2, "one alone may have twice as much"
            await served.watched.tell()
            assert number_in(await hear(quick)) == served.watched.number
        slow.transport.abort()


async def test_an_id_that_is_used_again_hears_nothing_of_the_operation_before(served: Served) -> None:
    async with raw_socket(served.address) as client, asyncio.timeout(20):
        await follow(client, "subscription { live }")
        await served.subscribed(1)
        for _ in range(50):
            await say(client, {"id": "1", "type": "complete"}, subscribe("subscription { hang }"))
            await served.watched.tell()
            while (message := await hear(client))["payload"] != {"data": {"hang": "begun"}}:
                assert "live" in message["payload"]["data"]
            await served.watched.tell()
            await say(client, {"type": "ping"})
            assert (await hear(client))["type"] == "pong"
            await say(client, {"id": "1", "type": "complete"}, subscribe("subscription { live }"))
            await served.subscribed(1)


def number_in(message: dict[str, dict[str, dict[str, str]]]) -> int:
    return int(message["payload"]["data"]["liveText"].split()[0])


@pytest.mark.usefixtures("traced")
async def test_variables_that_are_not_declared_are_neither_compared_nor_kept(served: Served) -> None:
    query = "subscription { live }"
    async with raw_socket(served.address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        before = traced_size()
        for number in range(20):
            variables = {"undeclared": f"{number:03}" * 300_000}
            await say(client, subscribe(query, str(number), variables=variables))
        await served.subscribed(20)
        assert served.measure("shared_subscriptions") == 1
        held = traced_size() - before
        assert held < 5_000_000, "of 18 MB that were sent"


def traced_size() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()
