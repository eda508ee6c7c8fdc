"""A server that stops: it finishes what was asked, cuts off what lasts, and clients go on at the next one."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import httpx2
import pytest
from typing_extensions import override
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.support.graphql_client import (
    HttpClient,
    Json,
    SocketClosed,
    graphql_socket,
    http_client,
    raw_socket,
)
from tests.support.node_clients import run_client
from tests.support.processes import free_port
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import hear, say, subscribe
from tests.support.stored_documents import StoredDocuments
from tests.support.waiting import settle_down, until

HANG = "subscription { hang }"
INIT = json.dumps({"type": "connection_init"})


async def test_a_request_under_way_is_answered() -> None:
    watched = Watched()
    async with asyncio.TaskGroup() as group, serving(small_app(watched)) as address:
        answer = group.create_task(_ask(address, "{ slow(seconds: 0.5) }"))
        await until(lambda: watched.slow == 1)
    assert answer.result() == {"slow": "done"}


async def _ask(address: str, query: str) -> Json:
    async with http_client(address) as client:
        return await client.execute(query)


async def test_an_operation_under_way_on_a_socket_is_answered_before_the_socket_is_closed() -> None:
    watched = Watched()
    async with asyncio.TaskGroup() as group, serving(small_app(watched)) as address:
        heard = group.create_task(_ask_and_hang(address))
        await until(lambda: watched.slow == 1 and watched.open == 1)
    assert heard.result() == ({"slow": "done"}, 1012)


async def test_nothing_new_is_begun_while_what_was_asked_before_is_finished() -> None:
    watched = Watched()
    async with (
        AsyncExitStack() as stack,
        asyncio.TaskGroup() as group,
        serving(small_app(watched)) as address,
    ):
        kept = await stack.enter_async_context(http_client(address))
        await kept.execute("{ hello }")  # over a connection that stays
        socket = await stack.enter_async_context(raw_socket(address))
        await say(socket, {"type": "connection_init"}, subscribe("{ slow(seconds: 0.5) }"))
        await until(lambda: watched.slow == 1)
        late = group.create_task(_ask_late(address, socket, kept))
    assert late.result() == ({"type": "connection_ack"}, "done", 1012)
    assert watched.slow == 1, "nothing that was asked late was begun"


async def _ask_late(address: str, socket: ClientConnection, kept: HttpClient) -> tuple[object, str, int | None]:
    """Once the server is stopping. What was answered over the socket, and how that was closed."""
    await until(lambda: refuses(address))
    acknowledged = await hear(socket)
    with suppress(ConnectionClosed):
        await say(socket, subscribe("{ slow(seconds: 0) }", "late"))
    with pytest.raises(httpx2.TransportError):
        await kept.execute("{ slow(seconds: 0) }")
    answer = (await hear(socket))["payload"]["data"]["slow"]
    await socket.wait_closed()
    return acknowledged, answer, socket.close_code


async def refuses(address: str) -> bool:
    place = urlsplit(address)
    try:
        _, writer = await asyncio.open_connection(place.hostname, place.port)
    except ConnectionError:
        return True
    writer.close()
    return False


async def _ask_and_hang(address: str) -> tuple[Json, int | None]:
    """What is answered, and how the subscription beside it ends."""
    async with graphql_socket(address) as client, client.subscribe(HANG) as stream:
        await anext(stream)
        answer = await client.execute("{ slow(seconds: 0.5) }")
        with pytest.raises(SocketClosed) as closed:
            await anext(stream)
        return answer, closed.value.code


async def test_an_operation_that_takes_longer_than_the_grace_is_given_up_and_its_socket_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()
    async with asyncio.TaskGroup() as group, serving(small_app(watched), stop_grace=1) as address:
        heard = group.create_task(_wait_until_closed(address, "{ slow(seconds: 60) }"))
        await until(lambda: watched.slow == 1)
    assert heard.result() == 1012
    assert not [record for record in caplog.records if record.exc_info]


async def _wait_until_closed(address: str, query: str) -> int | None:
    async with graphql_socket(address) as client, client.subscribe(query) as stream:
        with pytest.raises(SocketClosed) as closed:
            await anext(stream)
        return closed.value.code


class SlowDocuments(StoredDocuments):
    """Tells which there are when it is let."""

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.let = asyncio.Event()

    @override
    async def texts(self) -> dict[str, str]:
        texts = await super().texts()
        await self.let.wait()
        return texts


async def test_a_subscription_whose_document_is_still_looked_for_is_not_begun() -> None:
    watched, documents = Watched(), SlowDocuments(HANG)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        app = small_app(watched, documents=documents, mode="trusted")
        async with serving(app, stop_grace=60) as address:
            heard = group.create_task(_wait_until_closed(address, HANG))
            await until(lambda: documents.asked)
            group.create_task(_let_once_stopping(address, documents))
    assert heard.result() == 1012
    assert watched.open == 0


async def _let_once_stopping(address: str, documents: SlowDocuments) -> None:
    await until(lambda: refuses(address))
    await settle_down()
    documents.let.set()


async def test_a_socket_that_has_not_said_anything_is_closed_too() -> None:
    async with serving(small_app(), stop_grace=30) as address:
        client = await raw_socket(address)
    await client.wait_closed()
    assert client.close_code == 1012


async def test_a_peer_that_is_silent_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(10):
        async with serving(small_app(), stop_grace=30) as address:
            client = await raw_socket(address)
            await client.send(INIT)
            await client.recv()
            client.transport.pause_reading()
    client.transport.abort()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.node
@pytest.mark.parametrize("script", ["reconnect-ws.js", "reconnect-sse.js"])
async def test_the_clients_of_others_subscribe_again_at_the_next_server(script: str) -> None:
    port = free_port()
    first, second = Watched(), Watched()
    async with asyncio.TaskGroup() as group:
        async with serving(small_app(first), port=port) as address:
            said = group.create_task(run_client(script, f"{address}/graphql"))
            await until(lambda: first.open == 1, seconds=20)
        async with serving(small_app(second), port=port):
            await until(said.done, seconds=20)
    assert said.result() == {"heard": ["begun", "begun"], "connected": 2}
    assert second.open == 0
