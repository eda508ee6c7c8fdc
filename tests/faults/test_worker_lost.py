"""A worker is gone in the middle of its tasks: they run again elsewhere, and nothing it says later counts."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.asking import attempts, create, create_many, kinds, row_id, run, until_told
from tests.support.experiments import Experiment
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import SHORT_LEASES, Installation, Member, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

WORK = 2.5
"""Long enough to be found at work, on a busy machine."""
RUNNING = 1_000
AT_ONCE = 250
"""Tasks made by one mutation."""
WITHIN = 40.0
"""A lease of 30 seconds, a rescuer every 5, and what a busy machine adds."""


@pytest.fixture(scope="module")
async def installation(
    postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("worker-lost")
    members = ("api", "worker", "worker", "scheduler", "relay", "notifier")
    async with open_installation(postgres_server, migrated, folder, *members, **SHORT_LEASES) as opened:
        yield opened


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[HttpClient]:
    async with http_client(installation.api) as client:
        yield client


async def started_on(installation: Installation, task: str) -> Member:
    """The worker whose handler has begun."""
    await until(lambda: bool(installation.ledger.noted("started", row_id(task))), 15)
    pid = installation.ledger.noted("started", row_id(task))[0].process
    return next(member for member in installation.of("worker") if member.pid == pid)


@pytest.mark.fault(1, "worker killed at its work; leases of 3 s")
async def test_killed_in_the_middle_of_a_task_it_is_run_again_by_another(
    installation: Installation, client: HttpClient, experiment: Experiment
) -> None:
    id = await create(client, "Survives its worker", action=run("work", seconds=WORK))
    experiment.accept([id])
    victim = await started_on(installation, id)
    experiment.broken()
    await installation.kill(victim)
    task = await until_told(client, id, 20)
    assert attempts(task) == [(1, "LOST"), (2, "SUCCEEDED")]
    assert task["attempts"]["nodes"][0]["error"] == {"type": "WorkerLost"}
    assert task["attempts"]["nodes"][0]["worker"].endswith(f":{victim.pid}")
    assert (task["state"], task["error"], task["result"]) == ("SUCCEEDED", None, 2)
    first, again, end = installation.ledger.entries(row_id(id))
    assert [one.moment for one in (first, again, end)] == ["started", "started", "ended"]
    assert first.process != again.process
    assert first.fence < again.fence
    experiment.recovered()
    await experiment.check(installation)
    await installation.start("worker")


@pytest.mark.long
@pytest.mark.fault(1, "worker killed with half of 1,000 running; leases as in production")
async def test_killed_with_hundreds_running_all_of_them_run_again_in_time(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    members = ("api", "worker", "worker", "worker", "scheduler", "relay", "notifier")
    settings = {"CARILLON_WORKER_SLOTS": str(RUNNING // 2), "CARILLON_WORKER_THREADS": "8"}
    async with (
        open_installation(postgres_server, migrated, tmp_path, *members, **settings) as installation,
        http_client(installation.api) as client,
    ):
        ledger = installation.ledger
        for _ in range(RUNNING // AT_ONCE):
            task = {"title": "Survives its worker", "action": run("work", seconds=20)}
            experiment.accept(await create_many(client, [task] * AT_ONCE))
        await until(lambda: len(ledger.noted("started")) == RUNNING, 60)
        victim = installation.of("worker")[0]
        lost = {one.task for one in ledger.noted("started") if one.process == victim.pid}
        lost -= {one.task for one in ledger.noted("ended")}
        assert lost
        experiment.broken()
        await installation.kill(victim)
        await until(lambda: len(ledger.noted("started", *lost)) == 2 * len(lost), 60)
        assert experiment.recovered() < WITHIN
        await experiment.check(installation, seconds=90)
        assert experiment.row.repeated == len(lost), "what the dead worker ran, and nothing else"


@pytest.mark.fault(2, "worker frozen beyond its lease, then woken; leases of 3 s")
async def test_frozen_for_longer_than_its_lease_its_late_results_are_refused(
    installation: Installation, client: HttpClient, experiment: Experiment
) -> None:
    """It wakes up while others run its tasks again: what it has to say is about attempts that are over."""
    ids = await create_many(client, [{"title": "Done elsewhere", "action": run("work", seconds=WORK)}] * 8)
    experiment.accept(ids)
    rows = [row_id(id) for id in ids]
    await until(lambda: len(installation.ledger.noted("started", *rows)) == len(ids), 15)
    victim = await started_on(installation, ids[0])
    victim.process.running.send_signal(signal.SIGSTOP)
    experiment.broken()
    frozen = {one.task for one in installation.ledger.noted("started", *rows) if one.process == victim.pid}
    try:
        await until(lambda: len(installation.ledger.noted("started", *frozen)) == 2 * len(frozen), 20)
        experiment.recovered()
    finally:
        victim.process.running.send_signal(signal.SIGCONT)
    await until(lambda: "the lease is lost" in victim.process.said(), 15)
    for task in [await until_told(client, id, 20) for id in ids]:
        again = row_id(task["id"]) in frozen
        assert attempts(task) == ([(1, "LOST"), (2, "SUCCEEDED")] if again else [(1, "SUCCEEDED")])
        assert task["result"] == len(task["attempts"]["nodes"]), "the answer of the attempt that counts"
        assert kinds(task) == ["TASK_SUCCEEDED"]
    await experiment.check(installation)
    assert experiment.row.repeated == len(frozen), "what was stopped, and nothing else"
    await until(lambda: has_lease(installation, victim), 15)
    next_ones = [await create(client, "Next", action=run("work", seconds=0)) for _ in range(24)]
    for id in next_ones:
        assert attempts(await until_told(client, id)) == [(1, "SUCCEEDED")]
    done_by = {one.process for one in installation.ledger.entries(*map(row_id, next_ones))}
    assert victim.pid in done_by, "it lives on, under a new lease"


@pytest.mark.fault(24, "a task whose workers are killed, thrice; leases of 3 s")
async def test_a_task_that_kills_its_workers_is_given_up_after_three(
    installation: Installation, client: HttpClient, experiment: Experiment
) -> None:
    id = await create(client, "Poison", action=run("work", seconds=60))
    experiment.accept([id])
    for number in (1, 2, 3):
        await until(lambda: len(installation.ledger.noted("started", row_id(id))) == number, 20)  # noqa: B023  used at once
        pid = installation.ledger.noted("started", row_id(id))[-1].process
        await installation.kill(next(one for one in installation.of("worker") if one.pid == pid))
        await installation.start("worker")
    task = await until_told(client, id, 20)
    assert attempts(task) == [(1, "LOST"), (2, "LOST"), (3, "LOST")]
    assert (task["state"], task["error"]["type"]) == ("FAILED", "WorkerLost")
    assert [one["kind"] for one in task["notifications"]["nodes"]] == ["TASK_FAILED"]
    await experiment.check(installation, end="FAILED")


async def has_lease(installation: Installation, worker: Member) -> bool:
    live = "select count(*) from workers where name like $1 and lease_until > now()"
    return bool(await installation.value(live, f"%:{worker.pid}"))
