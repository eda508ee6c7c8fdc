"""An embedded Carillon that is stopped, or killed at its work, goes on where it was at its next start."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.asking import create, create_many, due, read, run, until_told
from tests.support.following import Follower
from tests.support.graphql_client import http_client
from tests.support.history import all_tasks, check_each_was_done_once, check_each_was_told_once
from tests.support.installation import HANDLERS, SHORT_LEASES
from tests.support.ledger import VARIABLE, Ledger
from tests.support.processes import embedded
from tests.support.waiting import until

TASKS = 240
SECONDS = 6.0
"""Over which they are due."""
QUEUE = "many"


async def test_what_was_stored_is_there_after_a_stop_by_ctrl_c(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    async with embedded(home, log) as (address, dev), http_client(address) as client:
        done = await until_told(client, await create(client, "Before"))
        later = await create(client, "Later", scheduledAt=due(3600))
        dev.running.send_signal(signal.SIGINT)
        assert await dev.ended() == 0
    async with embedded(home, log) as (address, _), http_client(address) as client:
        assert await read(client, done["id"]) == done
        assert (await read(client, later))["state"] == "SCHEDULED"


async def test_killed_twice_at_its_work_it_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    home, log, ledger = tmp_path / "home", tmp_path / "log", Ledger(tmp_path / "ledger")
    settings = SHORT_LEASES | {"CARILLON_HANDLERS": HANDLERS, VARIABLE: str(ledger.path)}
    follower = Follower()
    ids: list[str] = []
    for part in (0.2, 0.5, 1):
        async with (
            embedded(home, log, **settings) as (address, dev),
            http_client(address) as client,
            follower.at(address),
        ):
            ids = ids or await create_many(
                client,
                [
                    {
                        "title": f"Task {number}",
                        "queue": QUEUE,
                        "action": run("work", seconds=0.3),
                        "scheduledAt": due(SECONDS * number / TASKS),
                    }
                    for number in range(TASKS)
                ],
            )
            await until(lambda: len(follower.heard) >= part * TASKS, 30)  # noqa: B023  it ends within the round
            if part < 1:
                dev.kill()
                await dev.ended()
                continue
            tasks = await all_tasks(client, QUEUE)
            assert sorted(task["id"] for task in tasks) == sorted(ids)
            assert check_each_was_done_once(tasks, ledger) > 0
            await check_each_was_told_once(client, tasks, follower.cursors)
            assert await dev.stop() == 0
