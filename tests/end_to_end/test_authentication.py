"""End users of a frontend call a whole Carillon: each meets what is theirs, live too, and no log tells how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.asking import create
from tests.support.graphql_client import (
    DEADLINE,
    GraphQLErrors,
    HttpClient,
    Json,
    Stream,
    graphql_socket,
    http_client,
)
from tests.support.installation import KINDS, open_installation
from tests.support.jwts import AUDIENCE, ISSUER, Issuer

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

EVENTS = "subscription { taskEvents { kind task { id owner } } }"
NOTIFICATIONS = "subscription { notifications { title owner task { id } } }"
CHANGE = "mutation($id: ID!) { cancelTask(input: {id: $id}) { errors { code } } }"
FIND = "query($id: ID!) { task(id: $id) { id } node(id: $id) { id } tasks { totalCount nodes { id } } }"


async def test_each_meets_what_is_theirs_and_no_log_holds_a_credential(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    issuer, key_set = Issuer(), tmp_path / "keys.json"
    key_set.write_bytes(issuer.key_set)
    settings = {
        "CARILLON_AUTHENTICATION": "required",
        "CARILLON_JWT_KEY_SET": str(key_set),
        "CARILLON_JWT_ISSUER": ISSUER,
        "CARILLON_JWT_AUDIENCE": AUDIENCE,
        "CARILLON_JWT_ROLE": "EDITOR",
        "CARILLON_LOG_LEVEL": "debug",
    }
    async with open_installation(postgres_server, migrated, tmp_path, *KINDS, **settings) as installation:
        tokens = {
            "alice": issuer.sign(),
            "bob": await installation.token("--role", "editor", "--owner", "bob"),
            "admin": await installation.token("--role", "admin"),
        }
        async with (
            following(installation.api, tokens["alice"]) as (events, notifications),
            bearing(installation.api, tokens["alice"]) as alice,
            bearing(installation.api, tokens["bob"]) as bob,
            bearing(installation.api, tokens["admin"]) as admin,
        ):
            theirs = await create(bob, "Bob's")
            await create(admin, "Everyone's")
            mine = await create(alice, "Alice's")
            told = await anext(notifications)
            assert told == {"notifications": {"title": "Alice's", "owner": "alice", "task": {"id": mine}}}
            heard = [event["taskEvents"] for event in await until_succeeded(events)]
            assert {event["task"]["id"] for event in heard} == {mine}

            found = await alice.execute(FIND, id=theirs)
            assert found == {
                "task": None,
                "node": None,
                "tasks": {"totalCount": 1, "nodes": [{"id": mine}]},
            }
            assert (await alice.execute(CHANGE, id=theirs))["cancelTask"]["errors"] == [{"code": "NOT_FOUND"}]
            assert (await admin.execute(FIND, id=theirs))["tasks"]["totalCount"] == 3
            with pytest.raises(GraphQLErrors) as refused:
                await alice.execute("{ queues { name } }")
            assert refused.value.codes == ["FORBIDDEN"]
        async with http_client(installation.api) as stranger:
            answer = await stranger.post(
                "{ viewer { tenant } }", {"authorization": f"Bearer {issuer.sign(exp=1)}"}
            )
            assert answer.status_code == 401
        await installation.quiet()
        async with httpx2.AsyncClient(trust_env=False) as http:
            figures = (await http.get(f"{installation.api}/metrics")).text
        said = installation.said()
        assert '"level": "debug"' in said, "it is looked for where it would be"
        for name, credential in tokens.items():
            secret = credential.rpartition(".")[2] if name == "alice" else credential.rpartition("_")[2]
            assert secret not in said, name
            assert secret not in figures, name


@asynccontextmanager
async def bearing(address: str, credential: str) -> AsyncIterator[HttpClient]:
    headers = {"authorization": f"Bearer {credential}"}
    async with httpx2.AsyncClient(base_url=address, timeout=DEADLINE, headers=headers) as http:
        yield HttpClient(http)


@asynccontextmanager
async def following(address: str, credential: str) -> AsyncIterator[tuple[Stream, Stream]]:
    """The events and the notifications that its bearer is told."""
    async with (
        graphql_socket(address, {"authorization": f"Bearer {credential}"}) as socket,
        socket.subscribe(EVENTS) as events,
        socket.subscribe(NOTIFICATIONS) as notifications,
    ):
        await socket.execute("{ viewer { tenant } }")
        yield events, notifications


async def until_succeeded(events: Stream) -> list[Json]:
    heard: list[Json] = []
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            heard.append(event)
            if event["taskEvents"]["kind"] == "SUCCEEDED":
                break
    return heard
