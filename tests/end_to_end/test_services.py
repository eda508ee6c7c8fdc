"""Carillon on PostgreSQL, Redis and RabbitMQ, two of every process, while one of each kind is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.asking import create_many, due, run
from tests.support.following import Follower
from tests.support.graphql_client import HttpClient, http_client
from tests.support.history import all_tasks, check_each_was_done_once, check_each_was_told_once
from tests.support.installation import KINDS, SHORT_LEASES, Installation, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

EACH = 40
"""How many tasks are made before each kill, and again after it: so there is work for those that are left,
however slow the machine is."""
SECONDS = 2.0
"""Over which these are due."""
WORK = 0.4
LONG = 5.0
"""What a worker is killed at: it is still at it when we have seen that it is."""
QUEUE = "many"


@pytest.mark.fault(32, "each kind of process killed, subscribers resume by cursor")
async def test_kills_of_every_kind_of_process_lose_nothing_and_double_nothing(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    follower, ids = Follower(), list[str]()
    async with open_installation(
        postgres_server, migrated, tmp_path, *KINDS, *KINDS, **SHORT_LEASES
    ) as installation:
        first, second = (member.address for member in installation.of("api"))
        async with http_client(second) as client:
            async with follower.at(first):
                ids += await feed(client)
                await heard(follower, EACH // 4)
                await kill_one(installation, "api")
                await installation.start("api")
            async with follower.at(second):
                for kind in ("worker", "scheduler", "relay", "relay", "notifier"):
                    ids += await feed(client, LONG if kind == "worker" else WORK)
                    await kill_one(installation, kind)
                    ids += await feed(client)
                    await heard(follower, len(ids))  # by the other of its kind
                    await installation.start(kind)
            tasks = await all_tasks(client, QUEUE)
            assert sorted(task["id"] for task in tasks) == sorted(ids)
            assert check_each_was_done_once(tasks, installation.ledger) > 0
            await check_each_was_told_once(client, tasks, follower.cursors)
        await installation.quiet()
        assert await seqs(installation) == list(range(1, len(ids) + 1))
        await until(lambda: only_live_workers(installation))
        for member in installation.members:
            if member.runs:
                assert await member.process.stop() == 0, member.kind


async def feed(client: HttpClient, work: float = WORK) -> list[str]:
    """The ids of tasks that were made, due now and soon."""
    tasks = [
        {
            "title": f"Task {number}",
            "queue": QUEUE,
            "action": run("work", seconds=work),
            "scheduledAt": due(SECONDS * number / EACH),
        }
        for number in range(EACH)
    ]
    return await create_many(client, tasks)


async def kill_one(installation: Installation, kind: str) -> None:
    """The older of its kind; a worker while it works. Of the relays, killed twice, one was leading."""
    victim = installation.of(kind)[0]
    if kind == "worker":
        running = "select count(*) from tasks t join workers w on w.id = t.worker_id where w.name like $1"
        await until(lambda: some(installation, running, f"%:{victim.pid}"), 15)
    await installation.kill(victim)


async def heard(follower: Follower, count: int) -> None:
    await until(lambda: len(follower.heard) >= count, 60)


async def some(installation: Installation, query: str, argument: str) -> bool:
    return bool(await installation.value(query, argument))


async def seqs(installation: Installation) -> list[int]:
    rows = await installation.database.fetch("select seq from notifications order by seq")
    return [row["seq"] for row in rows]


async def only_live_workers(installation: Installation) -> bool:
    rows = await installation.database.fetch("select name from workers")
    pids = {int(row["name"].rpartition(":")[2]) for row in rows}
    return pids == {member.pid for member in installation.of("worker")}
