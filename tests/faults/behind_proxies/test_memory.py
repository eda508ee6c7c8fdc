"""PostgreSQL gone while clients go on: the memory of each process is bounded, and it serves on."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from tests.faults.behind_proxies.conftest import RETURN_SECONDS, Behind
from tests.support.asking import CREATE, READ, create, create_many, due, latest_cursor, run, until_told
from tests.support.following import Follower
from tests.support.graphql_client import GraphQLErrors, HttpClient, SocketClosed, graphql_socket
from tests.support.history import all_tasks, check_each_was_done_once
from tests.support.memory import SLACK, resident
from tests.support.tcp_proxy import lose
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

VIEWER = "{ viewer { tenant } }"
ASKING = 8
"""Clients that go on."""
RUNNING, WAITING = 20, 30


@pytest.mark.fault(45, "PostgreSQL away for so many seconds while clients go on")
@pytest.mark.parametrize("seconds", [8, pytest.param(300, marks=pytest.mark.long)])
async def test_no_process_grows_while_postgresql_is_away(behind: Behind, seconds: float) -> None:
    installation, client = behind.installation, behind.clients[0]
    queue, refused = f"memory-{seconds}", 0
    follower = Follower(after=await latest_cursor(client))
    async with follower.at(installation.api):
        working = [a_task(queue, seconds=1.5) for _ in range(RUNNING)]
        waiting = [a_task(queue, seconds=0.1, at=due(1 + number / 10)) for number in range(WAITING)]
        ids = await create_many(client, working + waiting)
        await lose(behind.proxies.postgres, "refuse")
        stop = asyncio.Event()

        async def insist(api: HttpClient) -> None:
            """A task, a list, and a subscription, again and again."""
            nonlocal refused
            while not stop.is_set():
                for query, variables in (
                    (CREATE, {"input": {"title": "Not now", "queue": queue}}),
                    (READ, {"id": ids[-1]}),
                    ("{ tasks(first: 5) { nodes { id } } }", {}),
                ):
                    body = (await api.post(query, **variables)).json()
                    refused += "errors" in body
                with suppress(GraphQLErrors, SocketClosed, TimeoutError):
                    async with (
                        graphql_socket(str(api.http.base_url).rstrip("/")) as socket,
                        socket.subscribe("subscription { taskEvents { id } }"),
                    ):
                        await socket.execute(VIEWER)

        insisting = [asyncio.create_task(insist(behind.clients[n % 2])) for n in range(ASKING)]
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > seconds / 2, seconds)
        half = {member.pid: resident(member.pid) for member in installation.members}
        await until(lambda: time.monotonic() - began > seconds, seconds)
        grown = {pid: resident(pid) - before for pid, before in half.items()}
        stop.set()
        await asyncio.gather(*insisting)
        told = [(member.kind, half[member.pid], grown[member.pid]) for member in installation.members]
        print(f"{refused} refused; {told}")
        assert refused > ASKING
        assert max(grown.values()) < SLACK, told
        await behind.proxies.postgres.accept()
        await until(lambda: len(follower.heard) >= len(ids), RETURN_SECONDS + 30)
        await installation.quiet()
    tasks = await all_tasks(client, queue)
    assert {task["id"] for task in tasks} >= set(ids)
    check_each_was_done_once(tasks, installation.ledger)
    assert (await until_told(client, await create(client, "After"), 10))["state"] == "SUCCEEDED"


def a_task(queue: str, *, seconds: float, at: str | None = None) -> dict[str, object]:
    return {"title": "Work", "queue": queue, "action": run("work", seconds=seconds), "scheduledAt": at}
