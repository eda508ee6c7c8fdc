"""The figures of queues are told once per interval, as they are then, to those of the whole tenant."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, aclosing

import pytest

from domain.queues.model import Queue
from schema.context import Context, Contexts
from schema.operations import OperationRequest, Result
from tests.support.face import CALLER, POLL, TENANT, TRACEPARENT, Face, operations

STATS = "subscription ($interval: Duration) { queueStats(interval: $interval) { name depth running paused } }"


async def test_all_queues_are_told_without_waiting_for_an_interval() -> None:
    face = Face()
    face.queues.rows[TENANT, "mail"] = Queue(name="mail", depth=3)
    request = OperationRequest(STATS, {"interval": "PT60S"})
    stream = await operations().subscribe(request, lambda: face.context(CALLER))
    assert not isinstance(stream, Result)
    async with aclosing(stream), asyncio.timeout(50):
        [mail] = (await anext(stream))["data"]["queueStats"]
    assert mail == {"name": "mail", "depth": 3, "running": 0, "paused": False}


async def test_they_are_told_again_after_each_interval() -> None:
    face = Face()
    face.queues.rows[TENANT, "mail"] = Queue(name="mail", depth=3)
    face.queues.rows["other", "theirs"] = Queue(name="theirs", depth=9)
    request = OperationRequest(STATS, {"interval": "PT1S"})
    began = time.monotonic()
    stream = await operations().subscribe(request, lambda: face.context(CALLER))
    assert not isinstance(stream, Result)
    async with aclosing(stream):
        [mail] = (await anext(stream))["data"]["queueStats"]
        assert mail == {"name": "mail", "depth": 3, "running": 0, "paused": False}
        face.queues.rows[TENANT, "mail"] = Queue(name="mail", depth=2, running=1)
        face.queues.rows[TENANT, "new"] = Queue(name="new", paused=True)
        mail, new = (await anext(stream))["data"]["queueStats"]
        assert time.monotonic() - began > 0.99, "but for what timers are rounded by"
        assert mail == {"name": "mail", "depth": 2, "running": 1, "paused": False}
        assert new["paused"]


@pytest.mark.parametrize("interval", ["PT0.5S", "PT61S", "PT0S"])
async def test_an_interval_is_from_a_second_to_a_minute(interval: str) -> None:
    [body] = await Face().follow(STATS, interval=interval)
    assert body["errors"][0]["extensions"] == {"code": "INVALID", "argument": "interval"}


@pytest.mark.parametrize("interval", ["PT1S", "PT1M", None])
async def test_its_ends_are_within_it_and_null_is_a_second(interval: str | None) -> None:
    [body] = await Face().follow(STATS, most=1, interval=interval)
    assert body == {"data": {"queueStats": []}}


async def test_subscriptions_of_one_tenant_share_what_is_read_and_leave_nothing_behind() -> None:
    face = Face()
    face.queues.rows[TENANT, "mail"] = Queue(name="mail", depth=3)
    other = STATS.replace("name depth", "depth")
    asked, contexts = operations(), Contexts(face, poll_interval=POLL, most_bytes=100_000)

    def context() -> Context:
        return contexts.new(CALLER, TRACEPARENT)

    streams = [
        await asked.subscribe(OperationRequest(text, {"interval": "PT1M"}), context)
        for text in (STATS, STATS, other)
    ]
    async with AsyncExitStack() as stack:
        for stream in streams:
            assert not isinstance(stream, Result)
            await stack.enter_async_context(aclosing(stream))
            [mail] = (await anext(stream))["data"]["queueStats"]
            assert mail["depth"] == 3
        assert face.queues.calls == ["queues"]
        assert len(context().queue_readings) == 1
    assert len(context().queue_readings) == 0
