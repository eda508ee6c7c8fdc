"""Redis gone: everything is answered and done without it, nothing waits for it, and later it is used again."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.faults.behind_proxies.conftest import Behind
from tests.support.asking import RENAME, create, due, read, until_told
from tests.support.graphql_client import HttpClient
from tests.support.tcp_proxy import lose
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

LIMIT = 2.0
"""Seconds a request may take while Redis is gone."""
TASKS = "{ tasks(first: 20) { nodes { id title attempts { nodes { number } } } } }"


@pytest.mark.fault(15, "Redis away")
@pytest.mark.parametrize("how", ["refuse", "hang"])
async def test_requests_are_answered_in_time_and_tasks_run(behind: Behind, how: str) -> None:
    client = behind.clients[0]
    known = await create(client, "Known to the cache", scheduledAt=due(3600))
    await read(client, known)
    await lose(behind.proxies.redis, how)
    for number in range(5):
        for api in behind.clients:
            began = time.monotonic()
            assert (await read(api, known))["state"] == "SCHEDULED"
            assert time.monotonic() - began < LIMIT
            began = time.monotonic()
            await api.execute(TASKS)
            assert time.monotonic() - began < LIMIT
            began = time.monotonic()
            renamed = await api.execute(RENAME, id=known, title=f"Renamed {number}")
            assert time.monotonic() - began < LIMIT
            assert renamed["updateTask"]["errors"] == []
    began = time.monotonic()
    task = await until_told(client, await create(client, "Done without Redis"))
    assert time.monotonic() - began < LIMIT
    assert task["state"] == "SUCCEEDED"
    status, said = await behind.readiness()
    assert (status, said["status"]) == (200, "degraded")
    assert {name: check["status"] for name, check in said["checks"].items()} == {
        "postgres": "up",
        "redis": "down",
        "rabbitmq": "up",
    }
    await behind.proxies.redis.accept()
    await behind.until_ready()
    assert (await read(behind.clients[1], task["id"]))["state"] == "SUCCEEDED"


@pytest.mark.fault(15, "Redis away and back, versions never go back")
@pytest.mark.parametrize("how", ["refuse", "hang"])
async def test_no_api_ever_goes_back_to_an_older_version(behind: Behind, how: str) -> None:
    """What was changed while Redis was gone is not hidden afterwards by what Redis remembers."""
    watched = await Watched.create(behind.clients)
    await watched.look()
    for look_meanwhile in (True, False):
        await lose(behind.proxies.redis, how)
        for _ in range(4):
            await watched.change()
            if look_meanwhile:
                await watched.look()
        await behind.proxies.redis.accept()
        for _ in range(10):
            await watched.look()
        await watched.change()
        await until(watched.all_see_the_newest)
        await behind.until_ready()
        for _ in range(20):
            assert await watched.all_see_the_newest()
    for versions in watched.seen.values():
        assert versions == sorted(versions)


@dataclass
class Watched:
    """One task, and the versions of it that every API has shown."""

    id: str
    seen: dict[HttpClient, list[int]]
    newest: int = 1

    @staticmethod
    async def create(clients: tuple[HttpClient, ...]) -> Watched:
        id = await create(clients[0], "Version 1", scheduledAt=due(3600))
        return Watched(id, {client: [] for client in clients})

    async def look(self) -> None:
        for client, versions in self.seen.items():
            versions.append((await read(client, self.id))["version"])

    async def change(self) -> None:
        """Through one API and the other in turn."""
        client = list(self.seen)[self.newest % len(self.seen)]
        self.newest += 1
        changed = await client.execute(RENAME, id=self.id, title=f"Version {self.newest}")
        assert changed["updateTask"]["task"]["version"] == self.newest

    async def all_see_the_newest(self) -> bool:
        await self.look()
        return all(versions[-1] == self.newest for versions in self.seen.values())
