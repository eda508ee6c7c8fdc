"""Much at once: thousands due in one second, everything cancelled while it runs, clocks that are wrong."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.asking import CANCEL, create, create_many, due, instant, run, until_told
from tests.support.experiments import Experiment
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import KINDS, SHORT_LEASES, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

BURST = 5_000
AT_ONCE = 500
URGENT_WITHIN = 3.0
"""An urgent task waits for a slot, not for the burst to be over."""
STORM = 150
HOUR = 3_600


@pytest.mark.long
@pytest.mark.fault(26, "5,000 due at once, an urgent one among them")
async def test_an_urgent_task_does_not_wait_for_a_burst_to_be_over(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    async with (
        open_installation(postgres_server, migrated, tmp_path, *KINDS) as installation,
        http_client(installation.api) as client,
    ):
        task = {"title": "Burst", "action": run("work", seconds=0.01), "scheduledAt": due(8)}
        for _ in range(BURST // AT_ONCE):
            experiment.accept(await create_many(client, [task] * AT_ONCE))
        begun = installation.ledger
        await until(lambda: len(begun.noted("started")) > BURST // 20, 60)
        experiment.broken()
        urgent = await create(client, "Urgent", action=run("work", seconds=0), priority=0)
        done = await until_told(client, urgent, 60)
        late = instant(done["startedAt"]) - instant(done["scheduledAt"])
        assert await installation.value("select count(*) from tasks where state = 'SCHEDULED'") > 0, (
            "it is not over"
        )
        assert late < timedelta(seconds=URGENT_WITHIN)
        await experiment.check(installation, seconds=120)
        experiment.recovered()
        assert experiment.row.repeated == 0


@pytest.mark.fault(35, "300 cancelled while they wait, run and end")
async def test_each_of_a_storm_of_cancellations_ends_one_way(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    async with (
        open_installation(postgres_server, migrated, tmp_path, *KINDS) as installation,
        http_client(installation.api) as client,
    ):
        running = [{"title": "Short", "action": run("work", seconds=n / STORM * 10)} for n in range(STORM)]
        waiting = [{"title": "Soon", "action": run("work", seconds=0.2), "scheduledAt": due(5)}] * STORM
        ids = await create_many(client, running + waiting)
        experiment.accept(ids)
        await until(lambda: len(installation.ledger.noted("started")) >= STORM // 3, 15)
        experiment.broken()

        async def cancel(some: list[str]) -> None:
            for id in some:
                await until(lambda: cancelled(client, id), 30)  # noqa: B023  awaited here

        await asyncio.gather(*(cancel(ids[at::10]) for at in range(10)))
        await experiment.check(installation, end=None)
        experiment.recovered()
        assert await installation.value("select count(*) from tasks where state = 'CANCELLED'") > 0
        late = "select count(*) from attempts as a join tasks as t on t.id = a.task_id and a.number = t.attempt"
        late += " where a.state::text <> t.state::text"
        assert await installation.value(late) == 0, "the last attempt and its task say the same"


@pytest.mark.long
@pytest.mark.fault(19, "clocks of processes an hour ahead and behind, that of PostgreSQL right")
async def test_what_is_due_is_decided_by_one_clock_alone(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    async with open_installation(
        postgres_server, migrated, tmp_path, "api", "relay", "notifier", **SHORT_LEASES
    ) as installation:
        for kind, offset in (("scheduler", HOUR), ("scheduler", -HOUR), ("worker", HOUR), ("worker", -HOUR)):
            await installation.start_one(kind, module="tests.support.other_clock", OFFSET=str(offset))
        async with http_client(installation.api) as client:
            began = time.monotonic()
            tasks = [
                {"title": "On time", "action": run("work", seconds=0), "scheduledAt": due(2 + n / 20)}
                for n in range(40)
            ]
            experiment.accept(await create_many(client, tasks))
            hour = await create(client, "In an hour", scheduledAt=due(HOUR))
            await until(lambda: len(installation.ledger.noted("ended")) == len(tasks), 30)
            assert time.monotonic() - began > 3.5, "none was early"
            await experiment.check(installation)
            assert experiment.row.repeated == 0
            early = "select count(*) from attempts where started_at < due_at"
            assert await installation.value(early) == 0
            late = "select max(started_at - due_at) from attempts"
            assert await installation.value(late) < timedelta(seconds=5)
            assert await installation.value("select count(*) from tasks where state = 'SCHEDULED'") == 1, hour


async def cancelled(client: HttpClient, id: str) -> bool:
    """False when it has to be asked again: on a busy machine PostgreSQL may take too long."""
    body = (await client.post(CANCEL, id=id)).json()
    if "errors" in body:
        assert {error["extensions"]["code"] for error in body["errors"]} == {"UNAVAILABLE"}
        return False
    assert body["data"]["cancelTask"]["errors"] == []
    return True
