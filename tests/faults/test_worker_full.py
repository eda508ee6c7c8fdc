"""A worker without a free slot: RabbitMQ gives it its share all the same, and another has to get that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.asking import create_many, row_id, run
from tests.support.graphql_client import http_client
from tests.support.installation import open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

SLOTS = 20
SOON = 8.0
"""Far less than the 15 s after which what was handed over and not started is rescued."""


async def test_a_full_worker_does_not_hold_what_an_idle_one_could_run(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    members = ("api", "worker", "scheduler", "relay")
    settings = {
        "CARILLON_WORKER_SLOTS": str(SLOTS),
        "CARILLON_WORKER_THREADS": "2",
        "CARILLON_STOP_GRACE": "0.5",
    }
    async with (
        open_installation(postgres_server, migrated, tmp_path, *members, **settings) as installation,
        http_client(installation.api) as client,
    ):
        (full,) = installation.of("worker")
        await create_many(client, [{"title": "Long", "action": run("work", seconds=120)}] * SLOTS)
        await until(lambda: len(installation.ledger.noted("started")) == SLOTS, 30)
        (idle,) = await installation.start("worker")
        made = await create_many(client, [{"title": "Short", "action": run("work", seconds=0)}] * SLOTS)
        short = [row_id(id) for id in made]
        await until(lambda: len(installation.ledger.noted("started", *short)) == SLOTS, SOON)
        assert {one.process for one in installation.ledger.noted("started", *short)} == {idle.pid}
        assert full.runs
