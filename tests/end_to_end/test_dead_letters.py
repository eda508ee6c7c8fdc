"""An event that the notifier cannot store: set aside, seen by its tenant, replayed, and purged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aio_pika
import httpx2
import pytest

from infra.rabbit.event_wire import failed_message
from tests.support.asking import create, until_finished
from tests.support.buses import an_event
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import KINDS, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

POISON = "Poison \0"
"""PostgreSQL keeps no such character."""
LIST = "{ deadLetters { nodes { id of what body } } }"
REPLAY = "mutation($ids: [ID!]!) { replayDeadLetters(ids: $ids) { count errors { code } } }"
PURGE = "mutation($ids: [ID!]!) { purgeDeadLetters(ids: $ids) { count errors { code } } }"


async def listed(client: HttpClient) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = (await client.execute(LIST))["deadLetters"]["nodes"]
    return letters


async def test_poison_is_set_aside_seen_replayed_and_purged(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    async with (
        open_installation(postgres_server, migrated, tmp_path, *KINDS, CARILLON_TENANT="acme") as installation,
        http_client(installation.api) as client,
    ):
        async with await aio_pika.connect(installation.environment["CARILLON_AMQP_URL"]) as connection:
            channel = await connection.channel()
            for event in (an_event(title=POISON), an_event(title=POISON, tenant="other")):
                queue = f"{installation.namespace}.notifier"
                await channel.default_exchange.publish(failed_message(event, 0), queue)

        async def set_aside() -> bool:
            return [letter["body"]["tenant"] for letter in await listed(client)] == ["acme"]

        await until(set_aside, 20)
        [letter] = await listed(client)
        assert (letter["of"], letter["body"]["title"]) == ("notifier", POISON)
        await until_finished(client, await create(client, "Others go on"))

        ids = [letter["id"]]
        assert (await client.execute(REPLAY, ids=ids))["replayDeadLetters"]["count"] == 1
        await until(set_aside, 20)  # it is still poison
        assert (await client.execute(PURGE, ids=ids))["purgeDeadLetters"]["count"] == 1
        assert await listed(client) == []

        said = await installation.command("dead-letters", "list")
        assert [line.split("\t")[1] for line in said.splitlines() if "notifier:" in line] == ["other"]
        async with httpx2.AsyncClient() as http:
            figures = (await http.get(f"{installation.api}/metrics")).text
        for how in ("replayed", "purged"):
            assert f'carillon_dead_letters_{how}_total{{of="notifier"}} 1.0' in figures
