"""A backup taken while everything runs is a whole installation, which goes on from that moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import backup
from tests.support.asking import create_many, due, run
from tests.support.following import Follower
from tests.support.graphql_client import Json, http_client
from tests.support.history import all_notifications, all_tasks
from tests.support.installation import KINDS, SHORT_LEASES, Installation, open_installation
from tests.support.services import database_name, fresh_database
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

QUEUE = "many"
SOON = 8.0
"""Seconds: what is due by then waits while the backup is taken."""
LONG = 6.0
"""What runs while the backup is taken."""
UNFINISHED = "select count(*) from tasks where state <> 'SUCCEEDED'"
RUNNING = "select count(*) from tasks where state = 'RUNNING'"


async def test_what_a_backup_holds_goes_on_from_there(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    file, follower = tmp_path / "carillon.dump", Follower()
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    async with (
        open_installation(postgres_server, migrated, before, *KINDS, **SHORT_LEASES) as installation,
        http_client(installation.api) as client,
        follower.at(installation.api),
    ):
        done = await create_many(client, tasks(10))
        await until(lambda: len(follower.heard) == len(done), 30)
        running = await create_many(client, tasks(2, action=run("work", seconds=LONG)))
        await until(lambda: counted(installation, RUNNING, len(running)), 30)
        waiting = await create_many(client, tasks(5, scheduledAt=due(SOON)))
        await backup.dump(installation.environment["CARILLON_DATABASE_URL"], file)
        await create_many(client, tasks(3))  # are not in it
    async with fresh_database(postgres_server) as restored:
        await backup.restore(file, restored)
        async with (
            open_installation(
                postgres_server, database_name(restored), after, *KINDS, **SHORT_LEASES
            ) as installation,
            http_client(installation.api) as client,
        ):
            await until(lambda: counted(installation, UNFINISHED, 0), 60)
            await installation.quiet()
            found = await all_tasks(client, QUEUE)
            told = [each["cursor"] for each in await all_notifications(client)]
    assert {task["id"] for task in found} == {*done, *waiting, *running}
    lost = {task["id"] for task in found if task["attempts"]["nodes"][0]["state"] == "LOST"}
    assert lost == set(running)
    assert told[: len(done)] == follower.cursors[: len(done)]
    assert len(told) == len(set(told)) == len(found)


def tasks(count: int, **fields: Any) -> list[Json]:
    """Done at once, unless something else is said."""
    quick = {"title": "Task", "queue": QUEUE, "action": run("work", seconds=0)}
    return [quick | fields for _ in range(count)]


async def counted(installation: Installation, query: str, count: int) -> bool:
    return bool(await installation.value(query) == count)
