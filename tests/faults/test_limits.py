"""Limits under fault: the holder of a key is killed, a tenant floods; the next one runs in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.asking import create_many, row_id, run
from tests.support.experiments import Experiment
from tests.support.graphql_client import http_client
from tests.support.installation import SHORT_LEASES, open_installation
from tests.support.ledger import Entry
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

TASKS = 8
WITHIN = {"3": 10.0, "30": 40.0}
"""By the seconds of the lease."""
FLOOD = 1_500
AT_ONCE = 500
QUIET = 40
WAIT = timedelta(seconds=2)


@pytest.mark.fault(
    34, "the worker killed that holds the only place of a key or queue, leases of so many seconds"
)
@pytest.mark.parametrize(
    ("limit", "lease"),
    [
        pytest.param("key", "3"),
        pytest.param("queue", "3", marks=pytest.mark.long),
        pytest.param("key", "30", marks=pytest.mark.long),
    ],
)
async def test_when_the_holder_is_killed_the_next_runs_in_time_and_never_two_at_once(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment, *, limit: str, lease: str
) -> None:
    members = ("api", "worker", "worker", "scheduler", "relay", "notifier")
    leases = SHORT_LEASES if lease == "3" else {}
    async with (
        open_installation(postgres_server, migrated, tmp_path, *members, **leases) as installation,
        http_client(installation.api) as client,
    ):
        shared = {"queue": "narrow"} if limit == "queue" else {"concurrencyKey": "one at a time"}
        if limit == "queue":
            await client.execute(NARROW)
        task = {"title": "In turn", "action": run("work", seconds=0.3), **shared}
        ids = await create_many(client, [task] * TASKS)
        experiment.accept(ids)
        ledger = installation.ledger
        await until(lambda: len(ledger.noted("ended")) >= 2 and at_work(ledger.entries()), 20)
        holder = at_work(ledger.entries())[0].process
        await installation.kill(next(worker for worker in installation.of("worker") if worker.pid == holder))
        experiment.broken()
        before = len(ledger.entries())
        await until(lambda: len(ledger.entries()) > before, 60)
        assert experiment.recovered() < WITHIN[lease]
        await experiment.check(installation)
        entries = ledger.entries()
        held = [len(at_work(entries[:number])) for number in range(1, before + 1)]
        held += [len(at_work(entries[:number], holder)) for number in range(before + 1, len(entries) + 1)]
        assert max(held) == 1
        assert experiment.row.repeated in {0, 1}, "what the dead worker ran"


def at_work(entries: list[Entry], killed: int | None = None) -> list[Entry]:
    """Begun and not ended; what a killed process had begun is over."""
    over = {(entry.task, entry.fence) for entry in entries if entry.moment == "ended"}
    begun = [entry for entry in entries if entry.moment == "started" and entry.process != killed]
    return [entry for entry in begun if (entry.task, entry.fence) not in over]


NARROW = 'mutation { updateQueue(input: {name: "narrow", concurrency: 1}) { errors { message } } }'


@pytest.mark.long
@pytest.mark.fault(33, "a tenant makes 1,500 tasks at once, another one now and then")
async def test_a_tenants_flood_keeps_no_other_tenant_waiting(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    members = ("api", "worker", "scheduler", "relay", "notifier")
    async with open_installation(
        postgres_server, migrated, tmp_path, *members, CARILLON_WORKER_SLOTS="20"
    ) as installation:
        other = await installation.start_one("api", CARILLON_TENANT="quiet")
        async with http_client(installation.api) as loud, http_client(other.address) as quiet:
            task = {"title": "Flood", "action": run("work", seconds=0.05)}
            for _ in range(FLOOD // AT_ONCE):
                experiment.accept(await create_many(loud, [task] * AT_ONCE))
            experiment.broken()
            some = []
            for _ in range(QUIET):
                some += await create_many(quiet, [{"title": "Now", "action": run("work", seconds=0)}])
                await asyncio.sleep(0.1)
            experiment.accept(some)
            rows = [row_id(id) for id in some]
            await until(lambda: len(installation.ledger.noted("ended", *rows)) == QUIET, 30)
            assert await installation.value(WAITS, "default") > 0, "the flood is over"
            assert await installation.value(LONGEST, rows) < WAIT
            await experiment.check(installation, seconds=120)
            experiment.recovered()
            assert experiment.row.repeated == 0


WAITS = "select count(*) from tasks where tenant = $1 and state = 'SCHEDULED'"
LONGEST = "select max(started_at - due_at) from attempts where task_id = any($1)"
