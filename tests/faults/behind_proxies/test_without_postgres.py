"""PostgreSQL gone: that is said clearly and in time, and when it is back all goes on without a restart."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx2
import pytest

from tests.faults.behind_proxies.conftest import Behind
from tests.support.asking import CREATE, READ, create, create_many, due, latest_cursor, run, until_told
from tests.support.following import Follower
from tests.support.graphql_client import GraphQLErrors, HttpClient, Json, graphql_socket
from tests.support.history import all_tasks, check_each_was_done_once
from tests.support.tcp_proxy import lose
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

LIMIT = 2.0
"""Seconds until a client is told."""
SLACK = 1.0
"""And what a busy machine adds."""
RUNNING = 10
WAITING = 20
RETURN_SECONDS = 30.0
CUTS, AT_ONCE = 15, 4
FAILURES = 5
"""After which reads are refused at once."""


@pytest.mark.fault(7, "PostgreSQL away for 10 s; leases of 3 s")
@pytest.mark.parametrize("how", ["refuse", "hang"])
async def test_clients_are_told_in_time_and_all_goes_on_when_it_is_back(behind: Behind, how: str) -> None:
    installation, client = behind.installation, behind.clients[0]
    queue = f"postgres-{how}"
    follower = Follower(after=await latest_cursor(client))
    leases_lost = installation.said().count("the lease is lost")
    async with follower.at(installation.api), graphql_socket(installation.api) as socket:
        working = [a_task(queue, seconds=1.5) for _ in range(RUNNING)]
        waiting = [a_task(queue, seconds=0.1, at=due(1 + number / 10)) for number in range(WAITING)]
        ids = await create_many(client, working + waiting)
        await until(lambda: len(installation.ledger.noted("started")) >= RUNNING, 10)
        await lose(behind.proxies.postgres, how)
        for api in behind.clients:
            await is_unavailable(api, READ, id=ids[-1])
            await is_unavailable(api, "{ tasks(first: 5) { nodes { id } } }")
            await is_unavailable(api, CREATE, input={"title": "Not now"})
        began = time.monotonic()
        with pytest.raises(GraphQLErrors) as refused:
            await socket.execute(CREATE, input={"title": "Nor here"})
        assert refused.value.codes == ["UNAVAILABLE"]
        assert time.monotonic() - began < LIMIT + SLACK
        began = time.monotonic()
        status, said = await behind.readiness()
        assert time.monotonic() - began < LIMIT + SLACK
        assert (status, said["status"]) == (503, "unready")
        assert {name: check["status"] for name, check in said["checks"].items()} == {
            "postgres": "down",
            "redis": "up",
            "rabbitmq": "up",
        }
        await asyncio.gather(*(client.post(READ, id=ids[-1]) for _ in range(FAILURES)))
        began = time.monotonic()
        for _ in range(FAILURES):
            await is_unavailable(client, READ, id=ids[-1])
        assert time.monotonic() - began < LIMIT + SLACK, "together, though one of them may be the trial"
        assert (await behind.readiness())[1]["breakers"]["postgres"] != "closed"
        # Long enough for what runs to be lost: its workers must stop it by themselves.
        await until(lambda: installation.said().count("the lease is lost") >= leases_lost + 2, 15)
        await behind.proxies.postgres.accept()
        await until(lambda: len(follower.heard) >= len(ids), RETURN_SECONDS)
        await installation.quiet()
    tasks = await all_tasks(client, queue)
    assert sorted(task["id"] for task in tasks) == sorted(ids)
    check_each_was_done_once(tasks, installation.ledger)
    assert sorted(one["task"]["id"] for one in follower.heard) == sorted(ids)
    assert (await until_told(client, await create(client, "After"), 5))["state"] == "SUCCEEDED"


@pytest.mark.fault(9, "connections to PostgreSQL cut under creations with keys")
async def test_what_is_asked_for_again_with_its_key_is_made_once(behind: Behind) -> None:
    """An answer lost with its connection leaves the caller in doubt: the key takes the doubt away."""
    queue, ids, asked = "postgres-cuts", list[str](), 0

    async def insist(key: str) -> None:
        nonlocal asked
        task = {"title": "Once", "key": key, "queue": queue, "action": run("work", seconds=0)}
        while True:
            asked += 1
            body = (await behind.clients[0].post(CREATE, input=task)).json()
            if "errors" not in body:
                ids.append(body["data"]["createTask"]["task"]["id"])
                return
            assert {error["extensions"]["code"] for error in body["errors"]} == {"UNAVAILABLE"}

    for turn in range(CUTS):
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(insist(f"order-{turn}-{number}"))
            await asyncio.sleep(0.001 * turn)  # each turn hits another moment of their way
            behind.proxies.postgres.cut()
    assert len(set(ids)) == CUTS * AT_ONCE < asked
    for id in ids:
        await until_told(behind.clients[0], id, RETURN_SECONDS)
    tasks = await all_tasks(behind.clients[1], queue)
    assert sorted(task["id"] for task in tasks) == sorted(ids)
    check_each_was_done_once(tasks, behind.installation.ledger)


def a_task(queue: str, *, seconds: float, at: str | None = None) -> Json:
    return {"title": "Work", "queue": queue, "action": run("work", seconds=seconds), "scheduledAt": at}


async def is_unavailable(client: HttpClient, query: str, **variables: Any) -> None:
    """And is told so in time, in a way that tells a client to try again."""
    began = time.monotonic()
    answer = await client.post(query, **variables)
    assert time.monotonic() - began < LIMIT + SLACK
    assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    assert int(answer.headers["retry-after"]) > 0
    for error in answer.json()["errors"]:
        assert error["extensions"] == {"code": "UNAVAILABLE", "retryable": True, "retryAfter": 1}
