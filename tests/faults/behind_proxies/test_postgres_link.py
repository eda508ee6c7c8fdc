"""The way to PostgreSQL at its worst: answers lost after a commit, sessions ended, links slow or half open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.behind_proxies.conftest import Behind
from tests.support.asking import CREATE, create_many, due, row_id, run
from tests.support.experiments import Experiment
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import KINDS, SHORT_LEASES, open_behind_proxies, open_installation
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

SECONDS = 4.0
"""Over which a stream of tasks is due."""
STREAM = 80
END_A_SESSION = """select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'carillon' order by random() limit 1"""


@asynccontextmanager
async def a_stream(client: HttpClient, experiment: Experiment, work: float = 0.05) -> AsyncIterator[None]:
    """Of tasks that fall due one after the other while the block runs."""
    tasks = [
        {"title": "Work", "action": run("work", seconds=work), "scheduledAt": due(SECONDS * number / STREAM)}
        for number in range(STREAM)
    ]
    experiment.accept(await create_many(client, tasks))
    yield


@pytest.mark.fault(9, "the answer to a commit is lost; leases of 3 s")
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"commit\x00", id="claim"),
        pytest.param(b"NOTIFY", id="start"),  # names the actions that it knows
        pytest.param(b"SUCCEEDED", id="finish"),
    ],
)
async def test_what_was_committed_unheard_is_not_done_again(
    behind: Behind, experiment: Experiment, sent: bytes
) -> None:
    proxy, lost = behind.proxies.postgres, 0
    async with a_stream(behind.clients[0], experiment):
        experiment.broken()
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            proxy.lose_the_answer_to(sent)
            await until(lambda: proxy.has_lost_the_answer or time.monotonic() > ends, SECONDS + 1)
            lost += proxy.has_lost_the_answer
        proxy.lose_the_answer_to(b"")
    await experiment.check(behind.installation)
    assert experiment.recovered() < SECONDS + 20
    assert lost > 1


@pytest.mark.fault(9, "the answer to a creation is lost, and it is asked for again with its key")
async def test_a_creation_asked_for_again_is_made_once(behind: Behind, experiment: Experiment) -> None:
    client, proxy = behind.clients[0], behind.proxies.postgres
    for number in range(10):
        title = f"Ordered {number}"
        task = {"title": title, "key": title, "action": run("work", seconds=0)}
        proxy.lose_the_answer_to(title.encode())
        body = (await client.post(CREATE, input=task)).json()
        assert [error["extensions"]["code"] for error in body["errors"]] == ["UNAVAILABLE"]
        assert proxy.has_lost_the_answer
        made = (await client.execute(CREATE, input=task))["createTask"]
        assert (made["created"], made["errors"]) == (False, []), "it was made the first time"
        experiment.accept([made["task"]["id"]])
    await experiment.check(behind.installation)
    assert experiment.row.repeated == 0


@pytest.mark.fault(8, "sessions of PostgreSQL ended, five a second for 4 s; leases of 3 s")
async def test_sessions_that_are_ended_again_and_again_lose_nothing(
    behind: Behind, experiment: Experiment
) -> None:
    async with a_stream(behind.clients[0], experiment):
        experiment.broken()
        for _ in range(round(SECONDS * 5)):
            await behind.installation.value(END_A_SESSION)
            await asyncio.sleep(0.2)
    await experiment.check(behind.installation)
    experiment.recovered()


@pytest.mark.long
@pytest.mark.fault(18, "200 ms and jitter to PostgreSQL and back; leases as in production")
async def test_a_slow_way_to_postgresql_costs_time_and_no_lease(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    async with (
        open_behind_proxies(postgres_server, migrated, tmp_path, *KINDS) as (installation, proxies),
        http_client(installation.api) as client,
    ):
        async with a_stream(client, experiment):
            proxies.postgres.slow_down(0.1, jitter=0.02)
            experiment.broken()
            await installation.quiet(90)
            experiment.recovered()
        proxies.postgres.slow_down(0)
        await experiment.check(installation)
        assert experiment.row.repeated == 0
        assert "the lease is lost" not in installation.said()


@pytest.mark.long
@pytest.mark.fault(16, "one worker cut off from PostgreSQL for 10 s, half open; leases of 3 s")
async def test_a_worker_cut_off_stops_by_itself_and_another_takes_over(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    members = ("api", "scheduler", "relay", "notifier")
    async with (
        open_installation(postgres_server, migrated, tmp_path, *members, **SHORT_LEASES) as installation,
        open_proxy(installation.environment["CARILLON_DATABASE_URL"]) as proxy,
        http_client(installation.api) as client,
    ):
        ledger = installation.ledger
        cut_off = await installation.start_one("worker", CARILLON_DATABASE_URL=proxy.url)
        task = {"title": "Work", "action": run("work", seconds=6)}
        ids = await create_many(client, [task] * 20)
        experiment.accept(ids)
        await until(lambda: len(ledger.noted("started")) == len(ids), 30)
        await installation.start("worker")
        proxy.hang()
        experiment.broken()
        began = time.monotonic()
        await until(lambda: "the lease is lost" in cut_off.process.said(), 10)
        assert time.monotonic() - began < 6, "before its work would have ended"
        await until(lambda: len(ledger.noted("started", *map(row_id, ids))) == 2 * len(ids), 30)
        experiment.recovered()
        await asyncio.sleep(max(0, 10 - (time.monotonic() - began)))
        await proxy.accept()
        await experiment.check(installation)
        assert experiment.row.repeated == len(ids)
        assert {one.process for one in ledger.noted("ended")}.isdisjoint({cut_off.pid})
