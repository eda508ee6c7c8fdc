"""Queries show what the caller may see, in pages, with one read for each level of the answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.actions.model import Http, Run
from domain.attempts.activity import LogLine, LogPlace
from domain.attempts.model import AttemptState, Progress
from domain.tasks.model import TaskError
from domain.tasks.states import TaskState
from domain.tenancy.model import Caller, Role
from schema.ids import attempt_id, notification_id, task_id
from schema.paging import stream_cursor
from tests.support.face import CALLER, NOW, TENANT, Face

ALICE = Caller(tenant=TENANT, role=Role.EDITOR, owner="alice")
ELSEWHERE = Caller(tenant="other")


@pytest.fixture
def face() -> Face:
    return Face()


async def test_a_task_is_shown_whole(face: Face) -> None:
    task = face.keep(
        description="Twice",
        state=TaskState.FAILED,
        action=Run(handler="echo", payload={"value": [1, None]}),
        key="k",
        owner="alice",
        labels=(("order", "7"),),
        concurrency_key="account-17",
        attempt=5,
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=1.5),
        result={"n": 1},
        error=TaskError(type="ValueError", message="no", attempt=5),
        version=9,
    )
    face.activity.latest[task.id] = Progress(fraction=0.5, message="half", at=NOW)
    data = await face.ask(
        """query ($id: ID!) { task(id: $id) {
            __typename id title description state scheduledAt queue priority key owner concurrencyKey
            attempt maxAttempts timeout
            action { kind http { url } run { handler payload } } labels { name value }
            progress { fraction message at } result error { type message attempt }
            createdAt updatedAt startedAt finishedAt version traceId } }""",
        id=task_id(task.id),
    )
    assert data["task"] == {
        "__typename": "Task",
        "id": task_id(task.id),
        "title": "Water the plants",
        "description": "Twice",
        "state": "FAILED",
        "scheduledAt": "2030-01-31T08:00:00Z",
        "queue": "default",
        "priority": 5,
        "key": "k",
        "owner": "alice",
        "concurrencyKey": "account-17",
        "attempt": 5,
        "maxAttempts": 5,
        "timeout": "PT1M",
        "action": {"kind": "RUN", "http": None, "run": {"handler": "echo", "payload": {"value": [1, None]}}},
        "labels": [{"name": "order", "value": "7"}],
        "progress": {"fraction": 0.5, "message": "half", "at": "2030-01-31T08:00:00Z"},
        "result": {"n": 1},
        "error": {"type": "ValueError", "message": "no", "attempt": 5},
        "createdAt": "2030-01-31T08:00:00Z",
        "updatedAt": "2030-01-31T08:00:00Z",
        "startedAt": "2030-01-31T08:00:00Z",
        "finishedAt": "2030-01-31T08:00:01.500000Z",
        "version": 9,
        "traceId": "a" * 32,
    }


async def test_an_action_is_shown_by_its_kind(face: Face) -> None:
    face.keep()
    face.keep(action=Http(url="https://example.com/", headers={"x-a": "1"}, body={"b": 2}))
    data = await face.ask("{ tasks { nodes { action { kind run { handler } http { url headers body } } } } }")
    assert [each["action"] for each in data["tasks"]["nodes"]] == [
        {"kind": "NOTIFY", "run": None, "http": None},
        {
            "kind": "HTTP",
            "run": None,
            "http": {"url": "https://example.com/", "headers": {"x-a": "1"}, "body": {"b": 2}},
        },
    ]


async def test_a_task_is_found_by_its_key_or_its_id_not_by_both(face: Face) -> None:
    task = face.keep(key="k")
    query = "query ($id: ID, $key: String) { task(id: $id, key: $key) { id } }"
    assert await face.ask(query, key="k") == {"task": {"id": task_id(task.id)}}
    assert await face.ask(query, key="other") == {"task": None}
    for variables in ({}, {"id": task_id(task.id), "key": "k"}, {"id": None, "key": None}):
        assert (await face.error(query, **variables))["extensions"]["code"] == "INVALID"


async def test_what_is_unknown_foreign_or_no_id_is_null(face: Face) -> None:
    task = face.keep(owner="bob", key="k")
    attempt, told = face.keep_attempt(task, 1), face.keep_notification(task)
    ids = [task_id(task.id), attempt_id(task.id, attempt.number), notification_id(told.id)]
    near = [attempt_id(task.id, 2), task_id(told.id), notification_id(task.id), "VGFzazo", "nonsense", ""]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    found = (await face.ask(query, ids=[*ids, *near]))["nodes"]
    assert found[:3] == [
        {"__typename": name, "id": id}
        for name, id in zip(("Task", "Attempt", "Notification"), ids, strict=True)
    ]
    assert found[3:] == [None] * len(near)
    for stranger in (ELSEWHERE, ALICE):
        assert (await face.ask(query, stranger, ids=ids))["nodes"] == [None] * 3
        assert await face.ask('{ task(key: "k") { id } }', stranger) == {"task": None}
        assert await face.ask("query ($id: ID!) { node(id: $id) { id } }", stranger, id=ids[0]) == {
            "node": None
        }
        assert await face.ask("query ($id: ID!) { task(id: $id) { id } }", stranger, id=ids[0]) == {
            "task": None
        }


async def test_nodes_are_read_together_and_bounded(face: Face) -> None:
    ids = [task_id(face.keep().id) for _ in range(100)]
    await face.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert face.calls == ["find"]
    error = await face.error("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[*ids, *ids[:1]])
    assert error["extensions"] == {"code": "INVALID", "argument": "ids"}


async def test_lists_cost_one_read_for_each_level(face: Face) -> None:
    for number in range(50):
        task = face.keep(scheduled_at=NOW + timedelta(seconds=number))
        face.keep_attempt(task, 1)
        face.keep_notification(task)
    data = await face.ask(
        """{ tasks(first: 50) { edges { cursor node { id } } nodes { title
            attempts { nodes { number state lateness worker } }
            notifications { nodes { title readAt } } } } }"""
    )
    assert sorted(face.calls) == ["history", "of_tasks", "page"]
    nodes = data["tasks"]["nodes"]
    assert len(nodes) == 50
    assert nodes[0]["attempts"] == {
        "nodes": [{"number": 1, "state": "SUCCEEDED", "lateness": "PT0.003S", "worker": "w1"}]
    }
    assert all(len(node["notifications"]["nodes"]) == 1 for node in nodes)


async def test_deeper_levels_cost_one_read_each_too(face: Face) -> None:
    for _ in range(3):
        face.keep_notification(face.keep())
    await face.ask(
        """{ tasks { totalCount nodes { progress { at }
            notifications { unreadCount nodes { task { id attempts { nodes { id } } } } } } } }"""
    )
    assert sorted(face.calls) == ["count", "find", "history", "of_tasks", "of_tasks", "page", "progress"]


async def test_the_log_of_a_task_is_read_from_its_end(face: Face) -> None:
    task = face.keep()
    face.activity.lines[task.id] = [
        LogLine(place=LogPlace(1, n), at=NOW, attempt=1, message=f"line {n}") for n in range(150)
    ]
    query = "query ($last: Int) { tasks { nodes { log(last: $last) { at attempt message } } } }"
    [node] = (await face.ask(query, last=1))["tasks"]["nodes"]
    assert node["log"] == [{"at": "2030-01-31T08:00:00Z", "attempt": 1, "message": "line 149"}]
    for shown, variables in ((100, {}), (100, {"last": None}), (150, {"last": 200})):
        query = "query ($last: Int = 100) { tasks { nodes { log(last: $last) { message } } } }"
        [node] = (await face.ask(query, **variables))["tasks"]["nodes"]
        assert len(node["log"]) == shown
    for last in (0, -1, 201):
        error = await face.error(query, last=last)
        assert error["extensions"] == {"code": "INVALID", "argument": "last"}


async def test_the_logs_of_a_page_are_bounded_together(face: Face) -> None:
    for _ in range(100):
        face.keep()
    query = "query ($last: Int) { tasks(first: 100) { nodes { log(last: $last) { message } } } }"
    face.calls.clear()
    await face.ask(query, last=100)
    assert sorted(face.calls) == ["log", "page"]
    result = await face.run(query, last=101)
    assert {error["extensions"]["code"] for error in result.body["errors"]} == {"TOO_MANY"}


async def test_tasks_are_paged_both_ways(face: Face) -> None:
    for number in range(5):
        face.keep(title=f"t{number}", scheduled_at=NOW + timedelta(seconds=number))
    query = """query ($first: Int, $after: String, $last: Int, $before: String, $orderBy: TaskOrder) {
        tasks(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy) {
            nodes { title } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""

    async def page(**arguments: object) -> tuple[list[str], dict[str, Any]]:
        tasks = (await face.ask(query, **arguments))["tasks"]
        return [node["title"] for node in tasks["nodes"]], tasks["pageInfo"]

    titles, info = await page(first=2)
    assert titles == ["t0", "t1"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    titles, info = await page(first=2, after=info["endCursor"])
    assert titles == ["t2", "t3"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, True)
    titles, info = await page(last=2, before=info["startCursor"])
    assert titles == ["t0", "t1"]
    titles, info = await page(last=2)
    assert titles == ["t3", "t4"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (False, True)
    titles, info = await page(first=1, orderBy="SCHEDULED_AT_DESC")
    assert titles == ["t4"]
    error = await face.error(query, first=1, after=info["endCursor"])
    assert error["extensions"] == {"code": "INVALID", "argument": "after"}, "of another order"
    titles, info = await page(first=100, orderBy=None)
    assert len(titles) == 5


async def test_an_empty_page_has_no_cursors(face: Face) -> None:
    data = await face.ask(
        "{ tasks { totalCount nodes { id } pageInfo { startCursor endCursor hasNextPage } } }"
    )
    assert data["tasks"] == {
        "totalCount": 0,
        "nodes": [],
        "pageInfo": {"startCursor": None, "endCursor": None, "hasNextPage": False},
    }


@pytest.mark.parametrize("size", [0, -1, 101, 2**31 - 1])
async def test_no_page_is_unbounded(face: Face, size: int) -> None:
    for field in ("tasks", "notifications"):
        for argument in ("first", "last"):
            error = await face.error(f"{{ {field}({argument}: {size}) {{ nodes {{ id }} }} }}")
            code = "INVALID" if size < 1 else "PAGE_TOO_LARGE"
            assert error["extensions"] == {"code": code, "argument": argument}
            assert error["message"] == f"`{argument}` must be from 1 to 100; it is {size}."
            assert "path" not in error, "it is not begun"
    face.keep()
    for field in ("attempts", "notifications"):
        error = await face.error(f"{{ tasks {{ nodes {{ {field}(first: {size}) {{ nodes {{ id }} }} }} }} }}")
        assert error["extensions"] == {"code": "INVALID" if size < 1 else "PAGE_TOO_LARGE", "argument": "first"}


async def test_the_attempts_of_a_task_are_paged(face: Face) -> None:
    task = face.keep()
    for number in (1, 2, 3):
        face.keep_attempt(task, number, state=AttemptState.FAILED, error_type="E", error_message="m")
    query = """query ($id: ID!, $after: String) { task(id: $id) { attempts(first: 2, after: $after) {
        edges { cursor node { id number error { type message attempt } } }
        pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""
    first = (await face.ask(query, id=task_id(task.id)))["task"]["attempts"]
    assert first["edges"][1]["node"] == {
        "id": attempt_id(task.id, 2),
        "number": 2,
        "error": {"type": "E", "message": "m", "attempt": 2},
    }
    info = first["pageInfo"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    assert info["endCursor"] == first["edges"][1]["cursor"]
    rest = (await face.ask(query, id=task_id(task.id), after=info["endCursor"]))["task"]["attempts"]
    assert [edge["node"]["number"] for edge in rest["edges"]] == [3]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    other = face.keep()
    error = await face.error(query, id=task_id(other.id), after=info["endCursor"])
    assert error["extensions"] == {"code": "INVALID", "argument": "after"}


async def test_notifications_are_listed_counted_and_paged(face: Face) -> None:
    task = face.keep(owner="alice")
    read = face.keep_notification(task, read_at=NOW)
    unread = face.keep_notification(task)
    face.keep_notification(owner="bob")
    query = """query ($first: Int, $after: String, $unreadOnly: Boolean, $owner: String) {
        notifications(first: $first, after: $after, unreadOnly: $unreadOnly, owner: $owner) {
            unreadCount nodes { id cursor task { id } } edges { cursor } pageInfo { hasNextPage } } }"""
    mine = (await face.ask(query, owner="alice"))["notifications"]
    assert [node["id"] for node in mine["nodes"]] == [notification_id(each.id) for each in (read, unread)]
    assert [node["cursor"] for node in mine["nodes"]] == [edge["cursor"] for edge in mine["edges"]]
    assert mine["unreadCount"] == 1
    everything = (await face.ask(query, first=1))["notifications"]
    assert (everything["unreadCount"], everything["pageInfo"]["hasNextPage"]) == (2, True)
    after = (await face.ask(query, after=everything["edges"][0]["cursor"], unreadOnly=True))["notifications"]
    assert [node["task"] for node in after["nodes"]] == [{"id": task_id(task.id)}, None]


async def test_a_bound_caller_sees_what_is_its_owners_alone(face: Face) -> None:
    mine, theirs, everyones = face.keep(owner="alice"), face.keep(owner="bob"), face.keep()
    face.keep_notification(mine)
    face.keep_notification(theirs)
    face.keep_notification(everyones)
    face.keep_notification(mine, owner="bob")
    query = """query ($owner: String) { tasks(filter: { owner: $owner }) { totalCount nodes { owner
            notifications { unreadCount nodes { owner } } } }
        notifications(owner: $owner) { unreadCount nodes { owner } } }"""
    alice = {
        "tasks": {
            "totalCount": 1,
            "nodes": [{"owner": "alice", "notifications": {"unreadCount": 1, "nodes": [{"owner": "alice"}]}}],
        },
        "notifications": {"unreadCount": 1, "nodes": [{"owner": "alice"}]},
    }
    assert await face.ask(query, ALICE) == alice
    assert await face.ask(query, ALICE, owner="alice") == alice
    assert await face.ask(query, ALICE, owner="bob") == {
        "tasks": {"totalCount": 0, "nodes": []},
        "notifications": {"unreadCount": 0, "nodes": []},
    }
    assert (await face.ask(query, CALLER))["tasks"]["totalCount"] == 3


@pytest.mark.parametrize(
    ("filter", "field"),
    [
        ({"dueAfter": "2030-01-31T08:00:00"}, "dueAfter"),
        ({"dueBefore": "2030-01-31T08:00:00"}, "dueBefore"),
        ({"owner": ""}, "owner"),
        ({"owner": "\x00"}, "owner"),
        ({"search": "x" * 201}, "search"),
        ({"queues": ["a", "\n"]}, "queues.1"),
        ({"states": ["FAILED"] * 101}, "states"),
        ({"queues": ["a"] * 101}, "queues"),
        ({"labels": [{"name": "a", "value": "\x00"}]}, "labels.0.value"),
        ({"labels": [{"name": "", "value": ""}]}, "labels.0.name"),
        ({"labels": [{"name": "a", "value": "b"}] * 17}, "labels"),
    ],
)
async def test_a_filter_that_nothing_could_match_names_its_field(
    face: Face, filter: dict[str, object], field: str
) -> None:
    error = await face.error("query ($f: TaskFilter) { tasks(filter: $f) { nodes { id } } }", f=filter)
    assert error["extensions"] == {"code": "INVALID", "argument": f"filter.{field}"}
    assert not face.calls


async def test_a_filter_is_passed_on(face: Face) -> None:
    face.keep()
    face.keep(state=TaskState.FAILED)
    filter = {"states": ["FAILED"], "labels": None, "queues": None, "dueBefore": "10000-01-01T00:00:00Z"}
    data = await face.ask("query ($f: TaskFilter) { tasks(filter: $f) { nodes { state } } }", f=filter)
    assert data["tasks"]["nodes"] == [{"state": "FAILED"}]


async def test_the_caller_and_the_handlers_are_shown(face: Face) -> None:
    data = await face.ask("{ viewer { tenant role owner } handlers { name description payloadSchema } }", ALICE)
    assert data == {
        "viewer": {"tenant": TENANT, "role": "EDITOR", "owner": "alice"},
        "handlers": [{"name": "echo", "description": "Gives it back.", "payloadSchema": {"type": "object"}}],
    }


async def test_a_cursor_of_the_stream_is_no_cursor_of_tasks(face: Face) -> None:
    error = await face.error("query ($c: String) { tasks(after: $c) { nodes { id } } }", c=stream_cursor(1))
    assert error["extensions"] == {"code": "INVALID", "argument": "after"}
