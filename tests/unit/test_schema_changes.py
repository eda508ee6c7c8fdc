"""Mutations say in their payload what was refused and why; looking is not enough to change anything."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.tasks.states import TaskState
from domain.tenancy.model import Caller, Role
from schema.ids import notification_id, task_id
from schema.paging import stream_cursor
from tests.support.face import CALLER, NOW, TENANT, Face

ALICE = Caller(tenant=TENANT, role=Role.EDITOR, owner="alice")
LOOKER = Caller(tenant=TENANT, role=Role.VIEWER)

CREATE = """mutation ($input: CreateTaskInput!) { createTask(input: $input) {
    created
    task { id title owner scheduledAt action { kind } labels { name value } timeout attempts { nodes { id } } }
    errors { code message path } } }"""
CREATE_MANY = """mutation ($tasks: [CreateTaskInput!]!) { createTasks(input: { tasks: $tasks }) {
    createdCount tasks { title } errors { code path } } }"""
UPDATE = """mutation ($input: UpdateTaskInput!) { updateTask(input: $input) {
    task { title description owner priority version labels { name } action { kind } }
    errors { code path } } }"""


def on_task(field: str, payload: str = "task { state }") -> str:
    return (
        f"mutation ($input: TaskIdInput!) {{ {field}(input: $input) {{ {payload} errors {{ code path }} }} }}"
    )


@pytest.fixture
def face() -> Face:
    return Face()


async def create(face: Face, caller: Caller = CALLER, /, **input: Any) -> dict[str, Any]:
    payload: dict[str, Any] = (await face.ask(CREATE, caller, input={"title": "Hi", **input}))["createTask"]
    return payload


async def test_a_task_is_made(face: Face) -> None:
    payload = await create(
        face,
        scheduledAt="2030-02-01T00:00:00+01:00",
        action={"run": {"handler": "echo", "payload": {"value": 1}}},
        labels=[{"name": "order", "value": "7"}],
        timeout="PT5M",
        retry={"maxAttempts": 2, "backoff": "FIXED", "base": "PT1S"},
    )
    [task] = face.tasks.rows.values()
    assert payload == {
        "created": True,
        "task": {
            "id": task_id(task.id),
            "title": "Hi",
            "owner": None,
            "scheduledAt": "2030-01-31T23:00:00Z",
            "action": {"kind": "RUN"},
            "labels": [{"name": "order", "value": "7"}],
            "timeout": "PT5M",
            "attempts": {"nodes": []},
        },
        "errors": [],
    }
    assert task.retry.max_attempts == 2


async def test_null_is_as_good_as_absent(face: Face) -> None:
    names = "description scheduledAt action queue priority key owner labels concurrencyKey timeout retry"
    assert (await create(face, **dict.fromkeys(names.split())))["errors"] == []
    assert (await create(face))["errors"] == []
    first, second = face.tasks.rows.values()
    assert first.fingerprint == second.fingerprint


async def test_literals_are_read_like_variables(face: Face) -> None:
    data = await face.ask(
        """mutation { createTask(input: { title: "Hi", scheduledAt: "2030-02-01T00:00:00Z", timeout: "PT5M",
            action: { run: { handler: "echo", payload: { value: [1, 2.5, true, null, "x", { a: {} }] } } } })
            { task { action { run { payload } } scheduledAt } errors { message } } }"""
    )
    assert data["createTask"] == {
        "task": {
            "action": {"run": {"payload": {"value": [1, 2.5, True, None, "x", {"a": {}}]}}},
            "scheduledAt": "2030-02-01T00:00:00Z",
        },
        "errors": [],
    }


async def test_every_fault_is_told_with_its_code_and_path(face: Face) -> None:
    payload = await create(
        face,
        title=" ",
        scheduledAt="2030-01-31T08:00:00",
        priority=-1,
        timeout="-PT1S",
        labels=[{"name": "a", "value": "1"}, {"name": "a", "value": "2"}],
        action={"http": {"url": "http://169.254.169.254/"}},
    )
    assert (payload["task"], payload["created"]) == (None, False)
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [
        ("INVALID", ["input", "title"]),
        ("INVALID", ["input", "priority"]),
        ("INVALID", ["input", "timeout"]),
        ("INVALID", ["input", "labels", "1", "name"]),
        ("FORBIDDEN_URL", ["input", "action", "http", "url"]),
        ("INVALID", ["input", "scheduledAt"]),
    ]
    assert "offset" in payload["errors"][-1]["message"]
    assert not face.calls


@pytest.mark.parametrize(
    ("input", "code", "path"),
    [
        ({"action": {"run": {"handler": "nope", "payload": {}}}}, "UNKNOWN_HANDLER", "action run handler"),
        ({"action": {"run": {"handler": "echo", "payload": {}}}}, "INVALID", "action run payload value"),
        ({"action": {"run": {"handler": "echo", "payload": "x"}}}, "INVALID", "action run payload"),
        ({"action": {"notify": {"body": "\x00"}}}, "INVALID", "action notify body"),
        ({"scheduledAt": "10000-01-01T00:00:00Z"}, "INVALID", "scheduledAt"),
        ({"scheduledAt": "2030-01-31T07:58:00Z"}, "INVALID", "scheduledAt"),
        ({"timeout": "P9999999999999D"}, "INVALID", "timeout"),
        ({"retry": {"cap": "PT25H"}}, "INVALID", "retry cap"),
        ({"title": "x" * 201}, "INVALID", "title"),
        ({"description": "x" * 10_001}, "INVALID", "description"),
    ],
)
async def test_a_fault_is_told_with_its_code_and_path(
    face: Face, input: dict[str, Any], code: str, path: str
) -> None:
    [error] = (await create(face, **input))["errors"]
    assert (error["code"], error["path"]) == (code, ["input", *path.split()])


async def test_a_key_is_told_whether_it_made_anything(face: Face) -> None:
    assert (await create(face, key="k"))["created"] is True
    again = await create(face, key="k")
    assert (again["created"], again["task"]["title"]) == (False, "Hi")
    [error] = (await create(face, key="k", title="Ho"))["errors"]
    assert (error["code"], error["path"]) == ("CONFLICT", ["input", "key"])


async def test_a_bound_caller_makes_tasks_for_its_owner(face: Face) -> None:
    assert (await create(face, ALICE))["task"]["owner"] == "alice"
    [error] = (await create(face, ALICE, owner="bob"))["errors"]
    assert (error["code"], error["path"]) == ("INVALID", ["input", "owner"])


async def test_a_key_whose_task_went_to_another_owner_shows_nothing_of_it(face: Face) -> None:
    await create(face, ALICE, key="k")
    [task] = face.tasks.rows.values()
    await face.ask(UPDATE, input={"id": task_id(task.id), "owner": "bob"})
    assert await create(face, ALICE, key="k") == {"task": None, "created": False, "errors": []}


async def test_many_tasks_are_made_or_none(face: Face) -> None:
    data = await face.ask(
        CREATE_MANY, tasks=[{"title": "a"}, {"title": "b", "key": "k"}, {"title": "b", "key": "k"}]
    )
    assert data["createTasks"]["createdCount"] == 3
    assert [task["title"] for task in data["createTasks"]["tasks"]] == ["a", "b", "b"]
    before = len(face.tasks.rows)
    data = await face.ask(CREATE_MANY, tasks=[{"title": "a"}] * 3 + [{"title": "", "queue": "?"}])
    assert data["createTasks"] == {
        "createdCount": 0,
        "tasks": [],
        "errors": [
            {"code": "INVALID", "path": ["input", "tasks", "3", "title"]},
            {"code": "INVALID", "path": ["input", "tasks", "3", "queue"]},
        ],
    }
    data = await face.ask(CREATE_MANY, tasks=[{"title": "a"}] * 1_001)
    assert data["createTasks"]["errors"] == [{"code": "TOO_MANY", "path": ["input", "tasks"]}]
    assert len(face.tasks.rows) == before


async def test_an_update_keeps_what_is_absent_and_takes_away_what_is_null(face: Face) -> None:
    task = face.keep(description="Old", owner="alice", labels=(("a", "1"),))
    id = task_id(task.id)
    data = await face.ask(UPDATE, input={"id": id, "title": "New", "version": 1})
    assert data["updateTask"]["task"] == {
        "title": "New",
        "description": "Old",
        "owner": "alice",
        "priority": 5,
        "version": 2,
        "labels": [{"name": "a"}],
        "action": {"kind": "NOTIFY"},
    }
    gone = {"id": id, "description": None, "owner": None, "labels": None, "version": None}
    task_now = (await face.ask(UPDATE, input=gone))["updateTask"]["task"]
    assert (task_now["description"], task_now["owner"], task_now["labels"]) == (None, None, [])
    data = await face.ask(UPDATE, input={"id": id, "title": None, "action": None, "version": 1})
    assert [error["path"] for error in data["updateTask"]["errors"]] == [
        ["input", "title"],
        ["input", "action"],
    ]
    data = await face.ask(UPDATE, input={"id": id, "title": "x", "version": 1})
    assert data["updateTask"] == {
        "task": None,
        "errors": [{"code": "STALE_VERSION", "path": ["input", "version"]}],
    }


async def test_a_task_is_cancelled_run_again_and_deleted(face: Face) -> None:
    task = face.keep(scheduled_at=NOW + timedelta(days=1))
    input = {"id": task_id(task.id)}
    cancelled = {"task": {"state": "CANCELLED"}, "errors": []}
    assert await face.ask(on_task("cancelTask"), input=input) == {"cancelTask": cancelled}
    assert await face.ask(on_task("cancelTask"), input=input) == {"cancelTask": cancelled}
    again = {"task": {"state": "SCHEDULED"}, "errors": []}
    assert await face.ask(on_task("runTaskNow"), input=input) == {"runTaskNow": again}
    data = await face.ask(on_task("deleteTask", "deletedId"), input=input)
    assert data == {"deleteTask": {"deletedId": input["id"], "errors": []}}
    assert not face.tasks.rows


async def test_what_its_state_does_not_allow_is_told(face: Face) -> None:
    task = face.keep(state=TaskState.RUNNING)
    input = {"id": task_id(task.id)}
    illegal = [{"code": "ILLEGAL_STATE", "path": ["input", "id"]}]
    data = await face.ask(on_task("runTaskNow"), input=input)
    assert data["runTaskNow"] == {"task": None, "errors": illegal}
    data = await face.ask(on_task("deleteTask", "deletedId"), input=input)
    assert data["deleteTask"] == {"deletedId": None, "errors": illegal}


async def test_what_is_unknown_foreign_or_no_id_is_not_found(face: Face) -> None:
    task = face.keep(owner="bob")
    told = face.keep_notification(task)
    missing = [{"code": "NOT_FOUND", "path": ["input", "id"]}]
    foreign = [(Caller(tenant="other"), task_id(task.id)), (ALICE, task_id(task.id))]
    unknown = [task_id(told.id), notification_id(told.id), "nonsense", ""]
    for caller, id in [*foreign, *[(CALLER, each) for each in unknown]]:
        for field, payload in (("cancelTask", ""), ("runTaskNow", ""), ("deleteTask", "")):
            data = await face.ask(on_task(field, payload), caller, input={"id": id})
            assert data == {field: {"errors": missing}}
        data = await face.ask(UPDATE, caller, input={"id": id, "title": "Mine"})
        assert data["updateTask"]["errors"] == missing
    assert face.tasks.rows[task.id] == task


MARK = """mutation ($input: MarkNotificationsReadInput!) { markNotificationsRead(input: $input) {
    count unreadCount errors { code path } } }"""


async def test_notifications_are_marked_by_id_or_up_to_a_place(face: Face) -> None:
    told = [face.keep_notification() for _ in range(4)]
    ids = [notification_id(told[0].id), notification_id(told[2].id)]

    async def mark(**input: Any) -> dict[str, Any]:
        marked: dict[str, Any] = (await face.ask(MARK, input=input))["markNotificationsRead"]
        return marked

    assert await mark(ids=ids) == {"count": 2, "unreadCount": 2, "errors": []}
    assert await mark(ids=ids) == {"count": 0, "unreadCount": 2, "errors": []}
    assert await mark(ids=[]) == {"count": 0, "unreadCount": 2, "errors": []}
    assert await mark(upTo=stream_cursor(told[1].seq)) == {"count": 1, "unreadCount": 1, "errors": []}
    unread = {"count": 0, "unreadCount": 1}
    wrong: list[tuple[str, list[str], dict[str, object]]] = [
        ("NOT_FOUND", ["ids", "1"], {"ids": [notification_id(told[3].id), ids[0][:-1]]}),
        ("NOT_FOUND", ["ids", "0"], {"ids": [task_id(told[3].id)]}),
        ("INVALID", ["upTo"], {"upTo": "nonsense"}),
        ("TOO_MANY", ["ids"], {"ids": ids * 501}),
    ]
    for code, path, input in wrong:
        assert await mark(**input) == {**unread, "errors": [{"code": code, "path": path and ["input", *path]}]}


async def test_a_bound_caller_marks_its_own_alone(face: Face) -> None:
    mine, theirs = face.keep_notification(owner="alice"), face.keep_notification(owner="bob")
    data = await face.ask(MARK, ALICE, input={"ids": [notification_id(theirs.id)]})
    assert data["markNotificationsRead"]["errors"] == [{"code": "NOT_FOUND", "path": ["input", "ids", "0"]}]
    data = await face.ask(MARK, ALICE, input={"upTo": stream_cursor(theirs.seq)})
    assert data["markNotificationsRead"] == {"count": 1, "unreadCount": 0, "errors": []}
    assert [each.read_at for each in face.notifications.rows] == [NOW, None]
    assert mine.owner == "alice"


async def test_what_a_mutation_changed_is_not_shown_from_before(face: Face) -> None:
    task = face.keep(state=TaskState.FAILED)
    id = task_id(task.id)
    data = await face.ask(
        """mutation ($id: ID!) {
            one: cancelTask(input: { id: $id }) { task { notifications { unreadCount } } }
            two: runTaskNow(input: { id: $id }) { task { notifications { unreadCount } } } }""",
        id=id,
    )
    assert data["one"] == data["two"]
    assert face.calls.count("of_tasks") == 2 * face.calls[: face.calls.index("change", 1)].count("of_tasks")
