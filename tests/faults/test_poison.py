"""Handlers that ruin their worker, and work that no worker knows: given up soon, and the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.asking import attempts, create, create_many, run, until_finished
from tests.support.experiments import Experiment
from tests.support.graphql_client import http_client
from tests.support.installation import SHORT_LEASES, Installation, open_installation

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

MEMBERS = ("api", "worker", "worker", "scheduler", "relay", "notifier")
SETTINGS = SHORT_LEASES | {"CARILLON_CANCEL_GRACE": "1"}
TIMEOUTS = {"loop": "PT1S"}
LONG = ["segfault", "loop", "large result"]
ENDS = {"exit": "LOST", "segfault": "LOST", "loop": "TIMED_OUT", "large result": "FAILED"}
"""How each attempt ends."""
AT_ONCE = {"backoff": "FIXED", "base": "PT0.1S", "maxAttempts": 3}


@asynccontextmanager
async def workers_are_replaced(installation: Installation) -> AsyncIterator[None]:
    """As an operator's supervisor does it."""

    async def replace() -> None:
        while True:
            for _ in range(2 - len(installation.of("worker"))):
                await installation.start("worker")
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        replacing = group.create_task(replace())
        yield
        replacing.cancel()


@pytest.mark.long
@pytest.mark.fault(24, "a handler that ruins its worker; leases of 3 s, timeout of 1 s")
@pytest.mark.parametrize("how", list(ENDS))
async def test_poison_is_given_up_and_others_are_done(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment, how: str
) -> None:
    async with (
        open_installation(postgres_server, migrated, tmp_path, *MEMBERS, **SETTINGS) as installation,
        http_client(installation.api) as client,
        workers_are_replaced(installation),
    ):
        poison = await create(
            client,
            "Poison",
            action=run("ruin", how=how),
            retry=AT_ONCE,
            timeout=TIMEOUTS.get(how, "PT20S"),
            priority=0,
        )
        experiment.broken()
        task = {"title": "Innocent", "action": run("work", seconds=0.1), "retry": AT_ONCE | {"maxAttempts": 9}}
        experiment.accept(await create_many(client, [task] * 50))
        ended = await until_finished(client, poison, 60)
        experiment.recovered()
        assert ended["state"] == "FAILED"
        assert {state for _, state in attempts(ended)} == {ENDS[how]}
        assert len(attempts(ended)) <= 3
        await experiment.check(installation, end=None)
        # Innocents that were at work beside it on all three workers are given up with it.
        thrice = "select count(*) from attempts where task_id = t.id and state = 'LOST'"
        query = (
            f"select count(*) from tasks as t where state <> 'SUCCEEDED' and ({thrice}) < 3 and id = any($1)"
        )
        assert await installation.value(query, experiment.accepted) == 0
        for worker in installation.of("worker"):
            if how == "loop":
                await installation.kill(worker)  # its thread runs on, and would until it stops


@pytest.mark.fault(25, "a handler that the only worker does not know")
async def test_what_no_worker_knows_is_given_up_with_its_reason(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    members = ("api", "scheduler", "relay", "notifier")
    async with (
        open_installation(postgres_server, migrated, tmp_path, *members) as installation,
        http_client(installation.api) as client,
    ):
        await installation.start_one("worker", CARILLON_HANDLERS="examples.handlers")
        id = await create(client, "Unknown there", action=run("work", seconds=0), retry=AT_ONCE)
        experiment.accept([id])
        ended = await until_finished(client, id, 30)
        assert ended["error"]["type"] == "UnknownHandler"
        assert attempts(ended) == [(number, "FAILED") for number in (1, 2, 3)]
        await experiment.check(installation, end="FAILED")
