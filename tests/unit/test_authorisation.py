"""Every root field, for every role, bound to an owner and not: who may use it is written down here once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
import strawberry
from graphql import GraphQLObjectType

from domain.errors import Forbidden
from domain.tenancy.model import Caller, Role
from domain.tenancy.permissions import REQUIREMENTS, Permission, authorise
from schema import build
from schema.build import build_schema
from schema.ids import task_id
from tests.support.face import TENANT, Face

VIEWER, EDITOR, ADMIN = Role.VIEWER, Role.EDITOR, Role.ADMIN
ANY = "{ __typename }"


@dataclass(frozen=True)
class Field:
    """How it is asked, the least role that may, and whether one bound to an owner may."""

    asked: str
    least: Role
    bound: bool = True


QUERIES = {
    "node": Field('(id: "x") { id }', VIEWER),
    "nodes": Field('(ids: ["x"]) { id }', VIEWER),
    "viewer": Field(ANY, VIEWER),
    "task": Field(f'(id: "x") {ANY}', VIEWER),
    "tasks": Field(ANY, VIEWER),
    "schedule": Field(f'(id: "x") {ANY}', VIEWER),
    "schedules": Field(ANY, VIEWER),
    "notifications": Field(ANY, VIEWER),
    "queues": Field(ANY, VIEWER, bound=False),
    "handlers": Field(ANY, VIEWER),
    "webhookSecrets": Field(ANY, ADMIN, bound=False),
    "auditLog": Field(ANY, ADMIN, bound=False),
    "deadLetters": Field(ANY, ADMIN, bound=False),
    "previewRecurrence": Field(f'(recurrence: {{ cron: "0 9 * * *" }}, timeZone: "UTC") {ANY}', VIEWER),
}
MUTATIONS = {
    "createTask": Field(f'(input: {{ title: "Hi" }}) {ANY}', EDITOR),
    "createTasks": Field(f'(input: {{ tasks: [{{ title: "Hi" }}] }}) {ANY}', EDITOR),
    "updateTask": Field(f'(input: {{ id: "x", title: "Hi" }}) {ANY}', EDITOR),
    "cancelTask": Field(f'(input: {{ id: "x" }}) {ANY}', EDITOR),
    "runTaskNow": Field(f'(input: {{ id: "x" }}) {ANY}', EDITOR),
    "deleteTask": Field(f'(input: {{ id: "x" }}) {ANY}', EDITOR),
    "replayTasks": Field(f'(input: {{ filter: {{ owner: "x" }} }}) {ANY}', EDITOR),
    "cancelTasks": Field(f'(input: {{ filter: {{ owner: "x" }} }}) {ANY}', EDITOR),
    "createSchedule": Field(
        f'(input: {{ name: "A", recurrence: {{ cron: "0 9 * * *" }}, task: {{ title: "Hi" }} }}) {ANY}', EDITOR
    ),
    "updateSchedule": Field(f'(input: {{ id: "x", name: "B" }}) {ANY}', EDITOR),
    "pauseSchedule": Field(f'(input: {{ id: "x" }}) {ANY}', EDITOR),
    "resumeSchedule": Field(f'(input: {{ id: "x" }}) {ANY}', EDITOR),
    "deleteSchedule": Field(f'(input: {{ id: "x" }}) {ANY}', EDITOR),
    "markNotificationsRead": Field(f"(input: {{ ids: [] }}) {ANY}", EDITOR),
    "createWebhookSecret": Field(f"(input: {{}}) {ANY}", ADMIN, bound=False),
    "rotateWebhookSecret": Field(f'(input: {{ id: "x" }}) {ANY}', ADMIN, bound=False),
    "deleteWebhookSecret": Field(f'(id: "x") {ANY}', ADMIN, bound=False),
    "replayDeadLetters": Field(f'(ids: ["x"]) {ANY}', ADMIN, bound=False),
    "purgeDeadLetters": Field(f'(ids: ["x"]) {ANY}', ADMIN, bound=False),
    "pauseQueue": Field(f'(name: "x") {ANY}', ADMIN, bound=False),
    "resumeQueue": Field(f'(name: "x") {ANY}', ADMIN, bound=False),
    "updateQueue": Field(f'(input: {{ name: "x" }}) {ANY}', ADMIN, bound=False),
}
SUBSCRIPTIONS = {
    "notifications": Field(ANY, VIEWER),
    "taskEvents": Field(ANY, VIEWER),
    "taskActivity": Field(f'(taskId: "{{task}}") {ANY}', VIEWER),
    "queueStats": Field(ANY, VIEWER, bound=False),
}
FIELDS = {"query": QUERIES, "mutation": MUTATIONS, "subscription": SUBSCRIPTIONS}
CASES = [
    pytest.param(kind, name, role, owner, id=f"{name}-{role}-{owner or 'unbound'}")
    for kind, fields in FIELDS.items()
    for name, role, owner in product(fields, Role, (None, "alice"))
]
RANK = [VIEWER, EDITOR, ADMIN]


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_is_in_the_table(kind: str) -> None:
    root = getattr(build_schema()._schema, f"{kind}_type")
    assert isinstance(root, GraphQLObjectType)
    assert set(root.fields) == set(FIELDS[kind])


@pytest.mark.parametrize(("kind", "name", "role", "owner"), CASES)
async def test_a_field_is_for_those_in_the_table_alone(
    kind: str, name: str, role: Role, owner: str | None
) -> None:
    face, field = Face(), FIELDS[kind][name]
    asked = field.asked.replace("{task}", task_id(face.keep(owner="alice").id))
    caller = Caller(tenant=TENANT, role=role, owner=owner)
    query = f"{kind} {{ {name}{asked} }}"
    if kind == "subscription":
        bodies = await face.follow(query, caller, most=1)  # some have no end
    else:
        bodies = [(await face.run(query, caller)).body]
    codes = [error["extensions"]["code"] for body in bodies for error in body.get("errors", ())]
    allowed = RANK.index(role) >= RANK.index(field.least) and (owner is None or field.bound)
    assert codes == ([] if allowed else ["FORBIDDEN"])
    if not allowed:
        assert not face.calls, "nothing was read or written"
        assert not face.signals.sent


def test_a_field_that_does_not_say_what_it_needs_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    @strawberry.type
    class Query:
        @strawberry.field
        def anyone(self) -> str:
            raise NotImplementedError

    monkeypatch.setattr(build, "Query", Query)
    with pytest.raises(TypeError, match=r"Query\.anyone"):
        build_schema()


@pytest.mark.parametrize(
    ("permission", "role", "owner", "message"),
    [
        (Permission.CHANGE, VIEWER, None, "This needs the right CHANGE, which role VIEWER does not have."),
        (Permission.CHANGE, VIEWER, "alice", "This needs the right CHANGE, which role VIEWER does not have."),
        (
            Permission.READ_QUEUES,
            VIEWER,
            "alice",
            "This needs the right READ_QUEUES, which callers bound to an owner do not have.",
        ),
        (
            Permission.CHANGE_QUEUES,
            VIEWER,  # no other role would help
            "alice",
            "This needs the right CHANGE_QUEUES, which callers bound to an owner do not have.",
        ),
    ],
)
def test_who_may_not_is_told_which_right_is_missing_and_why(
    permission: Permission, role: Role, owner: str | None, message: str
) -> None:
    with pytest.raises(Forbidden) as refusal:
        authorise(Caller(tenant=TENANT, role=role, owner=owner), permission)
    assert str(refusal.value) == message


def test_every_permission_has_its_requirement() -> None:
    assert set(REQUIREMENTS) == set(Permission)
