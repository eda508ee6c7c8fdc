"""RabbitMQ gone: what is asked for is stored all the same, and done and told once when it is back."""

from __future__ import annotations

import time

import pytest

from domain.live.ports import Resync
from tests.faults.behind_proxies.conftest import Behind
from tests.support.asking import WATCH_QUEUE, create, due, latest_cursor, run
from tests.support.following import Follower
from tests.support.graphql_client import GraphQLErrors, HttpClient, Stream, graphql_socket
from tests.support.history import all_tasks, check_each_was_done_once
from tests.support.installation import Installation
from tests.support.tcp_proxy import lose
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

LIMIT = 2.0
"""Seconds a mutation may take."""
EACH = 12
RETURN_SECONDS = 30.0


@pytest.mark.fault(11, "RabbitMQ away")
@pytest.mark.parametrize("how", ["refuse", "hang"])
async def test_mutations_succeed_and_everything_that_waited_is_done_and_told_once(
    behind: Behind, how: str
) -> None:
    installation, client = behind.installation, behind.clients[0]
    first, second = (member.address for member in installation.of("api"))
    queue = f"rabbit-{how}"
    follower = Follower(after=await latest_cursor(client))
    async with (
        follower.at(first),
        graphql_socket(second) as socket,
        socket.subscribe(WATCH_QUEUE, queue=queue) as events,
    ):
        ids = await make(client, queue)
        await lose(behind.proxies.rabbit, how)
        ids += await make(client, queue)
        await until(lambda: is_degraded(behind), 10)
        ids += await make(client, queue)
        assert (await behind.readiness())[1]["checks"]["rabbitmq"]["status"] == "down"
        await behind.proxies.rabbit.accept()
        await until(lambda: len(follower.heard) >= len(ids), RETURN_SECONDS)
        await installation.quiet()
        assert await until_the_end_of(events, len(ids)) in {Resync.code, "all heard"}
    tasks = await all_tasks(client, queue)
    assert sorted(task["id"] for task in tasks) == sorted(ids)
    check_each_was_done_once(tasks, installation.ledger)
    assert sorted(one["task"]["id"] for one in follower.heard) == sorted(ids)
    assert await is_gap_free(installation)


async def test_subscribers_hear_live_events_again(behind: Behind) -> None:
    await behind.proxies.rabbit.refuse()
    await until(lambda: is_degraded(behind), 10)
    await behind.proxies.rabbit.accept()
    await behind.until_ready()
    queue = "rabbit-live"
    for member in behind.installation.of("api"):
        async with (
            graphql_socket(member.address) as socket,
            socket.subscribe(WATCH_QUEUE, queue=queue) as events,
        ):
            await socket.execute("{ viewer { tenant } }")
            id = await create(behind.clients[0], "Live again", queue=queue)
            heard = [(await anext(events))["taskEvents"] for _ in range(4)]
        assert [event["kind"] for event in heard] == ["CREATED", "QUEUED", "STARTED", "SUCCEEDED"]
        assert {event["task"]["id"] for event in heard} == {id}


@pytest.mark.fault(11, "connections to RabbitMQ cut")
async def test_connections_that_are_cut_again_and_again_lose_and_double_nothing(behind: Behind) -> None:
    installation, client, queue = behind.installation, behind.clients[0], "rabbit-cuts"
    follower = Follower(after=await latest_cursor(client))
    async with follower.at(installation.api):
        ids: list[str] = []
        for _ in range(5):
            ids += await make(client, queue)
            behind.proxies.rabbit.cut()
        await until(lambda: len(follower.heard) >= len(ids), RETURN_SECONDS)
        await installation.quiet()
    tasks = await all_tasks(client, queue)
    check_each_was_done_once(tasks, installation.ledger)
    assert sorted(one["task"]["id"] for one in follower.heard) == sorted(ids)
    assert await is_gap_free(installation)


async def make(client: HttpClient, queue: str) -> list[str]:
    """Tasks due now and soon, each stored in time."""
    ids = []
    for number in range(EACH):
        began = time.monotonic()
        ids.append(
            await create(
                client,
                f"Task {number}",
                queue=queue,
                action=run("work", seconds=0.1),
                scheduledAt=due(number % 4 * 0.2),
            )
        )
        assert time.monotonic() - began < LIMIT
    return ids


async def is_degraded(behind: Behind) -> bool:
    status, said = await behind.readiness()
    return status == 200 and said["status"] == "degraded"


async def until_the_end_of(events: Stream, tasks: int) -> str:
    """A watcher hears of every end, or why it does not."""
    ended = 0
    while ended < tasks:
        try:
            event = (await anext(events))["taskEvents"]
        except GraphQLErrors as errors:
            return ",".join(map(str, errors.codes))
        ended += event["kind"] == "SUCCEEDED"
    return "all heard"


async def is_gap_free(installation: Installation) -> bool:
    rows = await installation.database.fetch("select seq from notifications order by seq")
    return [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
