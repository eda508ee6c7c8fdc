"""A worker told to stop: what fits into its grace is finished, the rest handed back, and costs no attempt."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.asking import attempts, create_many, row_id, run, until_told
from tests.support.experiments import Experiment
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import Installation, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

GRACE = 1.5
LONG = 12.0
"""Another worker can be started meanwhile, however busy the machine is."""


@pytest.fixture
async def installation(postgres_server: str, migrated: str, tmp_path: Path) -> AsyncIterator[Installation]:
    members = ("api", "worker", "scheduler", "relay", "notifier")
    settings = {"CARILLON_STOP_GRACE": str(GRACE)}  # and leases as long as in production: none may have to end
    async with open_installation(postgres_server, migrated, tmp_path, *members, **settings) as opened:
        yield opened


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[HttpClient]:
    async with http_client(installation.api) as client:
        yield client


@pytest.mark.fault(3, "worker told to stop, grace of 1.5 s")
async def test_the_short_ones_end_and_the_long_ones_go_to_another(
    installation: Installation, client: HttpClient, experiment: Experiment
) -> None:
    (old,) = installation.of("worker")
    short = await create_many(client, [{"title": "Short", "action": run("work", seconds=0.7)}] * 10)
    long = await create_many(client, [{"title": "Long", "action": run("work", seconds=LONG)}] * 10)
    experiment.accept(short + long)
    await until(lambda: len(installation.ledger.noted("started")) == 20, 15)
    (new,) = await installation.start("worker")
    began = time.monotonic()
    experiment.broken()
    assert await old.process.stop() == 0
    assert time.monotonic() - began < GRACE + 3
    experiment.recovered()
    finished = [await until_told(client, id) for id in short]
    handed_back = [await until_told(client, id, 3 * LONG) for id in long]
    for task in finished + handed_back:
        assert attempts(task) == [(1, "SUCCEEDED")], "none was lost, and none cost an attempt"
        assert task["attempt"] == 1
    for task in finished:
        assert {one.process for one in installation.ledger.entries(row_id(task["id"]))} == {old.pid}
    for task in handed_back:
        first, again, end = installation.ledger.entries(row_id(task["id"]))
        assert [one.moment for one in (first, again, end)] == ["started", "started", "ended"]
        assert (first.process, again.process) == (old.pid, new.pid)
        assert first.fence < again.fence
    await experiment.check(installation, handed_back=map(row_id, long))
    assert experiment.row.repeated == len(long)


@pytest.mark.long
@pytest.mark.fault(3, "worker told to stop with 500 running, grace of 10 s; all as in production")
async def test_five_hundred_are_handed_back_without_waiting_for_a_lease(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    members = ("api", "worker", "scheduler", "relay", "notifier")
    settings = {"CARILLON_WORKER_SLOTS": "500", "CARILLON_WORKER_THREADS": "8"}
    async with (
        open_installation(postgres_server, migrated, tmp_path, *members, **settings) as installation,
        http_client(installation.api) as client,
    ):
        (old,) = installation.of("worker")
        task = {"title": "Long", "action": run("work", seconds=25)}
        experiment.accept(await create_many(client, [task] * 500))
        ledger = installation.ledger
        await until(lambda: len(ledger.noted("started")) == 500, 30)
        await installation.start("worker")
        experiment.broken()
        began = time.monotonic()
        assert await old.process.stop() == 0
        assert time.monotonic() - began < 10 + 5
        again = {one.task for one in ledger.noted("started")} - {one.task for one in ledger.noted("ended")}
        await until(lambda: len(ledger.noted("started", *again)) == 2 * len(again), 15)
        experiment.recovered()
        await experiment.check(installation, handed_back=again)
        assert experiment.row.repeated == len(again)
