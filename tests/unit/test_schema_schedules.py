"""Schedules over GraphQL: made, changed, listed, and shown with their fire times and tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.schedules.model import Schedule
from domain.tenancy.model import Caller, Role
from schema.ids import schedule_id, task_id
from tests.support.face import CALLER, NOW, TENANT, Face

ALICE = Caller(tenant=TENANT, role=Role.EDITOR, owner="alice")
BOB = Caller(tenant=TENANT, role=Role.EDITOR, owner="bob")
LOOKER = Caller(tenant=TENANT, role=Role.VIEWER)
OTHERS = Caller(tenant="other")

CREATE = """mutation ($input: CreateScheduleInput!) { createSchedule(input: $input) {
    schedule { id name recurrence { cron rrule every } timeZone startsAt endsAt jitter misfirePolicy
      catchUpWindow overlapPolicy paused owner version nextFireTimes(first: 2)
      task { title owner queue priority concurrencyKey maxAttempts timeout action { kind }
        labels { name value } } }
    errors { code path message } } }"""
UPDATE = """mutation ($input: UpdateScheduleInput!) { updateSchedule(input: $input) {
    schedule { name version nextFireTimes(first: 1) recurrence { every } startsAt jitter task { title } }
    errors { code path } } }"""
LIST = """query ($first: Int, $after: String, $owner: String) {
    schedules(first: $first, after: $after, owner: $owner) {
      nodes { name } edges { cursor } pageInfo { hasNextPage endCursor } } }"""


def on_schedule(field: str, payload: str = "schedule { paused version nextFireTimes(first: 1) }") -> str:
    return (
        f"mutation ($input: ScheduleIdInput!) {{ {field}(input: $input) "
        f"{{ {payload} errors {{ code path }} }} }}"
    )


@pytest.fixture
def face() -> Face:
    return Face()


async def create(face: Face, caller: Caller = CALLER, /, **input: Any) -> dict[str, Any]:
    given = {"name": "Plants", "recurrence": {"cron": "0 9 * * *"}, "task": {"title": "Water"}, **input}
    payload: dict[str, Any] = (await face.ask(CREATE, caller, input=given))["createSchedule"]
    return payload


async def made(face: Face, caller: Caller = CALLER, /, **input: Any) -> Schedule:
    assert (await create(face, caller, **input))["errors"] == []
    return list(face.schedules.rows.values())[-1]


async def test_a_schedule_is_made_with_its_defaults(face: Face) -> None:
    payload = await create(face)
    [schedule] = face.schedules.rows.values()
    assert payload == {
        "schedule": {
            "id": schedule_id(schedule.id),
            "name": "Plants",
            "recurrence": {"cron": "0 9 * * *", "rrule": None, "every": None},
            "timeZone": "UTC",
            "startsAt": None,
            "endsAt": None,
            "jitter": None,
            "misfirePolicy": "FIRE_ONCE",
            "catchUpWindow": "P1D",
            "overlapPolicy": "BUFFER_ONE",
            "paused": False,
            "owner": None,
            "version": 1,
            "nextFireTimes": ["2030-01-31T09:00:00Z", "2030-02-01T09:00:00Z"],
            "task": {
                "title": "Water",
                "owner": None,
                "queue": "default",
                "priority": 5,
                "concurrencyKey": None,
                "maxAttempts": 5,
                "timeout": "PT1M",
                "action": {"kind": "NOTIFY"},
                "labels": [],
            },
        },
        "errors": [],
    }


async def test_null_is_as_good_as_absent(face: Face) -> None:
    names = "timeZone startsAt endsAt jitter misfirePolicy catchUpWindow overlapPolicy"
    of_task = "description owner labels action queue priority concurrencyKey timeout retry"
    task = {"title": "Water", **dict.fromkeys(of_task.split())}
    await made(face, task=task, **dict.fromkeys(names.split()))
    await made(face)
    first, second = face.schedules.rows.values()
    assert (first.task, first.zone, first.jitter) == (second.task, second.zone, second.jitter)


async def test_its_tasks_may_share_a_key_with_other_work(face: Face) -> None:
    payload = await create(face, task={"title": "Sync", "concurrencyKey": "account-17"})
    assert payload["schedule"]["task"]["concurrencyKey"] == "account-17"
    [schedule] = face.schedules.rows.values()
    assert schedule.task.concurrency_key == "account-17"


async def test_every_fault_is_told_with_its_field(face: Face) -> None:
    payload = await create(
        face,
        name=" ",
        recurrence={"cron": "61 * * * *"},
        jitter="-PT1S",
        catchUpWindow="PT0S",
        task={
            "title": "",
            "priority": 11,
            "concurrencyKey": "",
            "action": {"run": {"handler": "nobody", "payload": {}}},
        },
    )
    assert payload["schedule"] is None
    assert {(error["code"], ".".join(error["path"])) for error in payload["errors"]} == {
        ("INVALID", "input.name"),
        ("INVALID", "input.recurrence.cron"),
        ("INVALID", "input.jitter"),
        ("INVALID", "input.catchUpWindow"),
        ("INVALID", "input.task.title"),
        ("INVALID", "input.task.priority"),
        ("INVALID", "input.task.concurrencyKey"),
        ("UNKNOWN_HANDLER", "input.task.action.run.handler"),
    }
    assert face.schedules.rows == {}


async def test_a_zone_nobody_knows_is_refused_at_its_field(face: Face) -> None:
    [error] = (await create(face, timeZone="Mars/Olympus"))["errors"]
    assert (error["code"], error["path"]) == ("INVALID", ["input", "timeZone"])


async def test_an_edit_keeps_what_it_leaves_out(face: Face) -> None:
    schedule = await made(face, jitter="PT1M")
    edit = {"id": schedule_id(schedule.id), "name": "Ferns"}
    payload = (await face.ask(UPDATE, input=edit))["updateSchedule"]
    assert payload == {
        "schedule": {
            "name": "Ferns",
            "version": 2,
            "nextFireTimes": ["2030-01-31T09:00:00Z"],
            "recurrence": {"every": None},
            "startsAt": None,
            "jitter": "PT1M",
            "task": {"title": "Water"},
        },
        "errors": [],
    }


async def test_an_edit_of_the_recurrence_begins_anew_from_now(face: Face) -> None:
    schedule = await made(face)
    edit = {"id": schedule_id(schedule.id), "recurrence": {"every": "PT10M"}, "jitter": None}
    payload = (await face.ask(UPDATE, input=edit))["updateSchedule"]
    assert payload["errors"] == []
    assert payload["schedule"]["recurrence"] == {"every": "PT10M"}
    assert payload["schedule"]["nextFireTimes"] == ["2030-01-31T08:10:00Z"]
    assert face.schedules.rows[schedule.id].revision == 2


async def test_what_cannot_be_taken_away_is_refused(face: Face) -> None:
    schedule = await made(face)
    edit = {
        "id": schedule_id(schedule.id),
        **dict.fromkeys(["name", "recurrence", "timeZone", "misfirePolicy", "overlapPolicy", "task"]),
    }
    errors = (await face.ask(UPDATE, input=edit))["updateSchedule"]["errors"]
    assert {error["path"][1] for error in errors} == set(edit) - {"id"}


async def test_a_lost_update_is_refused(face: Face) -> None:
    schedule = await made(face)
    edit = {"id": schedule_id(schedule.id), "version": 7, "name": "Ferns"}
    [error] = (await face.ask(UPDATE, input=edit))["updateSchedule"]["errors"]
    assert error == {"code": "STALE_VERSION", "path": ["input", "version"]}


async def test_a_paused_schedule_has_no_fire_times_until_it_is_resumed(face: Face) -> None:
    schedule = await made(face)
    ask = {"id": schedule_id(schedule.id)}
    paused = (await face.ask(on_schedule("pauseSchedule"), input=ask))["pauseSchedule"]
    assert paused["schedule"] == {"paused": True, "version": 2, "nextFireTimes": []}
    face.clock.time = NOW + timedelta(days=3, hours=2)
    resumed = (await face.ask(on_schedule("resumeSchedule"), input=ask))["resumeSchedule"]
    assert resumed["schedule"] == {"paused": False, "version": 3, "nextFireTimes": ["2030-02-04T09:00:00Z"]}


async def test_a_deleted_schedule_leaves_its_tasks(face: Face) -> None:
    schedule = await made(face)
    task = face.keep(schedule_id=schedule.id, fire_time=NOW)
    query = "query ($id: ID!) { task(id: $id) { fireTime schedule { name } } }"
    assert (await face.ask(query, id=task_id(task.id)))["task"] == {
        "fireTime": "2030-01-31T08:00:00Z",
        "schedule": {"name": "Plants"},
    }
    delete = on_schedule("deleteSchedule", "deletedId")
    payload = (await face.ask(delete, input={"id": schedule_id(schedule.id)}))["deleteSchedule"]
    assert payload == {"deletedId": schedule_id(schedule.id), "errors": []}
    assert (await face.ask(query, id=task_id(task.id)))["task"] == {
        "fireTime": "2030-01-31T08:00:00Z",
        "schedule": None,
    }


@pytest.mark.parametrize("field", ["pauseSchedule", "resumeSchedule", "deleteSchedule"])
@pytest.mark.parametrize("caller", [OTHERS, BOB], ids=["another tenant", "another owner"])
async def test_what_is_anothers_is_not_found(face: Face, field: str, caller: Caller) -> None:
    schedule = await made(face, ALICE)
    payload = "deletedId" if field == "deleteSchedule" else "schedule { name }"
    for id in (schedule_id(schedule.id), task_id(schedule.id), "nonsense"):
        answer = (await face.ask(on_schedule(field, payload), caller, input={"id": id}))[field]
        assert answer["errors"] == [{"code": "NOT_FOUND", "path": ["input", "id"]}]
    assert not face.schedules.rows[schedule.id].paused


async def test_whoever_may_only_look_changes_nothing(face: Face) -> None:
    given = {"name": "Plants", "recurrence": {"cron": "0 9 * * *"}, "task": {"title": "Water"}}
    error = await face.error(CREATE, LOOKER, input=given)
    assert error["extensions"]["code"] == "FORBIDDEN"


async def test_schedules_are_listed_in_pages_and_by_owner(face: Face) -> None:
    for name in ("one", "two", "three"):
        await made(face, name=name, task={"title": "Water", "owner": "alice" if name == "two" else None})
    first = (await face.ask(LIST, first=2))["schedules"]
    assert [node["name"] for node in first["nodes"]] == ["one", "two"]
    assert first["pageInfo"]["hasNextPage"]
    rest = (await face.ask(LIST, first=2, after=first["pageInfo"]["endCursor"]))["schedules"]
    assert [node["name"] for node in rest["nodes"]] == ["three"]
    assert not rest["pageInfo"]["hasNextPage"]
    for caller, owner in ((CALLER, "alice"), (ALICE, None)):
        theirs = (await face.ask(LIST, caller, owner=owner))["schedules"]
        assert [node["name"] for node in theirs["nodes"]] == ["two"]
    assert (await face.ask(LIST, BOB, owner="alice"))["schedules"]["nodes"] == []
    error = await face.error(LIST, after=task_id(face.ids.next()))
    assert error["extensions"] == {"code": "INVALID", "argument": "after"}


async def test_a_schedule_is_a_node(face: Face) -> None:
    schedule = await made(face, ALICE)
    query = "query ($id: ID!) { node(id: $id) { ... on Schedule { name } } schedule(id: $id) { name } }"
    found = {"name": "Plants"}
    assert await face.ask(query, id=schedule_id(schedule.id)) == {"node": found, "schedule": found}
    for caller in (OTHERS, BOB):
        assert await face.ask(query, caller, id=schedule_id(schedule.id)) == {"node": None, "schedule": None}


async def test_the_tasks_of_a_schedule_are_its_own_alone(face: Face) -> None:
    schedule, other = await made(face), await made(face)
    face.keep(title="its", schedule_id=schedule.id, queue="a")
    face.keep(title="its too", schedule_id=schedule.id)
    face.keep(title="another's", schedule_id=other.id)
    face.keep(title="nobody's")
    query = """query ($id: ID!, $filter: TaskFilter) { schedule(id: $id) {
        tasks(filter: $filter) { nodes { title } totalCount } } }"""

    async def titles(filter: dict[str, Any] | None = None) -> set[str]:
        found = await face.ask(query, id=schedule_id(schedule.id), filter=filter)
        return {node["title"] for node in found["schedule"]["tasks"]["nodes"]}

    assert await titles() == {"its", "its too"}
    assert await titles({"queues": ["a"]}) == {"its"}
    assert await titles({"scheduleId": schedule_id(other.id)}) == set()
    listed = await face.ask(
        "query ($filter: TaskFilter) { tasks(filter: $filter) { nodes { title } } }",
        filter={"scheduleId": schedule_id(other.id)},
    )
    assert listed == {"tasks": {"nodes": [{"title": "another's"}]}}


async def test_an_id_of_something_else_is_no_schedule_to_filter_by(face: Face) -> None:
    query = "query ($filter: TaskFilter) { tasks(filter: $filter) { nodes { title } } }"
    error = await face.error(query, filter={"scheduleId": task_id(face.ids.next())})
    assert error["extensions"] == {"code": "INVALID", "argument": "filter.scheduleId"}
