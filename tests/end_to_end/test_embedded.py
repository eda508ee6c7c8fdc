"""One command is a whole Carillon: what a client asks for is done on time, and told live while it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from tests.support.asking import (
    CREATE_SCHEDULE,
    FOLLOW,
    PAUSE_SCHEDULE,
    WATCH_ACTIVITY,
    WATCH_QUEUE,
    WATCH_TASK,
    attempts,
    create,
    due,
    instant,
    kinds,
    read,
    run,
    until_told,
)
from tests.support.graphql_client import GraphQLSocket, HttpClient, Json, Stream, graphql_socket, http_client
from tests.support.installation import HANDLERS
from tests.support.ledger import VARIABLE
from tests.support.processes import embedded
from tests.support.waiting import until
from tests.support.webhook_receiver import Write, receiving, status

PROMPTLY = timedelta(seconds=1)
"""Far more than anything here takes, and far less than the polls and beats that would hide a lost signal."""
SECRET = "whsec_Y2FyaWxsb24tdGVzdHMtc2lnbi13aXRoLXRoaXM="
SETTINGS = {
    "CARILLON_POLL_INTERVAL": "20",
    "CARILLON_CANCEL_GRACE": "20",
    "CARILLON_HANDLERS": HANDLERS,
    "CARILLON_HTTP_ALLOW_INSECURE": "true",
    "CARILLON_HTTP_ALLOWED_NETWORKS": "127.0.0.1/32",
    "CARILLON_WEBHOOK_SECRET": SECRET,
}
FIXED = {"backoff": "FIXED", "base": "PT0.2S"}


@pytest.fixture(scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("embedded")
    settings = SETTINGS | {VARIABLE: str(folder / "ledger")}
    async with embedded(folder / "home", folder / "log", **settings) as (address, dev):
        yield address
        assert await dev.stop() == 0
    assert SECRET not in dev.said()
    assert dev.said().count("Traceback") == dev.said().count("a handler raised"), (
        "the traces are its handlers' alone"
    )


@pytest.fixture
async def client(address: str) -> AsyncIterator[HttpClient]:
    async with http_client(address) as client:
        yield client


@pytest.fixture
async def socket(address: str) -> AsyncIterator[GraphQLSocket]:
    async with graphql_socket(address) as socket:
        yield socket


async def told(events: Stream, *expected: str) -> list[Json]:
    """The next events, which are of these kinds, each told promptly."""
    heard = []
    for kind in expected:
        event = (await anext(events))["taskEvents"]
        assert datetime.now(UTC) - instant(event["at"]) < PROMPTLY, event
        assert event["kind"] == kind
        heard.append(event)
    return heard


def fail_once() -> Write:
    answers = iter([status("500 Internal Server Error"), status("200 OK")])

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))
        await writer.drain()

    return answer


async def watching(socket: GraphQLSocket) -> None:
    """Subscriptions sent on this socket before have begun: it answers in order of what it was sent."""
    await socket.execute("{ viewer { tenant } }")


async def test_a_reminder_is_told_as_it_is_queued_started_and_done(
    client: HttpClient, socket: GraphQLSocket
) -> None:
    queue = "reminders"
    async with (
        socket.subscribe(WATCH_QUEUE, queue=queue) as events,
        socket.subscribe(FOLLOW) as notifications,
    ):
        await watching(socket)
        at = due(2)
        action = {"notify": {"body": "The ferns too"}}
        id = await create(client, "Water the plants", queue=queue, action=action, scheduledAt=at)
        created, queued, started, done = await told(events, "CREATED", "QUEUED", "STARTED", "SUCCEEDED")
        assert [event["state"] for event in (created, queued, started, done)] == [
            "SCHEDULED",
            "QUEUED",
            "RUNNING",
            "SUCCEEDED",
        ]
        assert all(event["task"]["id"] == id for event in (created, queued, started, done))
        notification = (await anext(notifications))["notifications"]
        assert datetime.now(UTC) - instant(notification["createdAt"]) < PROMPTLY
    assert notification["kind"] == "TASK_DUE"
    assert (notification["title"], notification["body"]) == ("Water the plants", "The ferns too")
    assert notification["task"] == {"id": id}
    task = await until_told(client, id)
    assert attempts(task) == [(1, "SUCCEEDED")]
    assert timedelta(0) <= instant(task["startedAt"]) - instant(at) < PROMPTLY
    assert kinds(task) == ["TASK_DUE"]


async def test_a_webhook_is_signed_and_sent_again_under_the_same_id(
    client: HttpClient, socket: GraphQLSocket
) -> None:
    queue = "webhooks"
    async with (
        receiving(fail_once()) as receiver,
        socket.subscribe(WATCH_QUEUE, queue=queue) as events,
        socket.subscribe(FOLLOW) as notifications,
    ):
        await watching(socket)
        http = {"http": {"url": receiver.url, "body": {"order": 17}, "headers": {"x-shop": "ferns"}}}
        id = await create(client, "Tell the shop", queue=queue, action=http, retry=FIXED)
        await told(events, "CREATED", "QUEUED", "STARTED", "RETRYING", "QUEUED", "STARTED", "SUCCEEDED")
        assert (await anext(notifications))["notifications"]["kind"] == "TASK_SUCCEEDED"
    first, second = receiver.received
    for one in (first, second):
        assert Webhook(SECRET).verify(one.body, dict(one.headers)) == {"order": 17}
        assert one.header("x-shop") == "ferns"
    assert first.header("webhook-id") == second.header("webhook-id")
    assert [one.header("carillon-attempt") for one in (first, second)] == ["1", "2"]
    assert int(first.header("carillon-fence")) < int(second.header("carillon-fence"))
    task = await read(client, id)
    assert attempts(task) == [(1, "FAILED"), (2, "SUCCEEDED")]
    assert task["result"] == {"status": 200, "body": ""}
    assert task["traceId"] == first.header("traceparent").split("-")[1]


async def test_secrets_can_be_kept_from_the_first_minute(client: HttpClient) -> None:
    async with receiving() as receiver:
        made = await client.execute(
            """mutation($origin: String) { createWebhookSecret(input: {origin: $origin}) {
                 secret errors { message } } }""",
            origin=f"http://127.0.0.1:{receiver.port}",
        )
        http = {"http": {"url": receiver.url, "headers": {"Authorization": "Bearer 5ecret-of-dev"}}}
        await until_told(client, await create(client, "Tell the shop", action=http))
    (request,) = receiver.received
    assert request.header("authorization") == "Bearer 5ecret-of-dev"
    Webhook(made["createWebhookSecret"]["secret"]).verify(request.body, dict(request.headers))


async def test_a_handler_gets_its_payload_and_its_answer_is_kept(client: HttpClient) -> None:
    value = {"a": [1, 2.5, None, "é"]}
    task = await until_told(client, await create(client, "Echo", action=run("echo", value=value)))
    assert (task["state"], task["result"]) == ("SUCCEEDED", value)
    assert kinds(task) == ["TASK_SUCCEEDED"]


async def test_a_handler_that_fails_is_tried_again_until_it_succeeds(
    client: HttpClient, socket: GraphQLSocket
) -> None:
    queue = "retries"
    async with socket.subscribe(WATCH_QUEUE, queue=queue) as events:
        await watching(socket)
        action = run("fail", message="Not yet", times=2)
        id = await create(client, "Third time lucky", queue=queue, action=action, retry=FIXED)
        failing = ["QUEUED", "STARTED", "RETRYING"]
        await told(events, "CREATED", *failing, *failing, "QUEUED", "STARTED", "SUCCEEDED")
    task = await until_told(client, id)
    assert attempts(task) == [(1, "FAILED"), (2, "FAILED"), (3, "SUCCEEDED")]
    assert task["attempts"]["nodes"][0]["error"] == {"type": "RuntimeError"}
    assert (task["error"], task["result"]) == (None, {"attempts": 3})
    assert kinds(task) == ["TASK_SUCCEEDED"]


async def test_a_handler_that_keeps_failing_is_given_up_when_its_attempts_are_used_up(
    client: HttpClient,
) -> None:
    action = run("fail", message="Never", times=9)
    retry = FIXED | {"maxAttempts": 2, "base": "PT0.05S"}
    task = await until_told(client, await create(client, "No luck", action=action, retry=retry))
    assert attempts(task) == [(1, "FAILED"), (2, "FAILED")]
    assert (task["state"], task["error"]) == ("FAILED", {"type": "RuntimeError", "message": "Never"})
    assert kinds(task) == ["TASK_FAILED"]


async def test_how_far_a_handler_is_can_be_seen_while_it_runs(client: HttpClient) -> None:
    id = await create(client, "Count", action=run("count_to", n=8, delay=0.15))
    seen: list[float] = []

    async def ended() -> bool:
        task = await read(client, id)
        if task["state"] == "RUNNING" and task["progress"]:
            seen.append(task["progress"]["fraction"])
        return bool(task["state"] == "SUCCEEDED")

    await until(ended, 15)
    assert len(set(seen)) > 1
    assert seen == sorted(seen)
    assert (await read(client, id))["result"] == 8


async def test_what_a_handler_tells_is_told_live_until_its_task_ends(
    client: HttpClient, socket: GraphQLSocket
) -> None:
    id = await create(client, "Count", action=run("count_to", n=5, delay=0.1), scheduledAt=due(0.5))
    async with socket.subscribe(WATCH_ACTIVITY, id=id) as stream:
        told_ = [item["taskActivity"] async for item in stream]
    assert [item["kind"] for item in told_ if "kind" in item] == ["QUEUED", "STARTED", "SUCCEEDED"]
    assert [item["message"] for item in told_ if "message" in item] == ["counting to 5", "done"]
    fractions = [item["fraction"] for item in told_ if "fraction" in item]
    assert fractions == sorted(fractions)
    assert (len(fractions) > 1, fractions[-1]) == (True, 1)
    assert "kind" in told_[-1]
    log = (await client.execute("query($id: ID!) { task(id: $id) { log { message attempt } } }", id=id))["task"]
    assert log == {"log": [{"message": message, "attempt": 1} for message in ("counting to 5", "done")]}


async def test_a_running_task_is_cancelled_at_once(client: HttpClient, socket: GraphQLSocket) -> None:
    """With a poll every 20 seconds, a heartbeat every 10 and 20 of grace: only the signal can be this quick."""
    id = await create(client, "Sleep", action=run("sleep", seconds=60), scheduledAt=due(0.5))
    async with socket.subscribe(WATCH_TASK, id=id) as events:
        await told(events, "QUEUED", "STARTED")
        asked = datetime.now(UTC)
        await client.execute("mutation($id: ID!) { cancelTask(input: {id: $id}) { errors { code } } }", id=id)
        await told(events, "UPDATED", "CANCELLED")
        assert datetime.now(UTC) - asked < PROMPTLY
    task = await until_told(client, id)
    assert attempts(task) == [(1, "CANCELLED")]
    assert kinds(task) == ["TASK_CANCELLED"]


ITS_TASKS = """query($id: ID!) {
  schedule(id: $id) { tasks { nodes { fireTime state startedAt schedule { id } } } } }"""


async def test_a_schedule_makes_a_task_each_time_at_its_time(client: HttpClient) -> None:
    made = await client.execute(
        CREATE_SCHEDULE,
        input={
            "name": "Each second",
            "recurrence": {"every": "PT1S"},
            "task": {"title": "Tick", "action": {"notify": {}}},
        },
    )
    assert not made["createSchedule"]["errors"], made
    schedule = made["createSchedule"]["schedule"]["id"]

    async def ended() -> list[Json]:
        data = await client.execute(ITS_TASKS, id=schedule)
        return [task for task in data["schedule"]["tasks"]["nodes"] if task["state"] == "SUCCEEDED"]

    async def thrice() -> bool:
        return len(await ended()) >= 3

    await until(thrice, seconds=10)
    paused = await client.execute(PAUSE_SCHEDULE, id=schedule)
    assert paused["pauseSchedule"]["schedule"]["paused"]
    tasks = await ended()
    times = [instant(task["fireTime"]) for task in tasks]
    assert times == [times[0] + timedelta(seconds=number) for number in range(len(times))]
    for task in tasks:
        assert timedelta(0) <= instant(task["startedAt"]) - instant(task["fireTime"]) < PROMPTLY
        assert task["schedule"]["id"] == schedule
