"""Peers that send more than anybody should: what they may take of memory, and of the turns of others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from typing_extensions import override
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from api import connections, websocket
from api.connections import MAX_FRAGMENTS, PIECE, DrainedWebsocket
from tests.support.graphql_client import raw_socket
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.socket_talk import ACK, INIT, closing, hear, say, subscribe
from tests.support.waiting import until

BEGIN = b"\x01\x81\0\0\0\0{"
NOTHING_MORE = b"\x00\x80\0\0\0\0"
END = b'\x80\x8e\0\0\0\0"type":"ping"}'
EMPTY_PING = b"\x89\x80\0\0\0\0"
LONG_PING = b"\x89\xfd\0\0\0\0" + b"x" * 125
MARK = 64 * 1024
"""Bytes that a transport holds before it asks to wait."""
FLOOD = 32 * 1024 * 1024
"""Bytes; several times what the system itself holds for a connection."""


class Seen(DrainedWebsocket):
    """Counts what servers do of all that is asked of them."""

    pings = 0
    held = 0
    lost = 0
    waits = False
    """Whether one had to wait for its peer."""

    @override
    def handle_ping(self) -> None:
        Seen.pings += 1
        super().handle_ping()
        Seen.held = max(Seen.held, self.transport.get_write_buffer_size())

    @override
    def pause_writing(self) -> None:
        Seen.waits = True
        super().pause_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        Seen.lost += 1
        super().connection_lost(exc)


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seen, "pings", 0)
    monkeypatch.setattr(Seen, "held", 0)
    monkeypatch.setattr(Seen, "lost", 0)
    monkeypatch.setattr(Seen, "waits", False)
    monkeypatch.setattr("api.server.DrainedWebsocket", Seen)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving(small_app()) as address:
        yield address


async def test_a_message_of_too_many_fragments_is_refused_however_small_they_are(address: str) -> None:
    async with raw_socket(address) as client:
        client.transport.write(BEGIN + NOTHING_MORE * MAX_FRAGMENTS)
        assert (await closing(client))[0] == 1009


async def test_a_message_of_as_many_fragments_as_are_allowed_is_read(address: str) -> None:
    async with raw_socket(address) as client:
        for _ in range(2):
            client.transport.write(BEGIN + NOTHING_MORE * (MAX_FRAGMENTS - 2) + END)
            assert await hear(client) == {"type": "pong"}


async def test_others_have_their_turn_between_the_pieces_of_what_was_read(address: str) -> None:
    most = 0

    async def take_turns() -> None:
        nonlocal most
        while True:
            before = Seen.pings
            await asyncio.sleep(0)
            most = max(most, Seen.pings - before)

    async with raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        other = asyncio.create_task(take_turns())
        client.transport.write(EMPTY_PING * 20_000)
        await until(lambda: Seen.pings == 20_000, seconds=30)
        other.cancel()
        assert 0 < most <= 2 * (PIECE // len(EMPTY_PING) + 1), "one as it is read, and one that was left"


async def flood(client: ClientConnection) -> None:
    client.transport.pause_reading()
    client.transport.write(LONG_PING * (FLOOD // len(LONG_PING)))
    await until(lambda: Seen.pings)


async def be_flooded(client: ClientConnection) -> None:
    """Asks for more than it takes, until the server holds some of it."""
    await say(client, INIT)
    assert await hear(client) == ACK
    client.transport.pause_reading()
    await say(client, subscribe("subscription { flood(size: 65536) }"))
    await until(lambda: Seen.waits)


async def test_who_reads_no_pongs_is_not_read_and_soon_let_go(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "INITIALISATION_TIMEOUT", 0.5)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr(connections, "GOODBYE_TIMEOUT", 0.1)
    async with raw_socket(address) as client:
        await flood(client)
        await until(lambda: Seen.lost == 1, seconds=30)
        assert Seen.pings * len(LONG_PING) < FLOOD / 2
        assert Seen.held < MARK + 2 * PIECE
        client.transport.abort()


async def test_who_reads_pongs_late_is_read_again(address: str) -> None:
    async with raw_socket(address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        await flood(client)
        client.transport.resume_reading()
        await until(lambda: Seen.pings == FLOOD // len(LONG_PING), seconds=60)
        await say(client, {"type": "ping"})
        assert await hear(client) == {"type": "pong"}


async def test_who_reads_nothing_is_let_go_when_it_answers_no_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.server.PING_INTERVAL", 1.0)
    monkeypatch.setattr(connections, "GOODBYE_TIMEOUT", 0.1)
    async with serving(small_app()) as address, raw_socket(address) as client:
        await be_flooded(client)
        await until(lambda: Seen.lost == 1, seconds=30)
        client.transport.abort()


async def test_who_reads_nothing_is_let_go_after_what_is_no_frame(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "GOODBYE_TIMEOUT", 0.1)
    async with raw_socket(address) as client:
        await be_flooded(client)
        client.transport.write(b"\x83\x80\0\0\0\0")
        await until(lambda: Seen.lost == 1, seconds=30)
        client.transport.abort()


@pytest.mark.parametrize(
    "frames", [b"\x81\x82\0\0\0\0\xc3\x28", b"\x01\x81\0\0\0\0\xc3" + b"\x80\x81\0\0\0\0\x28"]
)
async def test_text_that_is_none_is_no_news_for_the_log(
    address: str, frames: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_socket(address) as client:
        client.transport.write(frames)
        assert (await closing(client))[0] == 1007
    await until(lambda: Seen.lost == 1)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_letter_may_be_cut_in_two_by_fragments(address: str) -> None:
    text = '{"type": "ping", "payload": {"x": "ä"}}'.encode()
    at = text.index("ä".encode()) + 1
    async with raw_socket(address) as client:
        for opcode, part, fin in ((Opcode.TEXT, text[:at], False), (Opcode.CONT, text[at:], True)):
            client.transport.write(Frame(opcode, part, fin).serialize(mask=True))
        assert await hear(client) == {"type": "pong", "payload": {"x": "ä"}}
