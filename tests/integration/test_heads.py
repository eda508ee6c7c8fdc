"""Heads of requests: what is refused of them, before anything is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from api import connections
from api.connections import MAX_HEAD_BYTES
from tests.support.graphql_client import HttpClient, http_client
from tests.support.serving import serving
from tests.support.small_graph import small_app


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[HttpClient]:
    async with serving(small_app()) as address, http_client(address) as client:
        yield client


async def connected(client: HttpClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(str(client.http.base_url))
    return await asyncio.open_connection(address.hostname, address.port)


POST = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "endless"),
    [
        (POST, b"x: y\r\n"),
        (POST + b"x: ", b"yyyyyy"),
        (POST, b"xxxxxx"),
        (b"GET /", b"xxxxxx"),
        (b"", b"\r\n\r\n"),
        (CHUNKED + b"1;", b"xxxxxx"),
        (CHUNKED + b"1\r\n{\r\n0\r\n", b"x: y\r\n"),
    ],
    ids=["headers", "value", "name", "path", "nothing", "part of a body", "trailers"],
)
async def test_what_has_no_end_is_cut_off(client: HttpClient, begun: bytes, endless: bytes) -> None:
    reader, writer = await connected(client)
    writer.write(begun)
    sent = 0
    while not writer.is_closing() and not reader.at_eof() and sent < 16 * MAX_HEAD_BYTES:
        sent += 6000
        try:
            writer.write(endless * 1000)
            await writer.drain()
        except ConnectionError:
            break
        await asyncio.sleep(0.001)  # lets the other side read
    assert sent < 16 * MAX_HEAD_BYTES
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    assert await client.execute("{ hello }") == {"hello": "hello world"}


async def test_a_head_over_the_limit_is_a_431(client: HttpClient) -> None:
    reader, writer = await connected(client)
    writer.write(POST + b"x: " + b"y" * MAX_HEAD_BYTES)
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("asked", [POST, POST + b"upgrade: websocket\r\nconnection: upgrade\r\n"])
async def test_a_request_that_names_two_hosts_is_a_400(client: HttpClient, asked: bytes) -> None:
    reader, writer = await connected(client)
    writer.write(asked + b"Host: elsewhere.example\r\ncontent-length: 0\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


BODY = b'{"query": "{ hello }"}'
HIDDEN = b"GET /health/liveness HTTP/1.1\r\nhost: localhost\r\n\r\n"
SECOND = b"GET /health/liveness HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket-not"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "body later"])
async def test_a_body_is_read_though_its_head_asks_for_another_protocol(
    client: HttpClient, protocol: bytes, at_once: bool
) -> None:
    reader, writer = await connected(client)
    head = POST + b"Upgrade: %s\r\nconnection: Upgrade\r\ncontent-length: %d\r\n\r\n" % (protocol, len(BODY))
    for part in [head + BODY + SECOND] if at_once else [head, BODY, SECOND]:
        writer.write(part)
        await asyncio.sleep(0.01)  # lets the other side read
    async with asyncio.timeout(5):
        answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert b'{"hello":"hello world"}' in answers
    assert b'"alive"' in answers
    writer.close()
    await writer.wait_closed()


async def test_a_body_is_no_request_of_its_own(client: HttpClient) -> None:
    reader, writer = await connected(client)
    asks = POST + b"upgrade: h2c\r\nconnection: upgrade\r\n"
    for part in (asks + b"content-length: %d\r\n\r\n" % len(HIDDEN), HIDDEN, SECOND):
        writer.write(part)
        await asyncio.sleep(0.01)  # lets the other side read
    async with asyncio.timeout(5):
        answers = await reader.read()
    assert answers.count(b"HTTP/1.1 400 ") == 1
    assert answers.count(b"HTTP/1.1 200 ") == 1
    writer.close()
    await writer.wait_closed()


async def test_what_follows_a_body_is_no_header(client: HttpClient) -> None:
    reader, writer = await connected(client)
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    writer.write(POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n" + chunk)
    await asyncio.sleep(0.01)  # lets the other side read
    writer.write(b"accept: application/graphql-response+json\r\n\r\n")
    async with asyncio.timeout(5):
        assert b"\r\ncontent-type: application/json;" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_large_heads_within_the_limit_are_read_one_after_another(client: HttpClient) -> None:
    for _ in range(3):
        answer = await client.post("{ hello }", headers={"x": "y" * (MAX_HEAD_BYTES - 1024)})
        assert answer.status_code == 200


@pytest.mark.parametrize("begun", [b"", b"GET /graph", POST, b"GET /health/liveness HTTP/1.1\r\n\r\nGET /"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    client: HttpClient, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.1)
    reader, writer = await connected(client)
    writer.write(begun)
    async with asyncio.timeout(5):
        await reader.read()  # to its end
    writer.close()
    await writer.wait_closed()


async def test_a_head_and_body_may_come_piece_by_piece(client: HttpClient) -> None:
    reader, writer = await connected(client)
    body = b'{"query": "{ hello }"}'
    whole = POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    for at in range(0, len(whole), 16):
        writer.write(whole[at : at + 16])
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"data":{"hello":"hello world"}}')
    writer.close()
    await writer.wait_closed()
