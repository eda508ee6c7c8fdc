"""Every panel of every dashboard has something to show of an installation that works."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.telemetry.metrics_page import figures
from tests.support.asking import create, create_many, due, read, run
from tests.support.dashboards import Query, queries
from tests.support.following import Follower
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import Installation, open_installation
from tests.support.processes import free_port
from tests.support.prometheus import Prometheus, Targets, open_exporters, open_prometheus
from tests.support.services import RABBIT, REDIS
from tests.support.waiting import until
from tests.support.webhook_receiver import receiving

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit, pytest.mark.prometheus]

PARTS = ("worker", "scheduler", "relay", "notifier")
WEBHOOKS = {"CARILLON_HTTP_ALLOW_INSECURE": "true", "CARILLON_HTTP_ALLOWED_NETWORKS": "127.0.0.1/32"}
LIST = "{ tasks(first: 5) { nodes { id title state } } }"
SHOWN_SECONDS = 60.0
PAUSE = 0.2
"""Seconds between two rounds of what is asked for: figures, not load, are looked at."""
OF_HISTOGRAMS = ("_bucket", "_sum", "_count", "_created")


async def test_every_panel_shows_something(postgres_server: str, migrated: str, tmp_path: Path) -> None:
    async with (
        open_installation(postgres_server, migrated, tmp_path, "api", **WEBHOOKS) as installation,
        open_exporters(
            tmp_path,
            postgres=postgres_server,
            redis=REDIS.url,
            rabbit_host=urlsplit(RABBIT.url).hostname or "",
        ) as exporters,
    ):
        targets = {**exporters, **await all_started(installation)}
        async with open_prometheus(tmp_path, targets) as prometheus, asked_all_the_time(installation.api):
            empty = await empty_after(SHOWN_SECONDS, prometheus)
            unknown = await undocumented(prometheus)
    assert [f"{one.dashboard}, {one.panel}: {one.expression}" for one in empty] == []
    assert unknown == set()


async def all_started(installation: Installation) -> Targets:
    """Where the figures of each part are."""
    ports = {part: free_port() for part in PARTS}
    await asyncio.gather(
        *(installation.start_one(part, CARILLON_METRICS_PORT=str(port)) for part, port in ports.items())
    )
    parts = {f"carillon-{part}": f"127.0.0.1:{port}" for part, port in ports.items()}
    return {**parts, "carillon-api": urlsplit(installation.api).netloc}


@asynccontextmanager
async def asked_all_the_time(address: str) -> AsyncIterator[None]:
    """Tasks are made, read and listed, webhooks called, and notifications followed."""
    async with (
        receiving() as receiver,
        http_client(address) as client,
        Follower().at(address),
        asyncio.TaskGroup() as group,
    ):
        asking = group.create_task(ask(client, receiver.url))
        yield
        asking.cancel()


async def ask(client: HttpClient, url: str) -> None:
    while True:
        action = run("work", seconds=0.01)
        ids = await create_many(client, [{"title": "Work", "action": action, "scheduledAt": due(0)}] * 3)
        await create(client, "Call", action={"http": {"url": url}}, scheduledAt=due(0))
        for id in ids:
            await read(client, id)
        await client.execute(LIST)
        await asyncio.sleep(PAUSE)


async def empty_after(seconds: float, prometheus: Prometheus) -> list[Query]:
    """Those that have shown nothing by then; returns as soon as all have shown something."""
    asked = list(queries())

    async def all_shown() -> bool:
        asked[:] = [query for query in asked if not await shows(prometheus, query)]
        return not asked

    with suppress(TimeoutError):
        await until(all_shown, seconds)
    return asked


async def shows(prometheus: Prometheus, query: Query) -> bool:
    """A share of nothing is not a number, and no line."""
    return any(not math.isnan(value) for value in await prometheus.values(query.expression))


async def undocumented(prometheus: Prometheus) -> set[str]:
    """Figures of ours that are told, and not on their page."""
    known = {each.name for each in figures()}
    known |= {f"{each.name}{part}" for each in figures() for part in OF_HISTOGRAMS if each.kind == "histogram"}
    known |= {each.name.removesuffix("_total") + "_created" for each in figures()}
    return {name for name in await prometheus.names() if name.startswith("carillon_")} - known
