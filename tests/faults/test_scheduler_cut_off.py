"""A scheduler is cut off from PostgreSQL with its locks held: another goes on, and nothing is done twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.asking import CREATE_SCHEDULE, PAUSE_SCHEDULE, run
from tests.support.experiments import Experiment
from tests.support.graphql_client import http_client
from tests.support.installation import SHORT_LEASES, open_installation
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

AWAY = 6.0
"""Seconds; what it held is free before."""
EACH_SECOND = {
    "name": "Each second",
    "recurrence": {"every": "PT1S"},
    "misfirePolicy": "FIRE_ALL",
    "overlapPolicy": "ALLOW",
    "task": {"title": "Tick of the clock", "action": run("work", seconds=0)},
}
LATEST = "select max(fire_time) from tasks where state = 'SUCCEEDED'"
HELD = """select count(*) > 0 from pg_stat_activity
    where datname = current_database() and state = 'idle in transaction'"""


@pytest.mark.long
@pytest.mark.fault(17, "one of two schedulers cut off from PostgreSQL, half open, for 6 s; leases of 3 s")
@pytest.mark.parametrize(
    "last",
    [
        pytest.param(b"hashtext('carillon.room')", id="as it claims"),
        pytest.param(b"Tick of the clock", id="as it fires"),
    ],
)
async def test_another_scheduler_goes_on_and_nothing_is_fired_or_handed_over_twice(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment, last: bytes
) -> None:
    members = ("api", "worker", "relay", "notifier")
    async with (
        open_installation(postgres_server, migrated, tmp_path, *members, **SHORT_LEASES) as installation,
        open_proxy(installation.environment["CARILLON_DATABASE_URL"]) as proxy,
        http_client(installation.api) as client,
    ):
        cut_off = await installation.start_one("scheduler", CARILLON_DATABASE_URL=proxy.url)
        made = (await client.execute(CREATE_SCHEDULE, input=EACH_SECOND))["createSchedule"]
        await until(lambda: installation.value(LATEST), 10)
        await installation.start("scheduler")
        proxy.hang_after(last)
        await until(lambda: proxy.hangs, 10)
        experiment.broken()
        began = time.monotonic()
        await until(lambda: installation.value(HELD), 1)
        since = await installation.value("select now()")

        async def others_go_on() -> bool:
            return bool(await installation.value(f"select ({LATEST}) > $1", since))

        await until(others_go_on, 30)
        assert experiment.recovered() < AWAY
        await asyncio.sleep(max(0, AWAY - (time.monotonic() - began)))
        assert "PostgreSQL does not answer as it should" in cut_off.process.said()
        await proxy.accept()
        await until(lambda: "PostgreSQL answers again" in cut_off.process.said(), 15)
        back = await installation.value("select now()")
        await until(
            lambda: installation.value(f"select ({LATEST}) > $1::timestamptz + interval '2 s'", back), 15
        )
        await client.execute(PAUSE_SCHEDULE, id=made["schedule"]["id"])
        await experiment.accept_fired(installation)
        await experiment.check(installation)
        assert experiment.row.repeated == 0
