"""Many subscribers on one process: python -m tests.load.subscribers --subscribers 1000 [--different]

The API's own server and schema over services in memory, with sockets of this machine, the clients in a process
of their own. They all follow the same by one document; with --different, each by its own. Prints what was
delivered, how late, and what a delivery and a subscriber cost the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from resource import getpagesize
from time import process_time
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit

import uvloop
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.graph import Graph
from api.main import application
from api.metrics import ApiMetrics
from api.origins import Origins
from domain.contracts.tasks import TaskEventKind
from infra.authentication.callers import Everyone
from infra.garbage import spare_what_stands
from infra.live.task_feed import LiveTaskFeed
from infra.settings import Settings
from infra.system import SystemClock, TimeOrderedIds
from infra.telemetry.spans import new_traceparent
from schema.build import build_schema
from schema.context import Contexts, Services
from schema.operations import Operations
from tests.support.face import POLL, TENANT, Face, event_of
from tests.support.serving import serving
from tests.support.small_graph import small_admission

EVENTS_PER_SECOND = 10
SETTLE = 2.0
"""Seconds before measuring, so that plans are made and all have begun."""


async def main(subscribers: int, seconds: float, documents: str) -> None:
    registry = CollectorRegistry()
    face, feed = Face(), LiveTaskFeed(Settings().live_backlog, registry)
    async with serving(_app(face, feed, registry, subscribers)) as address, asyncio.TaskGroup() as group:
        spare_what_stands()  # as a process of the API does
        before = _memory()
        place = urlsplit(address)
        arguments = (str(place.hostname), str(place.port), str(subscribers), str(seconds), documents)
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.load.subscriber_client", *arguments, stdin=PIPE, stdout=PIPE
        )
        assert client.stdin is not None
        assert client.stdout is not None
        assert await client.stdout.readline() == b"ready\n"
        publishing = group.create_task(_publish(face, feed))
        await asyncio.sleep(SETTLE)
        held, used = _memory() - before, process_time()
        client.stdin.write(b"go\n")
        told = json.loads(await client.stdout.readline())
        used = process_time() - used
        publishing.cancel()
        await client.wait()
    delivered = told["results"]
    print(
        f"{subscribers:,} subscribers: {delivered / seconds:,.0f} events/s delivered, "
        f"p95 {told['p95'] * 1000:.0f} ms, CPU {used / delivered * 1e6:.1f} us per delivery, "
        f"{held / subscribers / 1024:.1f} KB per subscriber"
    )


def _app(face: Face, feed: LiveTaskFeed, registry: CollectorRegistry, subscribers: int) -> ASGIApp:
    services = cast(
        Services, SimpleNamespace(**vars(face) | {"task_feed": feed, "count_settled": face.count_settled})
    )
    contexts, metrics = (
        Contexts(services, poll_interval=POLL, most_bytes=Settings().max_answer_bytes),
        ApiMetrics(registry),
    )
    operations = Operations(build_schema(), metrics.fell_back)
    graph = Graph(
        operations=operations,
        admission=small_admission(operations, registry),
        callers=Everyone(TENANT),
        new_context=lambda caller: contexts.new(caller, new_traceparent()),
        metrics=metrics,
        clock=SystemClock(),
        timeout=Settings().operation_timeout,
        most_bytes=Settings().max_answer_bytes,
        ids=TimeOrderedIds(),
    )
    return application(
        graph,
        registry,
        {},
        _nothing,
        allowed_hosts=["*"],
        origins=Origins(()),
        tenant_connections=subscribers,
    )


async def _publish(face: Face, feed: LiveTaskFeed) -> None:
    task = face.keep()
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        task = face.tasks.rows[task.id] = replace(task, version=task.version + 1)
        feed.publish(event_of(task, TaskEventKind.UPDATED, at=datetime.now(UTC)))
        due += 1 / EVENTS_PER_SECOND
        await asyncio.sleep(due - loop.time())


def _nothing() -> Awaitable[None]:
    """There are no gauges to refresh."""
    return asyncio.sleep(0)


def _memory() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--different", dest="documents", action="store_const", const="different", default="same"
    )
    given = parser.parse_args()
    uvloop.run(main(given.subscribers, given.seconds, given.documents))
