"""To whoever is bound to an owner, what is another's or nobody's is exactly as if it did not exist."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.contracts.tasks import TaskEventKind
from domain.tasks.states import TaskState
from domain.tenancy.model import Caller, Role
from schema.ids import attempt_id, notification_id, schedule_id, task_id
from schema.paging import stream_cursor
from tests.support.face import NOW, TENANT, Face, event_of
from tests.support.schedules import TEMPLATE, a_schedule

ALICE = Caller(tenant=TENANT, role=Role.ADMIN, owner="alice")
NOTHING = UUID(int=999)
ERRORS = "errors { code message path }"
OF_A_TASK = {
    "task": "{ task(id: $id) { id } }",
    "node": "{ node(id: $id) { id } }",
    "nodes": "{ nodes(ids: [$id]) { id } }",
    "update": f'mutation {{ updateTask(input: {{ id: $id, title: "Mine" }}) {{ task {{ id }} {ERRORS} }} }}',
    "take": f'mutation {{ updateTask(input: {{ id: $id, owner: "alice" }}) {{ task {{ id }} {ERRORS} }} }}',
    "stale": f"mutation {{ updateTask(input: {{ id: $id, version: 7 }}) {{ task {{ id }} {ERRORS} }} }}",
    "cancel": f"mutation {{ cancelTask(input: {{ id: $id }}) {{ task {{ id }} {ERRORS} }} }}",
    "run now": f"mutation {{ runTaskNow(input: {{ id: $id }}) {{ task {{ id }} {ERRORS} }} }}",
    "delete": f"mutation {{ deleteTask(input: {{ id: $id }}) {{ deletedId {ERRORS} }} }}",
    "events": "subscription { taskEvents(taskId: $id) { id } }",
    "activity": "subscription { taskActivity(taskId: $id) { __typename } }",
}
OF_A_SCHEDULE = {
    "schedule": "{ schedule(id: $id) { id } }",
    "node": "{ node(id: $id) { id } }",
    "tasks": "{ tasks(filter: { scheduleId: $id }) { totalCount nodes { id } pageInfo { hasNextPage } } }",
    "update": 'mutation { updateSchedule(input: { id: $id, name: "B" }) { schedule { id } errors { code } } }',
    "pause": f"mutation {{ pauseSchedule(input: {{ id: $id }}) {{ schedule {{ id }} {ERRORS} }} }}",
    "resume": f"mutation {{ resumeSchedule(input: {{ id: $id }}) {{ schedule {{ id }} {ERRORS} }} }}",
    "delete": f"mutation {{ deleteSchedule(input: {{ id: $id }}) {{ deletedId {ERRORS} }} }}",
    "events": "subscription { taskEvents(filter: { scheduleId: $id }) { id } }",
}
OF_A_NOTIFICATION = {
    "node": "{ node(id: $id) { id } }",
    "mark": f"mutation {{ markNotificationsRead(input: {{ ids: [$id] }}) {{ count unreadCount {ERRORS} }} }}",
}
OF_AN_ATTEMPT = {"node": "{ node(id: $id) { id } }"}
LISTS = [
    "{ tasks { totalCount nodes { id } pageInfo { hasNextPage startCursor } } }",
    '{ tasks(filter: { owner: "bob" }) { totalCount nodes { id } } }',
    '{ task(key: "theirs") { id } }',
    "{ schedules { nodes { id } } }",
    '{ schedules(owner: "bob") { nodes { id } } }',
    "{ notifications { unreadCount nodes { id } pageInfo { hasNextPage } } }",
    '{ notifications(owner: "bob") { unreadCount nodes { id } } }',
    'mutation { cancelTasks(input: { filter: { owner: "bob" } }) { count errors { code } } }',
    'mutation { cancelTasks(input: { filter: { queues: ["default"] } }) { count errors { code } } }',
    'mutation { cancelTasks(input: { filter: { owner: "bob" }, dryRun: true }) { count errors { code } } }',
    'mutation { replayTasks(input: { filter: { queues: ["default"] } }) { count errors { code } } }',
    "subscription { taskEvents { id kind } }",
    'subscription { taskEvents(filter: { owner: "bob" }) { id kind } }',
    "subscription { notifications { id } }",
    'subscription { notifications(owner: "bob") { id } }',
]


def full(owner: str | None) -> tuple[Face, dict[str, str]]:
    """A face with one of everything for this owner, and their ids."""
    face = Face()
    task = face.keep(owner=owner, key="theirs")
    face.keep(owner=owner, state=TaskState.FAILED)
    attempt = face.keep_attempt(task, 1)
    notification = face.keep_notification(task)
    schedule = a_schedule(NOW, tenant=TENANT, task=replace(TEMPLATE, owner=owner))
    face.schedules.rows[schedule.id] = schedule
    face.task_feed.publish(event_of(task, TaskEventKind.UPDATED))
    face.notification_feed.events.append(notification)
    return face, {
        "task": task_id(task.id),
        "schedule": schedule_id(schedule.id),
        "notification": notification_id(notification.id),
        "attempt": attempt_id(task.id, attempt.number),
    }


NO_IDS = {
    "task": task_id(NOTHING),
    "schedule": schedule_id(NOTHING),
    "notification": notification_id(NOTHING),
    "attempt": attempt_id(NOTHING, 1),
}
CASES = [
    pytest.param(kind, query, owner, id=f"{kind}-{name}-{owner or 'nobody'}")
    for kind, queries in (
        ("task", OF_A_TASK),
        ("schedule", OF_A_SCHEDULE),
        ("notification", OF_A_NOTIFICATION),
        ("attempt", OF_AN_ATTEMPT),
    )
    for name, query in queries.items()
    for owner in ("bob", None)
]


async def answers(face: Face, query: str, id: str = "") -> list[dict[str, Any]]:
    asked = query.replace("$id", json.dumps(id))
    if query.startswith("subscription"):
        return await face.follow(asked, ALICE)
    return [(await face.run(asked, ALICE)).body]


@pytest.mark.parametrize(("kind", "query", "owner"), CASES)
async def test_an_id_that_is_not_theirs_answers_as_one_of_nothing(
    kind: str, query: str, owner: str | None
) -> None:
    face, ids = full(owner)
    before = dict(face.tasks.rows), dict(face.schedules.rows), list(face.notifications.rows)
    assert await answers(face, query, ids[kind]) == await answers(Face(), query, NO_IDS[kind])
    assert before == (face.tasks.rows, face.schedules.rows, face.notifications.rows)


@pytest.mark.parametrize("query", LISTS)
@pytest.mark.parametrize("owner", ["bob", None])
async def test_lists_counts_bulk_changes_and_feeds_are_as_if_there_were_nothing_else(
    query: str, owner: str | None
) -> None:
    face, _ = full(owner)
    before = dict(face.tasks.rows)
    assert await answers(face, query) == await answers(Face(), query)
    assert face.tasks.rows == before


@pytest.mark.parametrize("kind", NO_IDS)
async def test_what_is_theirs_is_found(kind: str) -> None:
    face, ids = full("alice")
    [body] = await answers(face, "{ node(id: $id) { id } }", ids[kind])
    assert body == {"data": {"node": {"id": ids[kind]}}}


async def test_all_that_is_marked_up_to_a_place_is_theirs() -> None:
    face, _ = full("bob")
    [last] = face.notifications.rows
    [body] = await answers(
        face,
        f'mutation {{ markNotificationsRead(input: {{ upTo: "{stream_cursor(last.seq)}" }}) {{ count }} }}',
    )
    assert body == {"data": {"markNotificationsRead": {"count": 0}}}
    assert face.notifications.rows == [last]
