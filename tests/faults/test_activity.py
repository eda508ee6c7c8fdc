"""What a task does is followed over every fault: no line is left out or comes twice, and the end is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.asking import WATCH_ACTIVITY, create, due, row_id, run
from tests.support.graphql_client import GraphQLSocket, Json, Stream, graphql_socket, http_client
from tests.support.installation import SHORT_LEASES, open_installation

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

LINES = 60
LOG = "query($id: ID!) { task(id: $id) { log(last: 200) { message } } }"
# Polls would bring what signals do: so rare they hide none that is lost.
SETTINGS = SHORT_LEASES | {"CARILLON_POLL_INTERVAL": "10"}


@pytest.mark.fault(32, "worker killed whose task is followed")
async def test_a_worker_killed_in_the_middle_leaves_no_gap_in_what_is_told(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    members = ("api", "worker", "worker", "scheduler", "relay")
    async with open_installation(postgres_server, migrated, tmp_path, *members, **SETTINGS) as installation:
        api = installation.api
        async with (
            http_client(api) as client,
            graphql_socket(api) as one,
            graphql_socket(api) as other,
        ):
            action = run("tell", lines=LINES, pause=0.05)
            id = await create(client, "Tells", action=action, scheduledAt=due(1))
            async with asyncio.TaskGroup() as group:
                followers = [group.create_task(followed(socket, id)) for socket in (one, other)]
                worker = await installation.worker_of(str(row_id(id)))
                async with one.subscribe(WATCH_ACTIVITY, id=id) as stream:
                    await some_lines(stream, 10)
                await installation.kill(worker)
            log = (await client.execute(LOG, id=id))["task"]["log"]
    for follower in followers:
        items = follower.result()
        lines = [item["message"] for item in items if "message" in item]
        assert lines == [line["message"] for line in log]
        assert lines[-LINES:] == [f"2: {number}" for number in range(1, LINES + 1)]
        lost = lines[:-LINES]
        assert lost == [f"1: {number}" for number in range(1, len(lost) + 1)]
        assert 10 <= len(lost) < LINES
        told = [item["kind"] for item in items if "kind" in item]
        assert told == ["QUEUED", "STARTED", "RESCUED", "QUEUED", "STARTED", "SUCCEEDED"]
        assert items[-1] == {**items[-1], "kind": "SUCCEEDED"}


async def followed(socket: GraphQLSocket, id: str) -> list[Json]:
    """All that is told of the task, to its end."""
    async with socket.subscribe(WATCH_ACTIVITY, id=id) as stream:
        return [item["taskActivity"] async for item in stream]


async def some_lines(stream: Stream, count: int) -> None:
    seen = 0
    while seen < count:
        seen += "message" in (await anext(stream))["taskActivity"]
