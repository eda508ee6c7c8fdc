"""Over HTTP and websockets: who has no valid token is told to get one, and hears nothing more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from domain.errors import Unavailable
from domain.tenancy.ports import Identified
from tests.support.callers import Tokens
from tests.support.event_stream import EVENTS, event_stream
from tests.support.graphql_client import DEADLINE, http_client, raw_socket
from tests.support.services import fresh_database
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.storage import open_storage
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

HELLO = {"data": {"hello": "hello world"}}
AGAIN = (4403, "Forbidden: authenticate, and connect again")


@dataclass
class Guarded:
    address: str
    tokens: Tokens
    watched: Watched
    registry: CollectorRegistry

    def refused(self, transport: str) -> float:
        return self.registry.get_sample_value("carillon_unauthenticated_total", {"transport": transport}) or 0


@pytest.fixture(scope="module")
async def server(postgres_server: str, migrated: str) -> AsyncIterator[Guarded]:
    """Whose answers stand for a tenth of a second."""
    async with fresh_database(postgres_server, migrated) as url, open_storage(url) as storage:
        tokens, watched = Tokens(storage, remembered=timedelta(seconds=0.1)), Watched()
        registry = CollectorRegistry()
        async with serving(small_app(watched, registry=registry, callers=tokens.known)) as address:
            yield Guarded(address, tokens, watched, registry)


@pytest.fixture
async def guarded(server: Guarded) -> AsyncIterator[Guarded]:
    """What each test leaves to the next: nothing that runs."""
    yield server
    await until(lambda: server.watched.open == 0)


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def say(client: ClientConnection, *messages: object) -> None:
    for message in messages:
        await client.send(json.dumps(message))


async def hear(client: ClientConnection) -> Any:
    async with asyncio.timeout(DEADLINE):
        return json.loads(await client.recv())


async def closing(client: ClientConnection) -> tuple[int, str]:
    """How the server closes the socket, whatever it says before."""
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(DEADLINE):
            while True:
                await client.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def init(payload: object = None) -> dict[str, object]:
    return {"type": "connection_init", "payload": payload}


def subscribe(query: str) -> dict[str, Any]:
    return {"id": "1", "type": "subscribe", "payload": {"query": query}}


async def test_a_request_with_a_token_is_answered(guarded: Guarded) -> None:
    issued = await guarded.tokens.issue()
    async with http_client(guarded.address) as client:
        for scheme in ("Bearer", "bearer", "BEARER "):
            answer = await client.post("{ hello }", {"authorization": f"{scheme} {issued.text}"})
            assert (answer.status_code, answer.json()) == (200, HELLO)


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, "Bearer"),
        ({"authorization": "Bearer nonsense"}, 'Bearer error="invalid_token"'),
        ({"authorization": "Bearer"}, 'Bearer error="invalid_token"'),
        ({"authorization": "Basic YTpi"}, 'Bearer error="invalid_token"'),
    ],
)
async def test_a_request_without_one_is_told_what_it_lacks(
    guarded: Guarded, headers: dict[str, str], challenge: str
) -> None:
    before = guarded.refused("http")
    async with http_client(guarded.address) as client:
        answer = await client.post("{ hello }", headers)
    assert answer.status_code == 401
    assert guarded.refused("http") == before + 1
    assert answer.headers["www-authenticate"] == challenge
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_two_tokens_in_one_request_are_none(guarded: Guarded) -> None:
    issued = await guarded.tokens.issue()
    headers = [("authorization", f"Bearer {issued.text}")] * 2
    async with httpx2.AsyncClient(base_url=guarded.address) as http:
        answer = await http.post("/graphql", json={"query": "{ hello }"}, headers=headers)
    assert answer.status_code == 401


async def test_a_stranger_is_refused_before_what_it_sends_is_read(guarded: Guarded) -> None:
    place = urlsplit(guarded.address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n{"
    )
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    await writer.wait_closed()


async def test_health_and_figures_need_no_token_and_the_page_asks_for_one(guarded: Guarded) -> None:
    async with httpx2.AsyncClient(base_url=guarded.address) as http:
        page = await http.get("/graphql", headers={"accept": "text/html"})
        assert page.status_code == 401
        assert "Access token" in page.text
        assert (await http.get("/graphql/assets/sign-in.js")).status_code == 200
        for path in ("/health/liveness", "/health/readiness", "/metrics"):
            assert (await http.get(path)).status_code == 200


@pytest.mark.parametrize("name", ["authorization", "Authorization", "token", "header"])
async def test_a_socket_says_its_token_in_its_first_message_or_its_handshake(
    guarded: Guarded, name: str
) -> None:
    text = (await guarded.tokens.issue()).text
    headers = bearer(text) if name == "header" else None
    payload = None if name == "header" else {name: text if name == "token" else f"Bearer {text}"}
    async with raw_socket(guarded.address, headers) as client:
        await say(client, init(payload), subscribe("{ hello }"))
        assert await hear(client) == {"type": "connection_ack"}
        assert (await hear(client))["payload"] == HELLO


@pytest.mark.parametrize("payload", [None, {}, {"token": "nonsense"}, {"token": 1}, {"authorization": "x"}])
async def test_a_socket_without_one_is_closed_so_that_clients_ask_for_theirs_again(
    guarded: Guarded, payload: object
) -> None:
    before = guarded.refused("websocket")
    async with raw_socket(guarded.address) as client:
        await say(client, init(payload))
        assert await closing(client) == AGAIN
    assert guarded.refused("websocket") == before + 1


@pytest.mark.parametrize("how", ["expired", "revoked"])
async def test_a_subscription_ends_with_its_token(guarded: Guarded, how: str) -> None:
    lifetime = timedelta(seconds=0.5) if how == "expired" else None
    issued = await guarded.tokens.issue(lifetime=lifetime)
    async with raw_socket(guarded.address) as client:
        await say(client, init({"token": issued.text}), subscribe("subscription { hang }"))
        assert await hear(client) == {"type": "connection_ack"}
        assert (await hear(client))["type"] == "next"
        if how == "revoked":
            await guarded.tokens.revoke(issued)
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()  # nothing before it: not even that the subscription were complete
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == AGAIN


@pytest.mark.parametrize("how", ["expired", "revoked"])
async def test_an_event_stream_is_cut_off_with_its_token(guarded: Guarded, how: str) -> None:
    lifetime = timedelta(seconds=0.5) if how == "expired" else None
    issued = await guarded.tokens.issue(lifetime=lifetime)
    before = guarded.refused("sse")
    async with (
        http_client(guarded.address) as client,
        event_stream(client.http, "subscription { hang }", bearer(issued.text)) as stream,
    ):
        assert (await anext(stream)).data == {"data": {"hang": "begun"}}
        if how == "revoked":
            await guarded.tokens.revoke(issued)
        assert await stream.all() == []
        assert guarded.refused("sse") == before + 1
        refused = await client.post("subscription { hang }", bearer(issued.text) | EVENTS)
        assert refused.status_code == 401


REBOUND = "update access_tokens set owner = 'alice' where prefix = $1"


@pytest.mark.parametrize("query", ["subscription { flood(size: 10) }", "subscription { live }"])
async def test_whose_rights_are_others_now_is_told_nothing_more_and_has_to_subscribe_again(
    guarded: Guarded, query: str
) -> None:
    issued = await guarded.tokens.issue()
    async with raw_socket(guarded.address) as client, asyncio.TaskGroup() as group:
        await say(client, init({"token": issued.text}), subscribe(query))
        assert await hear(client) == {"type": "connection_ack"}
        await until(lambda: guarded.watched.open == 1)
        await guarded.tokens.storage.execute(REBOUND, issued.token.prefix)
        telling = group.create_task(tell_for_ever(guarded.watched))
        async with asyncio.timeout(DEADLINE):
            while "errors" not in (body := (await hear(client))["payload"]):
                """It is asked from time to time who the bearer of a token is."""
        assert body["errors"][0]["extensions"] == {"code": "RESYNC"}
        assert await hear(client) == {"id": "1", "type": "complete"}
        telling.cancel()


async def tell_for_ever(watched: Watched) -> None:
    while True:
        await watched.tell()
        await asyncio.sleep(0.01)


async def test_nothing_keeps_a_socket_open_whose_token_is_revoked(guarded: Guarded) -> None:
    issued = await guarded.tokens.issue()
    async with raw_socket(guarded.address) as client:
        await say(client, init({"token": issued.text}), subscribe("subscription { flood(size: 10) }"))
        assert await hear(client) == {"type": "connection_ack"}
        await guarded.tokens.revoke(issued)

        async def chatter() -> None:
            while True:
                await say(client, {"type": "ping"})
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            chatting = group.create_task(chatter())
            assert await closing(client) == AGAIN
            chatting.cancel()


async def test_a_valid_token_keeps_its_socket_open_past_the_time_an_answer_stands(guarded: Guarded) -> None:
    issued = await guarded.tokens.issue()
    async with raw_socket(guarded.address) as client:
        await say(client, init({"token": issued.text}))
        assert await hear(client) == {"type": "connection_ack"}
        for _ in range(4):
            await say(client, subscribe("{ slow(seconds: 0.06) }"))
            assert (await hear(client))["payload"] == {"data": {"slow": "done"}}
            assert (await hear(client))["type"] == "complete"


class Away:
    """Knows nobody just now, but for the first time."""

    def __init__(self, first: Identified | None = None) -> None:
        self.first = first
        self.asked = 0

    async def identify(self, credential: str | None) -> Identified:
        self.asked += 1
        if self.first is None:
            raise Unavailable("PostgreSQL")
        first, self.first = self.first, None
        return first


async def test_while_tokens_cannot_be_looked_up_it_is_tried_again_later() -> None:
    away, registry = Away(), CollectorRegistry()
    async with serving(small_app(callers=away, registry=registry)) as address:
        async with http_client(address) as client:
            answer = await client.post("{ hello }", bearer("x"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["errors"][0]["extensions"] == {
            "code": "UNAVAILABLE",
            "retryable": True,
            "retryAfter": 1,
        }
        async with raw_socket(address) as client_socket:
            await say(client_socket, init())
            assert (await closing(client_socket))[0] == 1013
    failed = {"kind": "unknown", "outcome": "failed"}
    assert registry.get_sample_value("carillon_graphql_operations_total", failed) == 2


async def test_an_outage_ends_no_session(guarded: Guarded) -> None:
    known = await guarded.tokens.known.identify((await guarded.tokens.issue()).text)
    away = Away(known)
    async with serving(small_app(callers=away)) as address, raw_socket(address) as client:
        await say(client, init())
        assert await hear(client) == {"type": "connection_ack"}
        await until(lambda: away.asked >= 2)
        await say(client, subscribe("{ hello }"))
        assert (await hear(client))["payload"] == HELLO
    assert away.asked < 10, "it is asked again after a while, not at once"
