"""Workers may be far from the database, as in another region: tasks take longer, and nothing else changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.asking import create_many, run
from tests.support.following import Follower
from tests.support.graphql_client import http_client
from tests.support.history import all_tasks, check_each_was_done_once, check_each_was_told_once
from tests.support.installation import Installation, open_installation
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

FAR = 0.04
"""Seconds that what is sent takes: a round trip is twice that, as across an ocean."""
TASKS = 100
QUEUE = "many"


async def test_a_worker_across_an_ocean_does_each_task_once(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    near = ("api", "scheduler", "relay", "notifier")
    async with (
        open_installation(postgres_server, migrated, tmp_path, *near) as installation,
        far_away(installation) as servers,
        http_client(installation.api) as client,
    ):
        follower = Follower()
        worker = await installation.start_one("worker", **servers)
        async with follower.at(installation.api):
            task = {"title": "Far", "queue": QUEUE, "action": run("work", seconds=0)}
            ids = await create_many(client, [task] * TASKS)
            await until(lambda: len(follower.heard) == len(ids), 60)
        tasks = await all_tasks(client, QUEUE)
        assert sorted(each["id"] for each in tasks) == sorted(ids)
        assert check_each_was_done_once(tasks, installation.ledger) == 0
        await check_each_was_told_once(client, tasks, follower.cursors)
        assert await worker.process.stop() == 0
        assert "lease" not in worker.process.said()


@asynccontextmanager
async def far_away(installation: Installation) -> AsyncIterator[dict[str, str]]:
    """The settings of a process that reaches the servers of the installation from far away."""
    names = ("CARILLON_DATABASE_URL", "CARILLON_REDIS_URL", "CARILLON_AMQP_URL")
    postgres, redis, rabbit = (installation.environment[name] for name in names)
    async with open_proxy(postgres) as first, open_proxy(redis) as second, open_proxy(rabbit) as third:
        for proxy in (first, second, third):
            proxy.slow_down(FAR)
        yield dict(zip(names, (first.url, second.url, third.url), strict=True))
