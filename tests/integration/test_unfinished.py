"""Messages that do not end take no more memory than they may; who sends most of them is cut off for it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from api.bounds.unfinished import SMALL, Unfinished
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import Identified
from tests.support.graphql_client import raw_socket
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import until

KIB = 1024
CUT = "carillon_unfinished_cut_off_total"


class ByTenant:
    """Whoever names a tenant is its."""

    async def identify(self, credential: str | None) -> Identified:
        return Identified(caller=Caller(tenant=credential or "nobody", role=Role.ADMIN))


def begin(socket: ClientConnection, size: int, parts: int = 1) -> None:
    """A message that goes on; in several frames, or in one of which the last byte is missing."""
    if parts == 1:
        socket.transport.write(Frame(Opcode.TEXT, b"x" * size, fin=False).serialize(mask=True)[:-1])
        return
    for number in range(parts):
        opcode = Opcode.CONT if number else Opcode.TEXT
        socket.transport.write(Frame(opcode, b"x" * (size // parts), fin=False).serialize(mask=True))


async def test_who_sends_most_of_what_does_not_end_is_cut_off_and_others_are_heard() -> None:
    registry = CollectorRegistry()
    unfinished = Unfinished(registry, 1_000 * KIB)
    app = small_app(callers=ByTenant())
    async with serving(app, unfinished=unfinished) as address, AsyncExitStack() as stack:

        async def opened(tenant: str) -> ClientConnection:
            headers = {"authorization": f"Bearer {tenant}"}
            socket = await stack.enter_async_context(raw_socket(address, headers))
            await say(socket, INIT)
            assert await hear(socket) == ACK
            return socket

        modest, greedy = await opened("modest"), [await opened("greedy") for _ in range(4)]
        begin(modest, 200 * KIB)
        for number, socket in enumerate(greedy):
            begin(socket, 300 * KIB, parts=1 + number % 2 * 9)
        await until(lambda: registry.get_sample_value(CUT) == 2)
        await until(lambda: sum(socket.state.name == "CLOSED" for socket in greedy) == 2)
        modest.transport.write(b"x")
        async with AsyncExitStack() as other:
            socket = await other.enter_async_context(raw_socket(address, {"authorization": "Bearer modest"}))
            await say(socket, INIT, subscribe("{ hello }"))
            assert await hear(socket) == ACK
            assert (await hear(socket))["type"] == "next"
        assert len(unfinished) == 3
    await until(lambda: len(unfinished) == 0)


async def test_messages_that_end_are_not_added_up() -> None:
    registry = CollectorRegistry()
    unfinished = Unfinished(registry, 100 * KIB)
    async with serving(small_app(), unfinished=unfinished) as address, raw_socket(address) as socket:
        await say(socket, INIT)
        assert await hear(socket) == ACK
        query = "{ hello }" + " " * 60 * KIB
        for number in range(20):
            await say(socket, subscribe(query, str(number)))
        for _ in range(40):
            assert (await hear(socket))["type"] in {"next", "complete"}
        assert len(unfinished) == 0
    assert registry.get_sample_value(CUT) == 0


def test_the_first_part_of_a_message_is_not_counted() -> None:
    unfinished, transport = Unfinished(CollectorRegistry(), 2 * SMALL), asyncio.Transport()
    unfinished.becomes(transport, "a", SMALL)
    assert len(unfinished) == 0
    unfinished.becomes(transport, "a", SMALL + 1)
    assert len(unfinished) == 1
