"""What is secret in a webhook reaches its receiver, and no row, event, cache, log, figure or answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis.asyncio
from standardwebhooks import Webhook, WebhookVerificationError

from infra.encryption.keys import new_key
from tests.support.asking import WATCH_QUEUE, create, read, until_finished
from tests.support.graphql_client import HttpClient, Json, graphql_socket, http_client
from tests.support.installation import KINDS, Installation, open_installation
from tests.support.services import REDIS
from tests.support.waiting import until
from tests.support.webhook_receiver import Received, Receiver, receiving, status

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

TOKEN = "tok-5ecret-0f-the-tests"
SETTINGS = {
    "CARILLON_HTTP_ALLOW_INSECURE": "true",
    "CARILLON_HTTP_ALLOWED_NETWORKS": "127.0.0.1/32",
    "CARILLON_LOG_LEVEL": "debug",
}
MAKE = """mutation($origin: String) { createWebhookSecret(input: {origin: $origin}) {
  secret webhookSecret { id prefix } errors { message } } }"""
ROTATE = """mutation($id: ID!) { rotateWebhookSecret(input: {id: $id}) {
  secret webhookSecret { id prefix } errors { message } } }"""
SEE = """query($id: ID!) { webhookSecrets { id prefix }
  task(id: $id) { result error { message } action { http { url headers body } }
    attempts { nodes { error { message } } } notifications { nodes { title body } } } }"""


async def test_secrets_are_told_to_receivers_alone(postgres_server: str, migrated: str, tmp_path: Path) -> None:
    settings = SETTINGS | {"CARILLON_ENCRYPTION_KEYS": new_key("first")}
    async with (
        open_installation(postgres_server, migrated, tmp_path, *KINDS, **settings) as installation,
        receiving(_fail_once_then_echo()) as receiver,
        http_client(installation.api) as client,
    ):
        old = await _changed(client, MAKE, "createWebhookSecret", origin=f"http://127.0.0.1:{receiver.port}")
        heard, id = await _sent(client, installation.api, receiver)
        first, second = receiver.received
        assert [one.header("authorization") for one in (first, second)] == [f"Bearer {TOKEN}"] * 2
        assert _signed(first, old["secret"])

        new = await _changed(client, ROTATE, "rotateWebhookSecret", id=old["webhookSecret"]["id"])
        await until(lambda: _signed_by_both(client, receiver, old["secret"], new["secret"]), 20)

        seen = await client.execute(SEE, id=id)
        assert seen["task"]["action"]["http"]["headers"] == {"Authorization": "[redacted]", "X-Kind": "t"}
        assert seen["task"]["result"]["body"] == "Bearer [redacted]"
        assert len(seen["webhookSecrets"]) == 2
        await installation.quiet()
        key = settings["CARILLON_ENCRYPTION_KEYS"].partition(":")[2]
        hidden = [TOKEN, key, *(secret["secret"].removeprefix("whsec_")[4:] for secret in (old, new))]
        places = {
            "answers": json.dumps([seen, heard, await read(client, id)]),
            "rows": await _rows(installation),
            "cache": await _cache(installation),
            "figures": await _figures(installation),
            "logs": installation.said(),
        }
        assert "Tell the shop" in places["cache"], "it is looked for where it would be"
        for place, text in places.items():
            assert text, place
            assert not [secret for secret in hidden if secret in text], place


def _fail_once_then_echo() -> Any:
    echo = f"HTTP/1.1 200 OK\r\nContent-Length: {len(TOKEN) + 7}\r\n\r\nBearer {TOKEN}".encode()
    answers = [status("503 Service Unavailable"), echo]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0) if answers else status("200 OK"))
        await writer.drain()

    return answer


async def _changed(client: HttpClient, mutation: str, name: str, **variables: Any) -> Json:
    payload: Json = (await client.execute(mutation, **variables))[name]
    assert payload["errors"] == []
    return payload


async def _sent(client: HttpClient, api: str, receiver: Receiver) -> tuple[list[Json], str]:
    """Every event of a task that calls the receiver, and its id."""
    http = {"http": {"url": receiver.url, "headers": {"Authorization": f"Bearer {TOKEN}", "X-Kind": "t"}}}
    heard: list[Json] = []
    async with graphql_socket(api) as socket, socket.subscribe(WATCH_QUEUE, queue="secret") as events:
        await socket.execute("{ viewer { tenant } }")
        retry = {"backoff": "FIXED", "base": "PT0.1S"}
        id = await create(client, "Tell the shop", queue="secret", action=http, retry=retry)
        async for event in events:
            heard.append(event)
            if event["taskEvents"]["kind"] == "SUCCEEDED":
                break
    return heard, id


async def _signed_by_both(client: HttpClient, receiver: Receiver, *secrets: str) -> bool:
    id = await create(client, "Again", action={"http": {"url": receiver.url}})
    await until_finished(client, id)
    return all(_signed(receiver.received[-1], secret) for secret in secrets)


def _signed(request: Received, secret: str) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


async def _rows(installation: Installation) -> str:
    """Every row of every table."""
    tables = await installation.database.fetch(
        "select table_name from information_schema.tables where table_schema = 'public'"
    )
    rows = [
        await installation.database.fetch(f'select to_jsonb(t)::text from "{table[0]}" as t')
        for table in tables
    ]
    return "\n".join(row[0] for of_table in rows for row in of_table)


async def _cache(installation: Installation) -> str:
    async with redis.asyncio.from_url(REDIS.url) as cache:
        kept = []
        async for name in cache.scan_iter(match=f"{installation.namespace}*", count=1_000):
            values = await cache.hgetall(name) if await cache.type(name) == b"hash" else await cache.get(name)
            kept.append(f"{name!r} {values!r}")
    return "\n".join(kept)


async def _figures(installation: Installation) -> str:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return (await http.get(f"{installation.api}/metrics")).text
