"""Every mutation is noted before it is carried out, and how it ended after; never what was in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from typing_extensions import override

from domain.audit.model import Begun, Ended, Outcome
from domain.errors import Unavailable
from domain.tasks.model import Task
from domain.tasks.ports import Added
from domain.tasks.states import TaskState
from domain.tenancy.model import Caller, Role
from domain.tenancy.permissions import Permission
from schema import build
from schema.build import build_schema
from schema.context import Ask
from schema.ids import task_id
from schema.permissions import needs
from tests.support.face import TENANT, Face
from tests.support.stores import StoredTasks
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


class HangingTasks(StoredTasks):
    @override
    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        self.calls.append("add")
        await asyncio.Event().wait()
        raise NotImplementedError


async def test_what_is_cut_short_may_or_may_not_have_happened() -> None:
    face = Face()
    face.tasks = HangingTasks(face.clock, face.calls)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await face.run(CREATE)
    assert face.calls == ["add"]
    assert noted(face)[1] is None
    [entry] = (await face.ask("{ auditLog { nodes { operation outcome code } } }"))["auditLog"]["nodes"]
    assert entry == {"operation": "createTask", "outcome": None, "code": None}


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
