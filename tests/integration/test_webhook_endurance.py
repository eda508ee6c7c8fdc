"""What a receiver that drips, floods or breaks off can do to us: nothing beyond the deadline."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import pytest

from domain.actions.model import Failed, Http, Succeeded
from infra.http.client import build_webhooks
from infra.http.exchange import READ
from tests.support.webhook_receiver import (
    CALL,
    Told,
    Write,
    receiving,
    send,
    settings,
    status,
)


@pytest.mark.fault(39, "a webhook whose answer drips")
async def test_an_answer_that_drips_is_cut_at_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    await _is_cut_at_the_deadline(drip)


async def test_headers_that_drip_are_cut_at_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    await _is_cut_at_the_deadline(drip)


async def test_informational_answers_without_end_are_cut_at_the_deadline() -> None:
    async def inform(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    await _is_cut_at_the_deadline(inform)


@pytest.mark.fault(39, "a webhook that floods with interim answers")
async def test_interim_answers_without_end_are_given_up_long_before_the_deadline() -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000)
            await writer.drain()
            sent += 1_000

    async with receiving(flood) as receiver:
        outcome = await send(receiver.url)
    assert outcome == Failed(type="NetworkError", message="127.0.0.1 did not answer in HTTP")
    assert sent < 1_000_000, "the connection was closed"


async def test_a_few_interim_answers_are_passed_over() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 10 + status("204 No Content")
    async with receiving(answer) as receiver:
        assert await send(receiver.url) == Succeeded({"status": 204, "body": ""})


async def test_a_body_in_chunks_of_a_byte_each_is_read_no_further_than_others() -> None:
    async def drizzle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nz\r\n" * 1_000)
            await writer.drain()

    async with receiving(drizzle) as receiver:
        outcome = await send(receiver.url)
    assert outcome == Succeeded({"status": 200, "body": "z" * 4096})


@pytest.mark.fault(39, "a webhook that is silent")
async def test_silence_is_cut_at_the_deadline() -> None:
    async def hang(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    await _is_cut_at_the_deadline(hang)


async def _is_cut_at_the_deadline(write: Write) -> None:
    loop = asyncio.get_running_loop()
    async with receiving(write) as receiver:
        webhooks = build_webhooks(settings(http_timeout=0.3), Told())
        began = loop.time()
        outcome = await webhooks.send(Http(url=receiver.url), CALL)
        took = loop.time() - began
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task() and "serve" in repr(task.get_coro()):
                task.cancel()
    assert outcome == Failed(type="Timeout", message="127.0.0.1 did not answer in time")
    assert 0.25 <= took < 2


@pytest.mark.fault(39, "a webhook whose answer is huge")
async def test_a_huge_answer_is_read_no_further_than_needed() -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while sent < 64 * 1024 * 1024:
            writer.write(b"x" * READ)
            await writer.drain()
            sent += READ

    async with receiving(flood) as receiver:
        outcome = await send(receiver.url)
    assert outcome == Succeeded({"status": 200, "body": "x" * 4096})
    assert sent < 64 * 1024 * 1024, "the connection was closed long before"


async def test_headers_without_end_are_refused() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            writer.write(b"X-%d: %s\r\n" % (number, b"x" * 1_000))
            await writer.drain()

    async with receiving(flood) as receiver:
        outcome = await send(receiver.url)
    assert outcome == Failed(type="NetworkError", message="127.0.0.1 did not answer in HTTP")


async def test_a_compressed_answer_is_kept_as_it_is() -> None:
    bomb = b"\x1f\x8b\x00\xff" * 10
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 40\r\n\r\n" + bomb
    async with receiving(answer) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Succeeded)
    assert "\x00" not in outcome.result["body"], "PostgreSQL cannot keep it"


async def test_a_bomb_is_not_let_off() -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    async with receiving(head.encode() + bomb) as receiver:
        tracemalloc.start()
        outcome = await send(receiver.url)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(outcome, Succeeded)
    assert len(outcome.result["body"]) <= 4 * 1024
    assert most < 5 * 1024 * 1024


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"", "did not answer in HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "did not answer in HTTP"),
    ],
)
async def test_a_broken_answer_is_worth_another_try(answer: bytes, what: str) -> None:
    async with receiving(answer) as receiver:
        assert await send(receiver.url) == Failed(type="NetworkError", message=f"127.0.0.1 {what}")


async def test_a_closed_port_is_worth_another_try() -> None:
    async with receiving() as receiver:
        url = receiver.url
    assert await send(url) == Failed(type="NetworkError", message="127.0.0.1 could not be reached")
