"""Whatever breaks, no byte that is sent tells of our inside: no trace, no SQL, no name of a file or server."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.main import create_app
from domain.tenancy.ports import Identified
from infra.bootstrap import open_api_services
from infra.postgres.tenants import ROLE
from infra.settings import Settings
from schema.ids import task_id
from schema.paging import stream_cursor
from tests.support import wire
from tests.support.callers import Tokens
from tests.support.processes import ROOT, free_port
from tests.support.services import RABBIT, REDIS
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.storage import Storage, a_draft, a_task

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

SECRET = "hunter2"
INSIDE = re.compile(
    "|".join(
        [
            SECRET,
            r"Traceback|\.py\b|site-packages|line \d+, in|0x[0-9a-f]{6,}",
            r"(?<!\bUser)[A-Za-z_]Error\b|Exception\b",
            r"\b(select|insert into|delete from|update \w+ set)\b|permission denied",
            r"relation \W|column \W|violates",
            r"asyncpg|aiormq|aio_pika|redis\.|sqlalchemy|strawberry|starlette|uvicorn|pydantic",
            ROLE,
            *map(re.escape, (str(ROOT), sys.prefix, "postgresql://", ":5432", ":6379", ":5672", "amqp://")),
        ]
    ),
    re.IGNORECASE,
)
TASK = task_id(a_task().id)
QUERIES = [
    "{ tasks { totalCount nodes { id title attempts(first: 3) { nodes { state } } log { message } } } }",
    f'{{ task(id: "{TASK}") {{ title }} }}',
    f'{{ node(id: "{TASK}") {{ id }} }}',
    "{ schedules { nodes { id } } }",
    "{ notifications { unreadCount nodes { title task { title } } } }",
    "{ queues { name depth } }",
    "{ webhookSecrets { id } }",
    "{ auditLog { nodes { operation } } }",
    'mutation { createTask(input: { title: "A" }) { task { id } errors { message } } }',
    'mutation { createTasks(input: { tasks: [{ title: "A" }] }) { tasks { id } errors { message } } }',
    f'mutation {{ cancelTask(input: {{ id: "{TASK}" }}) {{ errors {{ message }} }} }}',
    'mutation { cancelTasks(input: { filter: { owner: "x" } }) { count errors { message } } }',
    """mutation { createSchedule(input: {
        name: "A", recurrence: { cron: "0 9 * * *" }, task: { title: "A" } }) { errors { message } } }""",
    f'mutation {{ markNotificationsRead(input: {{ upTo: "{stream_cursor(9)}" }}) {{ count }} }}',
    'mutation { pauseQueue(name: "x") { errors { message } } }',
]
SUBSCRIPTIONS = [
    "subscription { notifications { title } }",
    f'subscription {{ notifications(after: "{stream_cursor(0)}") {{ title task {{ title }} }} }}',
    f'subscription {{ taskEvents(taskId: "{TASK}") {{ id }} }}',
    f'subscription {{ taskActivity(taskId: "{TASK}") {{ __typename }} }}',
    'subscription { queueStats(interval: "PT1S") { name } }',
]
BOOM = f"""
create function boom() returns boolean language plpgsql as $$
begin raise exception 'the password is {SECRET}: select title from tasks'; end $$
"""
BROKEN = {
    "refused": f"revoke all on all tables in schema public from {ROLE}",
    "renamed": "alter table tasks rename title to gone; alter table notifications rename title to gone;"
    "alter table audit_log rename at to gone",
    "dropped": "drop table tasks, notifications, notification_streams, schedules, queues, audit_log cascade",
    "raising": BOOM
    + "".join(
        f";create policy boom on {table} as restrictive to {ROLE} using (boom()) with check (boom())"
        for table in ("tasks", "notifications", "notification_streams", "schedules", "queues", "audit_log")
    ),
}
NOT_READY = "not migrated, or too little is granted: carillon migrate"
READINESS = {"refused": NOT_READY, "dropped": NOT_READY}
"""What it says of PostgreSQL: it asks for no column, and for the rows of nobody."""
UNAVAILABLE, INTERNAL = b'"code":"UNAVAILABLE"', b'"code":"INTERNAL"'


PREFLIGHT = "graphql-require-preflight: 1"


def payloads(*queries: str) -> list[bytes]:
    return [json.dumps({"query": query}).encode() for query in queries]


def sockets(*queries: str) -> bytes:
    asked = [
        {"id": str(number), "type": "subscribe", "payload": {"query": query}}
        for number, query in enumerate(queries)
    ]
    return wire.talk(*asked)


@asynccontextmanager
async def served(url: str, namespace: str, **settings: Any) -> AsyncIterator[str]:
    places = {"database_url": url, "redis_url": REDIS.url, "amqp_url": RABBIT.url, "api_unnoticed_latency": 10}
    chosen = Settings.model_validate(places | {"namespace": namespace} | settings)
    async with open_api_services(chosen) as services, serving(create_app(services)) as address:
        yield address


async def said_over_everything(address: str, *headers: str, awaited: bytes = b"") -> list[bytes]:
    """What is sent over HTTP, over event streams, over a socket (where it is awaited), and to probes."""
    each = payloads(*QUERIES)
    lasting = [wire.post(body, "text/event-stream", *headers) for body in payloads(*SUBSCRIPTIONS)]
    over_http = [wire.answered(address, wire.post(body, "application/json", *headers)) for body in each]
    over_http += [
        wire.answered(address, wire.get(f"query={query}", "/graphql", PREFLIGHT, *headers)) for query in QUERIES
    ]
    events = [wire.answered(address, wire.post(body, "text/event-stream", *headers)) for body in each]
    events += [wire.overheard(address, each) for each in lasting]
    sent = await asyncio.gather(
        asyncio.gather(*over_http),
        asyncio.gather(*events),
        wire.overheard(address, sockets(*QUERIES, *SUBSCRIPTIONS), awaited),
        wire.answered(address, wire.get("", "/health/readiness")),
    )
    return [b"".join(sent[0]), b"".join(sent[1]), *sent[2:]]


def check(sent: list[bytes]) -> None:
    for each in sent:
        found = INSIDE.search(each.decode(errors="replace"))
        assert found is None, each[max(found.start() - 300, 0) : found.end() + 100]


async def fill(storage: Storage) -> None:
    """Policies are for rows: there have to be some."""
    await storage.added(a_task(tenant="default"))
    await storage.notifications.add([a_draft(tenant="default")])


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_database_is_told_by_a_code_alone(
    storage: Storage, namespace: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(storage)
    await storage.execute(BROKEN[how])
    code = INTERNAL if how == "raising" else UNAVAILABLE
    async with served(storage.url, namespace) as address:
        *sent, readiness = await said_over_everything(address, awaited=code)
    check([*sent, readiness])
    assert [code in each for each in sent] == [True] * 3, "each transport has met it"
    assert INSIDE.search(caplog.text), "it is the log that tells"
    told = json.loads(readiness.partition(b"\r\n\r\n")[2])["checks"]["postgres"].get("reason")
    assert told == READINESS.get(how)


@pytest.mark.parametrize("gone", ["database_url", "redis_url", "amqp_url"])
async def test_a_server_that_is_gone_is_told_by_a_code_alone(
    storage: Storage, namespace: str, gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = {"database_url": "postgresql", "redis_url": "redis", "amqp_url": "amqp"}[gone]
    place = f"{url}://user:{SECRET}@127.0.0.1:{free_port()}/0"
    async with served(storage.url, namespace, **{gone: place}) as address:
        awaited = UNAVAILABLE if gone == "database_url" else b""
        *sent, readiness = await said_over_everything(address, awaited=awaited)
    check([*sent, readiness])
    assert b'"down"' in readiness
    assert [UNAVAILABLE in each for each in sent] == [gone == "database_url"] * 3
    assert SECRET not in caplog.text


async def test_a_fault_in_telling_who_calls_is_told_by_a_code_alone(
    storage: Storage, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = (await Tokens(storage).issue()).text
    await storage.execute(BOOM)
    await storage.execute("alter table access_tokens rename to kept")
    await storage.execute("create view access_tokens as select * from kept where boom()")
    async with served(storage.url, namespace, authentication="required") as address:
        credential = f"authorization: Bearer {token}"
        sent = await said_over_everything(address, credential)
        init = {"type": "connection_init", "payload": {"token": token}}
        sent.append(await wire.overheard(address, wire.HANDSHAKE + wire.frame(init)))
    check(sent)
    assert [INTERNAL in each for each in sent[:2]] == [True, True]
    assert SECRET in caplog.text


class Buggy:
    async def identify(self, credential: str | None) -> Identified:
        raise RuntimeError(f"password={SECRET}")


@pytest.mark.parametrize("callers", [None, Buggy()], ids=["in a resolver", "before it"])
async def test_a_bug_is_told_by_a_code_alone(callers: Buggy | None, caplog: pytest.LogCaptureFixture) -> None:
    queries = ["{ fault }", "{ hello fault }", "subscription { fault }"]
    async with serving(small_app(callers=callers)) as address:
        sent = [await wire.answered(address, wire.post(body)) for body in payloads(*queries)]
        for body in payloads(*queries):
            sent.append(await wire.answered(address, wire.post(body, "text/event-stream")))
        sent.append(await wire.answered(address, wire.get("query={ fault }", "/graphql", PREFLIGHT)))
        awaited = INTERNAL if callers is None else b""
        sent.append(await wire.overheard(address, sockets(*queries), awaited))
    check(sent)
    assert SECRET in caplog.text
    if callers is None:
        told = [INTERNAL in each for each in sent]
        assert told == [True, True, False] + [True] * 5, "a subscription is not answered as JSON"


NO_OPERATIONS = [
    b"",
    b"{",
    b"[]",
    b"[" * 100_000,
    b'{"query": 5}',
    b'{"query": "{ \xff }"}',
    b'{"query": "{"}',
    b'{"query": "{ nothing }"}',
    b'{"query": "{ __typename @nothing }"}',
    b'{"query": "{ ' + b"a:" * 3_000 + b'"}',
    b'{"query": "' + b"{ a" * 5_000 + b'"}',
    b'{"query": "query($n: Int!) { tasks(first: $n) { totalCount } }", "variables": {"n": 1e400}}',
    b'{"query": "query($n: Int!) { tasks(first: $n) { totalCount } }", "variables": {"n": '
    + b"9" * 4_000
    + b"}}",
    b'{"query": "query($n: Int!) { tasks(first: $n) { totalCount } }", "variables": {"n": {"a": "b"}}}',
    b'{"query": "{ tasks(first: ' + b"9" * 5_000 + b') { totalCount } }"}',
    b'{"query": "{ tasks(after: \\"nonsense\\") { totalCount } }"}',
    b'{"query": "{ node(id: \\"\\u0000\\") { id } }"}',
    b'{"query": "{ tasks(filter: { owner: \\"\\u0000\\" }) { totalCount } }"}',
    b'{"query": "{ tasks(filter: { search: \\"\\u0000\\" }) { totalCount } }"}',
    b'{"query": "{ previewRecurrence(recurrence: { cron: \\"x\\" }, timeZone: \\"../../etc\\")'
    b' { __typename } }"}',
    b'{"query": "mutation { createTask(input: { title: \\"\\u0000\\", scheduledAt: \\"x\\" })'
    b' { task { id } } }"}',
    b'{"query": "mutation { createTask(input: { title: \\"A\\", scheduledAt: \\"0001-01-01T00:00:00+14:00\\" })'
    b' { task { id } errors { message } } }"}',
    b'{"documentId": "sha256:nonsense"}',
    b'{"query": "{ viewer { tenant } }", "extensions": {"persistedQuery": {"version": 9}}}',
]
NO_REQUESTS = [
    b"nonsense\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
    b"GET /graphql HTTP/1.1\r\nhost: nowhere.example\r\nconnection: close\r\n\r\n",
    b"GET /graphql/assets/../../../etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    b"GET /graphql/assets/nothing.js HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    b"DELETE /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    wire.HANDSHAKE.replace(b"sec-websocket-key: ", b"x: "),
    wire.HANDSHAKE.replace(b"host: localhost", b"host: localhost\r\norigin: https://elsewhere.example"),
    wire.HANDSHAKE.replace(b"GET /graphql", b"GET /nowhere"),
    wire.talk(b"nonsense"),
    wire.talk({"type": "subscribe", "id": "1", "payload": {"query": 5}}),
    wire.talk({"type": "ping", "payload": []}),
    wire.HANDSHAKE + b"\xff\xff\xff",
]


async def test_what_cannot_be_read_is_refused_in_words_of_ours(storage: Storage, namespace: str) -> None:
    operations = [wire.post(body) for body in NO_OPERATIONS]
    lasting = [wire.post(body, "text/event-stream") for body in NO_OPERATIONS] + NO_REQUESTS
    lasting += [wire.talk(body[:60_000]) for body in NO_OPERATIONS]
    async with served(storage.url, namespace) as address:
        sent = await asyncio.gather(*(wire.answered(address, each) for each in operations))
        sent += await asyncio.gather(*(wire.overheard(address, each) for each in lasting))
    check(sent)
    assert not [each for each in sent if INTERNAL in each or b" 500 " in each], "none of it is a fault of ours"
