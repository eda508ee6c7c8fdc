"""What tests ask of a running Carillon, in GraphQL, as any client would."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2

from tests.support.graphql_client import GraphQLErrors, HttpClient, Json
from tests.support.waiting import until

TASK = """id state attempt version result traceId createdAt scheduledAt startedAt finishedAt
  error { type message } progress { fraction message }
  attempts(first: 50) { nodes { number state worker error { type } } }
  notifications(first: 50) { nodes { cursor kind title body } }"""
CREATE = f"""mutation($input: CreateTaskInput!) {{
  createTask(input: $input) {{ created task {{ {TASK} }} errors {{ code message path }} }} }}"""
CREATE_MANY = """mutation($tasks: [CreateTaskInput!]!) {
  createTasks(input: {tasks: $tasks}) { createdCount tasks { id } errors { code message path } } }"""
CREATE_SCHEDULE = """mutation($input: CreateScheduleInput!) {
  createSchedule(input: $input) { schedule { id } errors { message } } }"""
PAUSE_SCHEDULE = """mutation($id: ID!) {
  pauseSchedule(input: {id: $id}) { schedule { paused } errors { message } } }"""
READ = f"query($id: ID!) {{ task(id: $id) {{ {TASK} }} }}"
CANCEL = (
    f"mutation($id: ID!) {{ cancelTask(input: {{id: $id}}) {{ task {{ {TASK} }} errors {{ code message }} }} }}"
)
RENAME = """mutation($id: ID!, $title: String!) {
  updateTask(input: {id: $id, title: $title}) { task { title version } errors { code message } } }"""
WATCH_TASK = "subscription($id: ID!) { taskEvents(taskId: $id) { id kind at state attempt task { id state } } }"
WATCH_QUEUE = """subscription($queue: String!) {
  taskEvents(filter: {queues: [$queue]}) { id kind at state task { id title } } }"""
WATCH_ACTIVITY = """subscription($id: ID!) { taskActivity(taskId: $id) {
  ... on Progress { fraction at } ... on LogLine { message at } ... on TaskEvent { kind at } } }"""
FOLLOW = """subscription($after: Cursor) {
  notifications(after: $after) { cursor kind title body createdAt task { id } } }"""
LATEST = "{ notifications(last: 1) { edges { cursor } } }"

FINISHED = {"SUCCEEDED", "FAILED", "CANCELLED"}


def run(handler: str, **payload: Any) -> Json:
    return {"run": {"handler": handler, "payload": payload}}


def due(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def row_id(id: str) -> UUID:
    """Of a task in the database and in ledgers, from the opaque id that clients have."""
    padded = id + "=" * (-len(id) % 4)
    return UUID(base64.urlsafe_b64decode(padded).decode().rpartition(":")[2])


async def create(client: HttpClient, title: str, **fields: Any) -> str:
    """The id of the new task."""
    made = (await client.execute(CREATE, input={"title": title, **fields}))["createTask"]
    assert made["errors"] == [], made
    id: str = made["task"]["id"]
    return id


async def create_many(client: HttpClient, tasks: list[Json]) -> list[str]:
    """Their ids, in the order given."""
    made = (await client.execute(CREATE_MANY, tasks=tasks))["createTasks"]
    assert made["errors"] == [], made
    return [task["id"] for task in made["tasks"]]


async def read(client: HttpClient, id: str) -> Json:
    task: Json = (await client.execute(READ, id=id))["task"]
    return task


async def until_finished(client: HttpClient, id: str, seconds: float = 15) -> Json:
    """The task as it is then; while a server is gone it asks again."""
    return await _until(client, id, seconds, lambda task: task["state"] in FINISHED)


async def until_told(client: HttpClient, id: str, seconds: float = 15) -> Json:
    """The same, once people have been told of it."""
    return await _until(
        client, id, seconds, lambda task: task["state"] in FINISHED and bool(task["notifications"]["nodes"])
    )


async def until_running(client: HttpClient, id: str, seconds: float = 15) -> Json:
    return await _until(client, id, seconds, lambda task: task["state"] == "RUNNING")


async def _until(client: HttpClient, id: str, seconds: float, holds: Callable[[Json], bool]) -> Json:
    task: Json = {}

    async def it_holds() -> bool:
        nonlocal task
        try:
            task = await read(client, id)
        except (GraphQLErrors, httpx2.TransportError):
            return False
        return holds(task)

    try:
        await until(it_holds, seconds)
    except TimeoutError as error:
        raise AssertionError(f"after {seconds} s it is still: {task}") from error
    return task


async def latest_cursor(client: HttpClient) -> str | None:
    """That of the newest notification."""
    edges = (await client.execute(LATEST))["notifications"]["edges"]
    return edges[-1]["cursor"] if edges else None


def attempts(task: Json) -> list[tuple[int, str]]:
    return [(one["number"], one["state"]) for one in task["attempts"]["nodes"]]


def kinds(task: Json) -> list[str]:
    """Of its notifications."""
    return [one["kind"] for one in task["notifications"]["nodes"]]
