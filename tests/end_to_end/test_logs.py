"""A full run of what holds secrets and payloads, at the level that tells most: no log and no span tells any."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infra.encryption.keys import new_key
from tests.support.asking import CREATE, create, run, until_finished
from tests.support.collector import collecting
from tests.support.graphql_client import DEADLINE, HttpClient, Json, graphql_socket
from tests.support.installation import KINDS, PASSWORD, Installation, open_installation
from tests.support.jwts import AUDIENCE, ISSUER, Issuer
from tests.support.webhook_receiver import SECRET, receiving

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

CARD, COOKIE, ANSWER, BROKEN = "4111-1111-1111", "cookie-0f-the-tests", "answer-0f-the-tests", "br0ken-document"
COLLECTOR = "c0llectors-password"
ORIGIN = """mutation($origin: String) { createWebhookSecret(input: {origin: $origin}) {
  secret webhookSecret { id } errors { message } } }"""
WATCH = "subscription { notifications { title body } }"


async def test_no_log_and_no_span_holds_a_secret_or_a_payload(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    issuer, key_set, key = Issuer(), tmp_path / "keys.json", new_key("first")
    key_set.write_bytes(issuer.key_set)
    async with collecting() as collector, receiving(_answer(ANSWER)) as receiver:
        settings = {
            "CARILLON_LOG_LEVEL": "debug",
            "CARILLON_LOG_REQUESTS": "1",
            "CARILLON_OTLP_ENDPOINT": collector.url.replace("//", f"//someone:{COLLECTOR}@"),
            "CARILLON_TRACE_SAMPLE_RATIO": "1",
            "CARILLON_AUTHENTICATION": "required",
            "CARILLON_JWT_KEY_SET": str(key_set),
            "CARILLON_JWT_ISSUER": ISSUER,
            "CARILLON_JWT_AUDIENCE": AUDIENCE,
            "CARILLON_JWT_ROLE": "ADMIN",
            "CARILLON_JWT_OWNER_CLAIM": "",
            "CARILLON_ENCRYPTION_KEYS": key,
            "CARILLON_WEBHOOK_SECRET": SECRET,
            "CARILLON_HTTP_ALLOW_INSECURE": "true",
            "CARILLON_HTTP_ALLOWED_NETWORKS": "127.0.0.1/32",
        }
        async with open_installation(postgres_server, migrated, tmp_path, *KINDS, **settings) as installation:
            jwt, token = issuer.sign(), await installation.token("--role", "admin")
            async with bearing(installation, jwt) as client, bearing(installation, token) as other:
                made = await client.execute(ORIGIN, origin=f"http://127.0.0.1:{receiver.port}")
                await act(client, installation, jwt, f"{receiver.url}?card={CARD}")
                await act(other, installation, token, f"{receiver.url}?card={CARD}")
            await refused(installation, issuer.sign(exp=1), token)
            await installation.quiet()
        said = installation.said()
        assert [one.header("authorization") for one in receiver.received] == [f"Bearer {COOKIE}"] * 2
    secrets = {
        "a payload": CARD,
        "a header": COOKIE,
        "an answer": ANSWER,
        "a document": BROKEN,
        "a password": PASSWORD,
        "the collector's": COLLECTOR,
        "a JWT": jwt.rpartition(".")[2],
        "a token": token.rpartition("_")[2],
        "a key": key.partition(":")[2],
        "the secret of all": SECRET.removeprefix("whsec_"),
        "the secret of an origin": made["createWebhookSecret"]["secret"].removeprefix("whsec_"),
    }
    told = b"".join(collector.bodies).decode(errors="replace")
    for name, secret in secrets.items():
        assert [line for line in said.splitlines() if secret in line] == [], name
        assert secret not in told, name
    events = {line.get("event") for line in map(json.loads, filter(None, said.splitlines()))}
    assert {"sql", "a request", "a handler raised", "an attempt ended", "notified", "published"} <= events
    assert {"createTask", "attempt", "POST", "notify", "deliver"} <= {span.name for span in collector.spans}


async def act(client: HttpClient, installation: Installation, credential: str, url: str) -> None:
    """One of everything that a caller's own words go through."""
    headers = {"authorization": f"Bearer {COOKIE}", "cookie": COOKIE, "x-card": CARD}
    actions: list[Json] = [
        {"http": {"url": url, "headers": headers, "body": {"card": CARD}}},
        run("spill", card=CARD, how="return"),
        run("spill", card=CARD, how="raise"),
        {"notify": {"body": CARD}},
    ]
    async with (
        graphql_socket(installation.api, {"authorization": f"Bearer {credential}"}) as socket,
        socket.subscribe(WATCH) as told,
    ):
        await socket.execute("{ viewer { tenant } }")
        once: Any = {"retry": {"maxAttempts": 1}}
        tasks = [await create(client, f"Task of {CARD}", action=action, **once) for action in actions]
        states = [(await until_finished(client, task))["state"] for task in tasks]
        assert states == ["SUCCEEDED", "SUCCEEDED", "FAILED", "SUCCEEDED"]
        await anext(told)
    wrong = {"title": CARD, "action": run("spill", card=[CARD], how=CARD)}
    assert (await client.execute(CREATE, input=wrong))["createTask"]["errors"]
    assert (await client.execute(CREATE, input={"title": CARD * 1_000}))["createTask"]["errors"]


async def refused(installation: Installation, expired: str, token: str) -> None:
    """What cannot be read, and who is not let in."""
    async with httpx2.AsyncClient(base_url=installation.api, timeout=DEADLINE) as http:
        for credential in (expired, f"{token[:-1]}x"):
            headers = {"authorization": f"Bearer {credential}", "cookie": COOKIE}
            answer = await http.post("/graphql", json={"query": f"{{ {CARD} }}"}, headers=headers)
            assert answer.status_code == 401
        headers = {"authorization": f"Bearer {token}", "cookie": COOKIE}
        for body in (f'{{"query": "{BROKEN}', json.dumps({"query": f"{{ {BROKEN}"})):
            await http.post("/graphql", content=body, headers=headers | {"content-type": "application/json"})
        await http.get(f"/graphql?query={{{BROKEN}}}&token={token}", headers=headers)


def _answer(body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@asynccontextmanager
async def bearing(installation: Installation, credential: str) -> AsyncIterator[HttpClient]:
    headers = {"authorization": f"Bearer {credential}", "cookie": COOKIE}
    async with httpx2.AsyncClient(base_url=installation.api, timeout=DEADLINE, headers=headers) as http:
        yield HttpClient(http)
