"""One trace from a request to the notification, through every process, and no secret on its way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from infra.encryption.keys import new_key
from tests.support.asking import CREATE, due, row_id, run, until_told
from tests.support.graphql_client import HttpClient, Json, http_client
from tests.support.installation import KINDS, PASSWORD, open_installation
from tests.support.services import RABBIT
from tests.support.waiting import until
from tests.support.webhook_receiver import SECRET, receiving

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
BEARER = "bearer-of-the-tests"
SETTINGS = {
    "CARILLON_LOG_LEVEL": "debug",
    "CARILLON_HTTP_ALLOW_INSECURE": "true",
    "CARILLON_HTTP_ALLOWED_NETWORKS": str(ip_network("127.0.0.1/32")),
    "CARILLON_WEBHOOK_SECRET": SECRET,
    "CARILLON_ENCRYPTION_KEYS": new_key("first"),
}


async def test_a_trace_goes_with_its_task_through_every_process(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    async with (
        open_installation(postgres_server, migrated, tmp_path, *KINDS, **SETTINGS) as installation,
        http_client(installation.api) as client,
        receiving() as receiver,
        hearing(installation.namespace) as messages,
    ):
        other = await traced(client, {"title": "Another's", "scheduledAt": due(3600)}, None)
        work = await traced(client, {"title": "Work", "action": run("work", seconds=0)}, TRACEPARENT)
        headers = {"authorization": f"Bearer {BEARER}"}
        call = {"http": {"url": receiver.url, "headers": headers, "body": {"card": "4111-1111"}}}
        told = await traced(client, {"title": "Call", "action": call}, TRACEPARENT)
        assert other["traceId"] not in (None, TRACE)
        for task in (work, told):
            assert task["traceId"] == TRACE
            done = await until_told(client, task["id"])
            assert (done["state"], done["traceId"]) == ("SUCCEEDED", TRACE)
        assert [one.header("traceparent") for one in receiver.received] == [TRACEPARENT]
        await installation.quiet()
        await until(lambda: len(of(messages, told)) >= 4)
        assert [event["kind"] for event in of(messages, told)] == ["CREATED", "QUEUED", "STARTED", "SUCCEEDED"]
        assert {event["traceparent"] for event in of(messages, told)} == {TRACEPARENT}
        stored = "select distinct traceparent from notifications"
        assert [row["traceparent"] for row in await installation.database.fetch(stored)] == [TRACEPARENT]
        by_kind = {member.kind: lines(member.process.said(), TRACE) for member in installation.members}
    assert any(line["event"] == "sql" for line in by_kind["api"])
    assert any(line["event"] == "an attempt ended" for line in by_kind["worker"])
    assert any(line["event"] == "notified" for line in by_kind["notifier"])
    said = installation.said()
    for secret in (PASSWORD, BEARER, SECRET.removeprefix("whsec_"), "4111-1111"):
        assert secret not in said


async def traced(client: HttpClient, task: Json, traceparent: str | None) -> Json:
    """The new task; the answer says which trace it belongs to."""
    answer = await client.post(CREATE, {"traceparent": traceparent} if traceparent else None, input=task)
    made: Json = answer.json()["data"]["createTask"]["task"]
    assert answer.headers["traceparent"].split("-")[1] == made["traceId"]
    return made


def of(messages: list[AbstractIncomingMessage], task: Json) -> list[Json]:
    """The events of this task; one that travels alone has its trace in the message's header as well."""
    found = []
    for message in messages:
        events = json.loads(message.body)
        if len(events) == 1:
            assert message.headers["traceparent"] == events[0]["traceparent"]
        found += [event for event in events if event["task_id"] == str(row_id(task["id"]))]
    return found


def lines(said: str, trace: str) -> list[Json]:
    """The log lines of this trace."""
    return [line for line in map(json.loads, said.splitlines()) if line.get("trace_id") == trace]


@asynccontextmanager
async def hearing(namespace: str) -> AsyncIterator[list[AbstractIncomingMessage]]:
    """Every message with events from here on."""
    messages: list[AbstractIncomingMessage] = []

    async def hear(message: AbstractIncomingMessage) -> None:
        messages.append(message)

    async with await aio_pika.connect(RABBIT.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(f"{namespace}.events", "#")
        await queue.consume(hear, no_ack=True)
        yield messages
