"""What one tenant, one credential and one message may take of the server, by sockets driven by hand."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from websockets.exceptions import ConnectionClosed

from api.bounds import allowance
from api.bounds.turns import MOST
from api.payloads import MAX_BYTES
from domain.tenancy.model import Role
from tests.support.callers import Tokens
from tests.support.event_stream import EVENTS
from tests.support.graphql_client import http_client, raw_socket
from tests.support.jwts import Issuer, reader_of
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import ACK, INIT, closing, hear, say, subscribe
from tests.support.storage import Storage
from tests.support.waiting import until

pytestmark = pytest.mark.postgres


def init(token: str) -> dict[str, object]:
    return {"type": "connection_init", "payload": {"token": token}}


async def test_a_full_tenant_keeps_no_other_out_and_sockets_and_streams_count_together(
    storage: Storage,
) -> None:
    tokens, watched, registry = Tokens(storage), Watched(), CollectorRegistry()
    mine, theirs = (await tokens.issue()).text, (await tokens.issue(tenant="other")).text
    app = small_app(watched, registry=registry, callers=tokens.known, tenant_connections=1)
    async with serving(app) as address, raw_socket(address) as first:
        await say(first, init(mine), subscribe("subscription { hang }"))
        assert await hear(first) == ACK
        async with raw_socket(address) as second, raw_socket(address) as other:
            await say(second, init(mine))
            assert (await closing(second))[0] == 1013
            await say(other, init(theirs))
            assert await hear(other) == ACK
        async with http_client(address) as client:
            headers = EVENTS | {"authorization": f"Bearer {mine}"}
            answer = await client.post("subscription { hang }", headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            query = await client.post("{ hello }", {"authorization": f"Bearer {mine}"})
            assert query.status_code == 200, "what does not last is served"
        assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "tenant_connections"}) == 2


async def test_a_tenant_follows_so_much_that_is_not_the_same_and_keeps_no_other_from_following(
    storage: Storage,
) -> None:
    tokens, watched, registry = Tokens(storage), Watched(), CollectorRegistry()
    mine, theirs = (await tokens.issue()).text, (await tokens.issue(tenant="other")).text
    app = small_app(watched, registry=registry, callers=tokens.known, tenant_subscriptions=2)
    async with serving(app) as address, raw_socket(address) as first, raw_socket(address) as other:
        await say(first, init(mine), subscribe("subscription { a: live }", "a"))
        await say(first, subscribe("subscription { b: live }", "b"))
        assert await hear(first) == ACK
        await until(lambda: watched.open == 2)
        await say(first, subscribe("subscription { c: live }", "c"))
        refused = await hear(first)
        assert (refused["id"], refused["type"]) == ("c", "error")
        assert refused["payload"][0]["extensions"] == {
            "code": "TENANT_SUBSCRIPTIONS",
            "retryable": True,
            "retryAfter": 1,
        }
        await say(first, subscribe("subscription { a: live }", "same as a"))
        await say(other, init(theirs), subscribe("subscription { hang }"))
        assert await hear(other) == ACK
        assert (await hear(other))["type"] == "next", "another tenant has as much for itself"
        await watched.tell()
        assert {(await hear(first))["id"] for _ in range(3)} == {"a", "b", "same as a"}
        await say(first, {"type": "complete", "id": "b"})
        await until(lambda: watched.open == 2)  # a, and that of the other
        await say(first, subscribe("subscription { hang }", "d"))
        assert (await hear(first))["type"] == "next", "there is room again"
    limit = {"limit": "tenant_subscriptions"}
    assert registry.get_sample_value("carillon_api_limits_hit_total", limit) == 1


async def test_a_long_subscription_counts_for_several() -> None:
    watched = Watched()
    app = small_app(watched, tenant_subscriptions=4)
    async with serving(app) as address, raw_socket(address) as client:
        await say(client, INIT, subscribe("subscription { hang }" + " " * 2_000, "long"))
        assert await hear(client) == ACK
        assert (await hear(client))["type"] == "next"
        await say(client, subscribe("subscription { hang }", "short"))
        refused = await hear(client)
        assert refused["payload"][0]["extensions"]["code"] == "TENANT_SUBSCRIPTIONS"


async def test_one_moment_s_events_of_a_tenant_are_executed_some_at_a_time() -> None:
    watched, registry = Watched(), CollectorRegistry()
    async with serving(small_app(watched, registry=registry)) as address, raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        asked = [subscribe(f"subscription {{ a{n}: steps(to: 1) {{ lookedUp }} }}", str(n)) for n in range(80)]
        await say(client, *asked)
        told = [await hear(client) for _ in range(160)]
    assert sum(message["type"] == "next" for message in told) == 80
    assert watched.most_looking_up <= MOST
    assert (registry.get_sample_value("carillon_event_waits_total") or 0) > 0


@pytest.mark.parametrize("kind", ["access token", "JWT"])
async def test_with_its_credential_ends_the_right_to_hear_or_ask_anything_more(
    storage: Storage, kind: str
) -> None:
    issuer, watched = Issuer(), Watched()
    tokens = Tokens(storage, remembered=timedelta(seconds=60), jwts=reader_of(issuer, jwt_leeway=0))
    if kind == "JWT":
        credential = issuer.sign(exp=int(time.time()) + 2)
    else:
        credential = (await tokens.issue(Role.EDITOR, lifetime=timedelta(seconds=1))).text
    async with serving(small_app(watched, callers=tokens.known)) as address, raw_socket(address) as client:
        await say(client, init(credential), subscribe("subscription { live }"))
        assert await hear(client) == ACK
        await until(lambda: watched.open == 1)
        moments = 0
        with suppress(ConnectionClosed):
            while True:  # an event and a mutation each moment, up to the instant at which it expires
                await watched.tell()
                await say(client, subscribe("mutation { double(number: 3) }", "2"))
                assert {(await hear(client))["type"] for _ in range(3)} == {"next", "complete"}
                moments += 1
        assert moments > 0
        assert client.close_code == 4403
        await until(lambda: watched.open == 0)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving(small_app()) as address:
        yield address


async def test_a_message_in_small_pieces_is_bounded_as_a_whole(address: str) -> None:
    async with raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        piece = "x" * 10_000

        async def pieces() -> AsyncIterator[str]:
            yield '{"type": "ping", "payload": {"x": "'
            for _ in range(MAX_BYTES // len(piece) + 1):
                yield piece
            yield '"}}'

        with pytest.raises(ConnectionClosed):
            await client.send(pieces())
            await client.recv()
        assert client.close_code == 1009


async def test_a_message_is_refused_by_the_length_it_says_it_has(address: str) -> None:
    async with raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        client.transport.write(b"\x81\xff" + (MAX_BYTES + 1).to_bytes(8, "big") + bytes(4))
        assert (await closing(client))[0] == 1009


async def test_a_message_of_just_the_size_that_is_allowed_is_read(address: str) -> None:
    async with raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        around = len(json.dumps({"type": "ping", "payload": {"x": ""}}))
        payload = {"x": "y" * (MAX_BYTES - around)}
        await say(client, {"type": "ping", "payload": payload})
        assert await hear(client) == {"type": "pong", "payload": payload}


async def test_a_socket_keeps_a_bounded_number_of_bytes_of_its_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allowance, "MOST_KEPT", 100_000)
    watched, registry = Watched(), CollectorRegistry()
    query = "query ($name: String!) { hello(name: $name) slow(seconds: 60) }"
    variables = {"name": "x" * 40_000}
    async with serving(small_app(watched, registry=registry)) as address, raw_socket(address) as client:
        await say(client, INIT, *(subscribe(query, f"held {n}", variables=variables) for n in range(3)))
        assert await hear(client) == ACK
        await until(lambda: watched.slow == 3, seconds=30)
        await say(client, subscribe("{ hello }", "one more"))
        refused = await hear(client)
        assert (refused["id"], refused["type"]) == ("one more", "error")
        assert refused["payload"][0]["extensions"] == {"code": "TOO_MANY"}
        assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "socket_bytes"}) == 1
        await say(client, {"id": "held 1", "type": "complete"})

        async def is_taken() -> bool:
            await say(client, subscribe("{ hello }", "again"))
            return bool((await hear(client))["type"] == "next")

        await until(is_taken)


async def test_what_an_operation_does_not_declare_is_soon_not_kept(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "MOST_KEPT", 100_000)
    async with raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        for number in range(5):
            message = subscribe("subscription { hang }", str(number), variables={"undeclared": "x" * 90_000})
            await say(client, message)
            assert (await hear(client))["type"] == "next"
