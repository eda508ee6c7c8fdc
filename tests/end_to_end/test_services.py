"""Carillon on PostgreSQL, Redis and RabbitMQ, two of every process, while one of each kind is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.asking import create_many, due, run
from tests.support.following import Follower
from tests.support.graphql_client import http_client
from tests.support.history import all_tasks, check_each_was_done_once, check_each_was_told_once
from tests.support.installation import KINDS, SHORT_LEASES, Installation, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

TASKS = 750
SECONDS = 15.0
"""Over which they are due."""
WORK = 0.4
STEP = 40
"""How many more are done after each kill before the next: the whole is still at work at the last one."""
QUEUE = "many"


async def test_kills_of_every_kind_of_process_lose_nothing_and_double_nothing(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    follower = Follower()
    async with open_installation(
        postgres_server, migrated, tmp_path, *KINDS, *KINDS, **SHORT_LEASES
    ) as installation:
        first, second = (member.address for member in installation.of("api"))
        async with http_client(second) as client:
            async with follower.at(first):
                ids = await create_many(
                    client,
                    [
                        {
                            "title": f"Task {number}",
                            "queue": QUEUE,
                            "action": run("work", seconds=WORK),
                            "scheduledAt": due(SECONDS * number / TASKS),
                        }
                        for number in range(TASKS)
                    ],
                )
                await heard(follower, STEP)
                await kill_one(installation, "api")
                await installation.start("api")
            async with follower.at(second):
                for kind in ("worker", "scheduler", "relay", "relay", "notifier"):
                    await kill_one(installation, kind)
                    await heard(follower, min(len(follower.heard) + STEP, TASKS))  # by the other of its kind
                    await installation.start(kind)
                await heard(follower, TASKS)
            tasks = await all_tasks(client, QUEUE)
            assert sorted(task["id"] for task in tasks) == sorted(ids)
            assert check_each_was_done_once(tasks, installation.ledger) > 0
            await check_each_was_told_once(client, tasks, follower.cursors)
        await installation.quiet()
        assert await seqs(installation) == list(range(1, TASKS + 1))
        await until(lambda: only_live_workers(installation))
        for member in installation.members:
            if member.runs:
                assert await member.process.stop() == 0, member.kind


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
