"""Subscriptions tell what the caller may see, with the task as it is at that moment, and end in words."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from domain.attempts.activity import LogLine, LogPlace
from domain.attempts.model import Progress
from domain.contracts.tasks import TaskChangedV1, TaskEventKind
from domain.errors import Unauthenticated, Unavailable
from domain.live.ports import Resync
from domain.tasks.listing import TaskFilter
from domain.tasks.states import TaskState
from domain.tenancy.model import Caller, Role
from schema.context import Context
from schema.filters import matches
from schema.ids import event_id, notification_id, task_id
from schema.operations import OperationRequest, Result
from schema.paging import stream_cursor
from tests.support.face import NOW, TENANT, Face, event_of, operations, told

ALICE = Caller(tenant=TENANT, role=Role.VIEWER, owner="alice")
EVENTS = """subscription ($filter: TaskFilter, $taskId: ID) { taskEvents(filter: $filter, taskId: $taskId) {
    id kind at attempt state taskId task { state version } } }"""
ACTIVITY = """subscription ($taskId: ID!) { taskActivity(taskId: $taskId) { __typename
    ... on Progress { fraction message } ... on LogLine { at attempt text: message }
    ... on TaskEvent { id kind task { title } } } }"""
NOTIFICATIONS = """subscription ($after: Cursor, $owner: String) {
    notifications(after: $after, owner: $owner) { id cursor title owner task { title } } }"""


@pytest.fixture
def face() -> Face:
    return Face()


def events_in(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [body["data"]["taskEvents"] for body in bodies]


async def test_each_change_is_told_with_the_task_as_it_is_then(face: Face) -> None:
    task = face.keep()
    for kind, state in (("QUEUED", "QUEUED"), ("STARTED", "RUNNING"), ("SUCCEEDED", "SUCCEEDED")):
        task = replace(task, state=TaskState(state), version=task.version + 1)
        face.task_feed.publish(event_of(task, TaskEventKind(kind)))
    request = OperationRequest(EVENTS, {})
    stream = await operations().subscribe(request, face.context)
    assert not isinstance(stream, Result)
    seen = []
    async with aclosing(stream):
        for event in face.task_feed.events:
            assert isinstance(event, TaskChangedV1)
            face.tasks.rows[task.id] = replace(task, state=TaskState(event.state), version=event.version)
            [told_event] = events_in([await anext(stream)])
            assert told_event["task"]["version"] >= event.version
            seen.append((told_event["id"], told_event["kind"], told_event["task"]["state"]))
    assert seen == [
        (event_id(task.id, 2), "QUEUED", "QUEUED"),
        (event_id(task.id, 3), "STARTED", "RUNNING"),
        (event_id(task.id, 4), "SUCCEEDED", "SUCCEEDED"),
    ]
    assert face.calls == ["find"] * 3, "read anew for each event"
    assert face.task_feed.watching == 0


async def test_of_a_deleted_task_the_id_is_told(face: Face) -> None:
    task = face.keep()
    face.task_feed.publish(event_of(task, TaskEventKind.DELETED))
    face.tasks.rows.clear()
    [event] = events_in(await face.follow(EVENTS))
    assert (event["kind"], event["task"], event["at"]) == ("DELETED", None, "2030-01-31T08:00:00Z")
    assert event["taskId"] == task_id(task.id)


async def test_events_of_one_task_are_told_alone(face: Face) -> None:
    task, other = face.keep(), face.keep()
    for each in (other, task, other):
        face.task_feed.publish(event_of(each, TaskEventKind.UPDATED))
    [event] = events_in(await face.follow(EVENTS, taskId=task_id(task.id)))
    assert event["id"] == event_id(task.id, 1)


async def test_only_known_tasks_are_followed(face: Face) -> None:
    theirs = face.keep(owner="bob")
    for caller, id in (
        (Caller(tenant=TENANT), "nonsense"),
        (Caller(tenant=TENANT), notification_id(theirs.id)),
        (Caller(tenant="other"), task_id(theirs.id)),
        (ALICE, task_id(theirs.id)),
    ):
        [body] = await face.follow(EVENTS, caller, taskId=id)
        assert [error["extensions"] for error in body["errors"]] == [{"code": "NOT_FOUND"}]


async def test_a_bound_caller_is_told_of_its_own_alone(face: Face) -> None:
    mine, theirs, everyones = face.keep(owner="alice"), face.keep(owner="bob"), face.keep()
    for task in (theirs, mine, everyones):
        face.task_feed.publish(event_of(task, TaskEventKind.CREATED))
    assert [each["id"] for each in events_in(await face.follow(EVENTS, ALICE))] == [event_id(mine.id, 1)]
    assert await face.follow(EVENTS, ALICE, filter={"owner": "bob"}) == []
    assert await face.follow(EVENTS, Caller(tenant="other")) == []


async def test_a_faulty_filter_is_refused(face: Face) -> None:
    [body] = await face.follow(EVENTS, filter={"search": "\x00"})
    assert body["errors"][0]["extensions"] == {"code": "INVALID", "argument": "filter.search"}


FILTERS: list[tuple[TaskFilter, bool]] = [
    (TaskFilter(), True),
    (TaskFilter(states=(TaskState.SCHEDULED, TaskState.QUEUED)), True),
    (TaskFilter(states=(TaskState.QUEUED,)), False),
    (TaskFilter(states=()), False),
    (TaskFilter(queues=("mail", "default")), True),
    (TaskFilter(queues=("mail",)), False),
    (TaskFilter(owner="alice"), True),
    (TaskFilter(owner="bob"), False),
    (TaskFilter(labels=(("order", "7"),)), True),
    (TaskFilter(labels=(("order", "7"), ("lane", "2"))), True),
    (TaskFilter(labels=(("order", "7"), ("lane", "3"))), False),
    (TaskFilter(due_after=NOW), True),
    (TaskFilter(due_after=NOW + timedelta(microseconds=1)), False),
    (TaskFilter(due_before=NOW + timedelta(microseconds=1)), True),
    (TaskFilter(due_before=NOW), False),
    (TaskFilter(search="WATER pla"), True),
    (TaskFilter(search="plants, water!"), True),
    (TaskFilter(search="lants"), False),
    (TaskFilter(search="water roses"), False),
    (TaskFilter(search="?!"), False),
]


@pytest.mark.parametrize(("wanted", "matching"), FILTERS)
def test_a_filter_judges_the_event_by_what_it_says(face: Face, wanted: TaskFilter, *, matching: bool) -> None:
    task = face.keep(owner="alice", labels=(("order", "7"), ("lane", "2")))
    assert matches(event_of(task, TaskEventKind.CREATED), wanted) is matching


async def test_notifications_are_told_in_order(face: Face) -> None:
    task = face.keep()
    face.notification_feed.events = [told(face.ids.next(), 8, task), told(face.ids.next(), 9)]
    bodies = await face.follow(NOTIFICATIONS, after=stream_cursor(7))
    assert face.notification_feed.asked == (7, None)
    assert [body["data"]["notifications"] for body in bodies] == [
        {
            "id": notification_id(each.id),
            "cursor": stream_cursor(seq),
            "title": title,
            "owner": None,
            "task": its,
        }
        for each, seq, title, its in (
            (face.notification_feed.events[0], 8, "Water the plants", {"title": "Water the plants"}),
            (face.notification_feed.events[1], 9, "Gone", None),
        )
        if not isinstance(each, Exception)
    ]


async def test_notifications_are_followed_from_now_or_for_one_owner(face: Face) -> None:
    asked = []
    for arguments in ((), (ALICE,)):
        await face.follow(NOTIFICATIONS, *arguments)
        asked.append(face.notification_feed.asked)
    await face.follow(NOTIFICATIONS, owner="bob")
    assert [*asked, face.notification_feed.asked] == [(None, None), (None, "alice"), (None, "bob")]


async def test_a_bound_caller_follows_its_own_alone(face: Face) -> None:
    face.notification_feed.events = [
        told(face.ids.next(), n, owner=each) for n, each in enumerate(("bob", "alice"))
    ]
    [body] = await face.follow(NOTIFICATIONS, ALICE)
    assert body["data"]["notifications"]["owner"] == "alice"
    assert await face.follow(NOTIFICATIONS, ALICE, owner="bob") == []


async def test_each_notification_tells_its_place_though_it_was_not_selected(face: Face) -> None:
    face.notification_feed.events = [told(face.ids.next(), 8), told(face.ids.next(), 9)]
    bodies = await face.follow("subscription { notifications { place: id } }")
    assert [body["extensions"] for body in bodies] == [{"cursor": stream_cursor(n)} for n in (8, 9)]
    face.task_feed.publish(event_of(face.keep(), TaskEventKind.QUEUED))
    [body] = await face.follow(EVENTS)
    assert set(body) == {"data"}, "what cannot be resumed has no place to tell"


async def test_what_a_client_remembers_beside_the_operation_goes_before_its_variables(face: Face) -> None:
    request = OperationRequest(NOTIFICATIONS, {"after": stream_cursor(3)})
    assert await resumed(face, request, stream_cursor(7)) == []
    assert face.notification_feed.asked == (7, None)


async def test_a_header_that_holds_no_cursor_is_refused_by_its_name(face: Face) -> None:
    for remembered in ("nonsense", task_id(UUID(int=1))):
        [body] = await resumed(face, OperationRequest(NOTIFICATIONS), remembered)
        [error] = body["errors"]
        assert error["message"] == "The header `Last-Event-ID` holds no cursor of a notification."
        assert error["extensions"] == {"code": "INVALID"}, "no argument was given"


async def resumed(face: Face, request: OperationRequest, remembered: str) -> list[dict[str, Any]]:
    context = replace(face.context(), resume_after=remembered)
    stream = await operations().subscribe(request, partial(replace, context))
    assert not isinstance(stream, Result)
    async with aclosing(stream):
        return [body async for body in stream]


@pytest.mark.parametrize("after", ["", "nonsense", task_id(UUID(int=1))])
async def test_a_cursor_that_is_none_is_refused(face: Face, after: str) -> None:
    [body] = await face.follow(NOTIFICATIONS, after=after)
    assert body["errors"][0]["extensions"] == {"code": "INVALID", "argument": "after"}


async def test_what_a_task_does_is_told_in_its_order(face: Face) -> None:
    task = face.keep(attempt=1, version=4, owner="alice")
    face.activity_feed.events = [
        LogLine(place=LogPlace(1, 1), at=NOW, attempt=1, message="begun"),
        Progress(fraction=0.5, message="half", at=NOW),
        event_of(task, TaskEventKind.SUCCEEDED),
    ]
    bodies = await face.follow(ACTIVITY, ALICE, taskId=task_id(task.id))
    at = "2030-01-31T08:00:00Z"
    assert [body["data"]["taskActivity"] for body in bodies] == [
        {"__typename": "LogLine", "at": at, "attempt": 1, "text": "begun"},
        {"__typename": "Progress", "fraction": 0.5, "message": "half"},
        {
            "__typename": "TaskEvent",
            "id": event_id(task.id, 4),
            "kind": "SUCCEEDED",
            "task": {"title": "Water the plants"},
        },
    ]
    assert face.activity_feed.asked == (task.id, "alice")
    assert face.activity_feed.following == 0


async def test_only_the_activity_of_known_tasks_is_followed(face: Face) -> None:
    theirs = face.keep(owner="bob")
    for caller, id in (
        (Caller(tenant=TENANT), "nonsense"),
        (Caller(tenant="other"), task_id(theirs.id)),
        (ALICE, task_id(theirs.id)),
    ):
        [body] = await face.follow(ACTIVITY, caller, taskId=id)
        assert [error["extensions"] for error in body["errors"]] == [{"code": "NOT_FOUND"}]
    assert face.activity_feed.asked is None


async def test_who_falls_behind_is_told_to_read_again_and_the_stream_ends(face: Face) -> None:
    task = face.keep()
    face.task_feed.events = [
        event_of(task, TaskEventKind.CREATED),
        Resync(),
        event_of(task, TaskEventKind.UPDATED),
    ]
    first, last = await face.follow(EVENTS)
    assert "errors" not in first
    assert last == {"errors": [{"message": str(Resync()), "extensions": {"code": "RESYNC"}}]}
    assert face.task_feed.watching == 0
    face.notification_feed.events = [Resync()]
    [body] = await face.follow(NOTIFICATIONS)
    assert body["errors"][0]["extensions"]["code"] == "RESYNC"


async def test_nothing_more_is_told_to_who_is_not_authenticated_any_more(face: Face) -> None:
    task = face.keep()
    face.task_feed.events = [event_of(task, TaskEventKind(kind)) for kind in ("CREATED", "UPDATED")]
    contexts = [face.context(), face.context()]

    def new_context() -> Context:
        if not contexts:
            raise Unauthenticated
        return contexts.pop()

    stream = await operations().subscribe(OperationRequest(EVENTS, {}), new_context)
    assert not isinstance(stream, Result)
    async with aclosing(stream):
        assert "errors" not in await anext(stream)
        with pytest.raises(Unauthenticated):  # not told as its end: clients take up again what was cut off
            await anext(stream)
    assert face.task_feed.watching == 0


async def test_a_store_that_is_gone_ends_the_stream_in_words(face: Face) -> None:
    face.notification_feed.events = [Unavailable("PostgreSQL")]
    [body] = await face.follow(NOTIFICATIONS)
    assert body["errors"][0]["extensions"] == {"code": "UNAVAILABLE", "retryable": True, "retryAfter": 1}
