"""Every mutation is noted before it is carried out, and how it ended after; never what was in it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import strawberry

from domain.audit.model import Begun, Ended, Outcome
from domain.errors import Unavailable
from domain.tasks.states import TaskState
from domain.tenancy.model import Caller, Role
from domain.tenancy.permissions import Permission
from schema import auditing, build
from schema.build import build_schema
from schema.context import Ask
from schema.ids import task_id
from schema.permissions import needs
from tests.support.face import TENANT, Face
from tests.support.held_tasks import HeldTasks
from tests.support.waiting import settle_down, until
from tests.unit.test_authorisation import MUTATIONS

CREATE = 'mutation { createTask(input: { title: "Secret" }) { task { id } errors { code } } }'


def noted(face: Face) -> tuple[Begun, Ended | None]:
    [entry] = face.audit_log.rows.values()
    return entry


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.parametrize("role", [Role.ADMIN, Role.VIEWER])
async def test_each_mutation_has_one_entry_whether_or_not_its_caller_may(name: str, role: Role) -> None:
    face = Face()
    caller = Caller(tenant=TENANT, role=role, credential="crl_abcdefgh")
    await face.run(f"mutation {{ {name}{MUTATIONS[name].asked} }}", caller)
    begun, ended = noted(face)
    assert (begun.operation, begun.caller.credential, begun.trace_id) == (name, "crl_abcdefgh", "a" * 32)
    assert ended is not None
    assert role is Role.ADMIN or (ended.outcome, ended.code) == (Outcome.REFUSED, "FORBIDDEN")


async def test_what_was_made_is_named_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    face = Face()
    made = (await face.ask(CREATE))["createTask"]["task"]["id"]
    assert noted(face)[1] == Ended(outcome=Outcome.DONE, ids=(made,), count=1)
    assert "Secret" not in repr(face.audit_log.rows) + caplog.text


async def test_of_many_a_hundred_are_named_and_all_counted() -> None:
    face = Face()
    query = "mutation ($tasks: [CreateTaskInput!]!) { createTasks(input: {tasks: $tasks}) { createdCount } }"
    await face.ask(query, tasks=[{"title": "Hi"}] * 150)
    ended = noted(face)[1]
    assert ended is not None
    assert (len(ended.ids), ended.count) == (100, 150)


async def test_what_was_changed_by_a_filter_is_counted() -> None:
    face = Face()
    for _ in range(3):
        face.keep(owner="alice")
    await face.ask('mutation { cancelTasks(input: { filter: { owner: "alice" } }) { count } }')
    assert noted(face)[1] == Ended(outcome=Outcome.DONE, count=3)


async def test_what_was_refused_has_its_code_and_what_was_asked_for() -> None:
    face = Face()
    id = task_id(face.keep(state=TaskState.RUNNING).id)
    await face.run(f'mutation {{ deleteTask(input: {{ id: "{id}" }}) {{ errors {{ code }} }} }}')
    assert noted(face)[1] == Ended(outcome=Outcome.REFUSED, code="ILLEGAL_STATE", ids=(id,))


async def test_what_cannot_be_noted_is_not_done() -> None:
    face = Face()
    face.audit_log.fault = Unavailable("PostgreSQL")
    assert (await face.error(CREATE))["extensions"]["code"] == "UNAVAILABLE"
    assert not face.calls


@asynccontextmanager
async def left_by_its_caller(face: Face) -> AsyncIterator[HeldTasks]:
    """A mutation under way whose caller is cancelled, twice; on the way out it has ended."""
    face.tasks = held = HeldTasks(face.clock)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(face.run(CREATE))
        await until(lambda: held.calls)
        for _ in range(2):
            asking.cancel()
            await settle_down()
        yield held
    assert asking.cancelled()


async def test_what_has_begun_comes_to_its_end_and_into_the_log_whoever_leaves() -> None:
    face = Face()
    async with left_by_its_caller(face) as held:
        held.go.set()
    [made] = held.rows
    assert noted(face)[1] == Ended(outcome=Outcome.DONE, ids=(task_id(made),), count=1)


async def test_a_fault_that_nobody_waited_for_is_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    face = Face()
    async with left_by_its_caller(face) as held:
        held.fault = Unavailable("PostgreSQL")
        held.go.set()
    assert noted(face)[1] == Ended(outcome=Outcome.FAILED, code="UNAVAILABLE")
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_what_hangs_when_its_caller_has_left_is_broken_off_and_may_or_may_not_have_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auditing, "PATIENCE", 0.05)
    face = Face()
    async with left_by_its_caller(face):
        pass
    assert noted(face)[1] == Ended(outcome=Outcome.FAILED, code="TIMEOUT")
    [entry] = (await face.ask("{ auditLog { nodes { operation outcome code } } }"))["auditLog"]["nodes"]
    assert entry == {"operation": "createTask", "outcome": "FAILED", "code": "TIMEOUT"}


async def test_of_a_mutation_with_several_fields_those_after_its_caller_left_are_not_begun() -> None:
    face = Face()
    face.tasks = held = HeldTasks(face.clock)
    fields = [f'{name}: createTask(input: {{ title: "{name}" }}) {{ task {{ id }} }}' for name in "AB"]
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(face.run(f"mutation {{ {' '.join(fields)} }}"))
        await until(lambda: held.calls)
        asking.cancel()
        held.go.set()
    assert [task.title for task in held.rows.values()] == ["A"]
    assert len(face.audit_log.rows) == 1


async def test_administrators_read_it_page_by_page_the_latest_first() -> None:
    face = Face()
    for queue in ("one", "two", "three"):
        await face.ask(f'mutation {{ pauseQueue(name: "{queue}") {{ errors {{ code }} }} }}')
    asked = (
        "{ auditLog(first: 2%s) { nodes { operation role outcome ids count traceId } pageInfo { endCursor } } }"
    )
    first = (await face.ask(asked % ""))["auditLog"]
    assert [node["ids"] for node in first["nodes"]] == [["three"], ["two"]]
    after = f', after: "{first["pageInfo"]["endCursor"]}"'
    rest: dict[str, Any] = (await face.ask(asked % after))["auditLog"]
    assert rest["nodes"] == [
        {
            "operation": "pauseQueue",
            "role": "ADMIN",
            "outcome": "DONE",
            "ids": ["one"],
            "count": 1,
            "traceId": "a" * 32,
        }
    ]


@needs(Permission.CHANGE)
async def not_noted(info: Ask) -> str:
    raise NotImplementedError


def test_a_mutation_that_is_not_audited_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    @strawberry.type
    class Mutation:
        quiet: str = strawberry.field(resolver=not_noted)

    monkeypatch.setattr(build, "Mutation", Mutation)
    with pytest.raises(TypeError, match=r"Mutation\.quiet"):
        build_schema()
