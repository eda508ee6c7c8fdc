"""One version follows another, process by process, while tasks are made, run and told of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support import previous
from tests.support.asking import create_many, run
from tests.support.following import Follower
from tests.support.graphql_client import http_client
from tests.support.history import all_tasks, check_each_was_done_once, check_each_was_told_once
from tests.support.installation import KINDS, SHORT_LEASES, Installation, Member, by_tcp, open_installation
from tests.support.services import database_name, fresh_database
from tests.support.waiting import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.rabbit,
    pytest.mark.skipif(previous.missing() is not None, reason=str(previous.missing())),
]

QUEUE = "many"
EACH = 20
"""Tasks that go through each mixture of versions."""
WORK = 0.1


async def test_versions_side_by_side_and_back_lose_nothing_and_double_nothing(
    postgres_server: str, tmp_path: Path
) -> None:
    old = previous.unpack(tmp_path / "previous")
    follower, ids = Follower(), list[str]()
    async with installed_by(old, postgres_server, tmp_path) as installation:
        before = {kind: await installation.start_one(kind, root=str(old)) for kind in KINDS}
        async with follower.at(before["api"].address):
            ids += await done(installation, before["api"])
            await installation.command("migrate")
            ids += await done(installation, before["api"])  # by the old, on the new layout
            for kind in ("notifier", "relay", "worker", "scheduler"):
                new = await installation.start_one(kind)
                ids += await done(installation, before["api"])  # by both
                assert await before[kind].process.stop() == 0, kind
                ids += await done(installation, before["api"])  # by the new, with what is still old
                assert new.runs
            after = await installation.start_one("api")
            ids += await done(installation, after)
            await until(lambda: len(follower.heard) >= len(ids), 60)
        assert await before["api"].process.stop() == 0
        async with follower.at(after.address):
            ids += await done(installation, after)
            await until(lambda: len(follower.heard) >= len(ids), 60)
        back = await gone_back(installation, old)
        async with follower.at(back.address), http_client(back.address) as client:
            ids += await done(installation, back)
            await until(lambda: len(follower.heard) >= len(ids), 60)
            tasks = await all_tasks(client, QUEUE)
            assert sorted(task["id"] for task in tasks) == sorted(ids)
            check_each_was_done_once(tasks, installation.ledger)
            await check_each_was_told_once(client, tasks, follower.cursors)


async def gone_back(installation: Installation, old: Path) -> Member:
    """The API of the version before, which takes over again from this one, on its layout."""
    new = [member for member in installation.members if member.runs]
    for member in new:
        assert await member.process.stop() == 0, member.kind
    back = [await installation.start_one(kind, root=str(old)) for kind in KINDS]
    return back[0]


async def done(installation: Installation, api: Member) -> list[str]:
    """The ids of tasks that were made there, and ran."""
    tasks = [
        {"title": f"Task {number}", "queue": QUEUE, "action": run("work", seconds=WORK)}
        for number in range(EACH)
    ]
    async with http_client(api.address) as client:
        ids = await create_many(client, tasks)
    await installation.quiet()
    return ids


@asynccontextmanager
async def installed_by(old: Path, server: str, folder: Path) -> AsyncIterator[Installation]:
    """As the version before migrated it, with nothing started."""

    async def fill(url: str) -> None:
        async with by_tcp(url) as reachable:
            await previous.migrate(old, reachable, folder / "migrate.log")

    async with (
        fresh_database(server, fill=fill) as template,
        open_installation(server, database_name(template), folder, **SHORT_LEASES) as installation,
    ):
        yield installation
