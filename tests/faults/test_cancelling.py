"""Cancelling what runs: at once when its handler listens, after the grace when it does not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.support.asking import (
    CANCEL,
    WATCH_TASK,
    attempts,
    create,
    due,
    kinds,
    read,
    row_id,
    run,
    until_finished,
    until_told,
)
from tests.support.graphql_client import HttpClient, graphql_socket, http_client
from tests.support.installation import Installation, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

GRACE = 2.0
DEAF_SECONDS = 8.0
SETTINGS = {
    # A heartbeat would bring it after ten seconds or so, and a poll after ten: only the signal is quicker.
    "CARILLON_HEARTBEAT": "10",
    "CARILLON_POLL_INTERVAL": "10",
    "CARILLON_CANCEL_GRACE": str(GRACE),
    "CARILLON_RESCUE_INTERVAL": "0.5",
}


@pytest.fixture(scope="module")
async def installation(
    postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("cancelling")
    members = ("api", "worker", "worker", "scheduler", "relay", "notifier")
    async with open_installation(postgres_server, migrated, folder, *members, **SETTINGS) as opened:
        yield opened


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[HttpClient]:
    async with http_client(installation.api) as client:
        yield client


async def test_a_handler_that_listens_is_stopped_at_once(
    installation: Installation, client: HttpClient
) -> None:
    id = await create(client, "Sleep", action=run("sleep", seconds=60), scheduledAt=due(0.5))
    async with graphql_socket(installation.api) as socket, socket.subscribe(WATCH_TASK, id=id) as events:
        heard: list[str] = []
        while "STARTED" not in heard:
            heard.append((await anext(events))["taskEvents"]["kind"])
        began = time.monotonic()
        cancelled = (await client.execute(CANCEL, id=id))["cancelTask"]
        assert cancelled["errors"] == []
        heard += [(await anext(events))["taskEvents"]["kind"] for _ in range(2)]
        assert time.monotonic() - began < GRACE, "or it was forced"
    # That it was created may have been published before or after it was followed.
    assert heard[-4:] == ["QUEUED", "STARTED", "UPDATED", "CANCELLED"]
    task = await until_told(client, id)
    assert attempts(task) == [(1, "CANCELLED")]
    assert kinds(task) == ["TASK_CANCELLED"]


@pytest.mark.parametrize("handler", ["swallow_cancellation", "never_look", "block_the_loop"])
async def test_a_deaf_one_is_left_behind_after_the_grace_and_its_result_refused(
    installation: Installation, client: HttpClient, handler: str
) -> None:
    id = await create(client, "Deaf", action=run(handler, seconds=DEAF_SECONDS))
    await until(lambda: bool(installation.ledger.noted("started", row_id(id))), 30)
    began = time.monotonic()
    await client.execute(CANCEL, id=id)
    task = await until_finished(client, id, 30)
    assert GRACE * 0.9 < time.monotonic() - began < DEAF_SECONDS - 0.5
    assert installation.ledger.noted("ended", row_id(id)) == []
    assert (task["state"], attempts(task)) == ("CANCELLED", [(1, "CANCELLED")])
    await until(lambda: bool(installation.ledger.noted("ended", row_id(id))), 30)
    done = await until_told(client, await create(client, "Next", action=run("work", seconds=0)), 30)
    assert attempts(done) == [(1, "SUCCEEDED")]
    after = await read(client, id)
    assert (after["state"], after["version"], after["result"]) == ("CANCELLED", task["version"], None)
    assert kinds(after) == ["TASK_CANCELLED"]
