"""Sockets of peers we did not write, that went silent, or that are too many."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from tests.support.graphql_client import PROTOCOL, graphql_socket, raw_socket
from tests.support.node_clients import run_client
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import ACK, INIT, closing, hear, say, subscribe
from tests.support.waiting import until


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving(small_app()) as address:
        yield address


@pytest.mark.node
async def test_the_client_of_graphql_ws_is_served(address: str) -> None:
    said = await run_client("ws.js", f"{address}/graphql")
    assert said == {
        "subscription": [{"data": {"count": 0}}, {"data": {"count": 1}}],
        "query": [{"data": {"hello": "hello world"}}],
        "mutation": [{"data": {"double": 4}}],
        "syntax": ["INVALID"],
        "validation": ["INVALID"],
        "fault": ["INTERNAL"],
        "pongs": True,
    }


async def test_a_tenant_has_a_bounded_number_of_sockets(registry: CollectorRegistry) -> None:
    async with serving(small_app(registry=registry, tenant_connections=1)) as address:
        async with graphql_socket(address), raw_socket(address) as refused:
            await say(refused, INIT)
            assert (await closing(refused))[0] == 1013
        await until(lambda: registry.get_sample_value("carillon_websocket_connections") == 0)
        async with graphql_socket(address) as client:
            assert await client.execute("{ hello }") == {"hello": "hello world"}
    assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "tenant_connections"}) == 1


async def test_a_peer_that_does_not_answer_pings_is_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.server.PING_INTERVAL", 0.1)
    watched = Watched()
    async with serving(small_app(watched)) as address, graphql_socket(address) as living:
        async with raw_socket(address) as silent:
            await say(silent, INIT, subscribe("subscription { hang }"))
            await until(lambda: watched.open == 1)
            silent.transport.pause_reading()
            await until(lambda: watched.open == 0)
            silent.transport.abort()
        assert await living.execute("{ hello }") == {"hello": "hello world"}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b'\x81\x0f{"type":"ping"}', 1002),  # without a mask
        (b"\x83\x80\0\0\0\0", 1002),  # of a kind there is not
        (b"\xc1\x80\0\0\0\0", 1002),  # with an extension that was not agreed on
        (b"\x89\xfe\x00\x80" + bytes(4 + 128), 1002),  # a ping that is too long
        (b"\x81\x82\0\0\0\0\xc3\x28", 1007),  # text that is not UTF-8
    ],
)
async def test_what_is_no_frame_closes_the_socket(address: str, frame: bytes, code: int) -> None:
    async with raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        client.transport.write(frame)
        assert (await closing(client))[0] == code


async def test_messages_are_not_deflated_even_where_it_is_offered(address: str) -> None:
    url = f"ws{address.removeprefix('http')}/graphql"
    async with connect(url, subprotocols=[PROTOCOL], compression="deflate", proxy=None) as client:
        assert client.request is not None
        assert client.response is not None
        assert "permessage-deflate" in client.request.headers["sec-websocket-extensions"]
        assert "sec-websocket-extensions" not in client.response.headers
