"""Operations of the product are answered the same by their plans, and what plans take is bounded."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from importlib import import_module
from typing import Any, cast

import pytest
from graphql import GraphQLObjectType, get_named_type

from domain.contracts.tasks import TaskEventKind
from domain.errors import Unavailable
from domain.tasks.model import Task
from schema.build import build_schema
from schema.documents import REMEMBERED, Document, Memory
from schema.ids import task_id
from schema.operations import OperationRequest, Operations, Result
from tests.support.face import Face, event_of

LIST = """query($first: Int, $after: String, $withError: Boolean = false) {
  tasks(first: $first, after: $after) {
  nodes { id title state scheduledAt queue priority labels { name value } action { __typename kind }
    error @include(if: $withError) { message } }
  pageInfo { hasNextPage endCursor } } }"""
DETAIL = """query($id: ID!) { task(id: $id) { ...All schedule { id } progress { fraction }
  attempts(first: 2) { nodes { id number state } pageInfo { hasNextPage } }
  notifications { nodes { kind title } } log { message } }
  missing: task(key: "none") { id } }
fragment All on Task { title description timeout result createdAt }"""
NODES = """query($id: ID!) { node(id: $id) { __typename id ... on Task { title } ... on Schedule { name } }
  nodes(ids: [$id, "none"]) { id ... on Task { state attempts { nodes { id } } } } }"""
EDGES = "{ tasks { edges { cursor node { title attempts { nodes { id } } } } totalCount } viewer { role } }"
CREATE = """mutation($input: CreateTaskInput!) { made: createTask(input: $input) {
  task { title state labels { name } } errors { message path code } }
  again: createTask(input: $input) { task { id } errors { message path code } } }"""
INTROSPECTION = "{ __schema { queryType { name } } viewer { tenant } __typename }"

UNTITLED = {"title": "", "action": {"notify": {}}}
KEYED = {"title": "Once", "key": "once", "action": {"notify": {}}, "labels": [{"name": "a", "value": "b"}]}


class Twice:
    """Operations executed by graphql-core, then by a plan, each on services that hold the same."""

    def __init__(self) -> None:
        self.fallbacks: list[str] = []
        self.operations = Operations(build_schema(), self.fallbacks.append)

    async def run(self, query: str, faces: tuple[Face, Face], variables: dict[str, Any]) -> tuple[str, str]:
        request = OperationRequest(query, variables)
        executed, planned = [await self.operations.execute(request, face.context()) for face in faces]
        assert executed.valid, executed.body
        return json.dumps(executed.body), json.dumps(planned.body)


@pytest.fixture
def twice() -> Twice:
    return Twice()


@pytest.fixture
def faces() -> tuple[Face, Face]:
    return _face(), _face()


def _face() -> Face:
    face = Face()
    for number in range(3):
        task = face.keep(title=f"Task {number}", labels=(("n", str(number)),))
        face.keep_attempt(task, 1)
        face.keep_notification(task)
    return face


def _first(face: Face) -> Task:
    return next(iter(face.tasks.rows.values()))


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (LIST, {"first": 2}),
        (LIST, {"first": 2, "withError": True}),
        (LIST, {"first": 2, "after": "no cursor"}),
        (DETAIL, {}),
        (NODES, {}),
        (EDGES, {}),
        (CREATE, {"input": KEYED}),
        (CREATE, {"input": UNTITLED}),
    ],
)
async def test_a_plan_answers_as_graphql_core(
    twice: Twice, faces: tuple[Face, Face], query: str, variables: dict[str, Any]
) -> None:
    if "$id" in query:
        variables = {"id": task_id(_first(faces[0]).id)}
    executed, planned = await twice.run(query, faces, variables)
    assert planned == executed
    assert faces[0].calls == faces[1].calls
    assert twice.fallbacks == []


async def test_what_a_plan_does_not_know_is_answered_by_graphql_core_and_counted(
    twice: Twice, faces: tuple[Face, Face]
) -> None:
    executed, planned = await twice.run(INTROSPECTION, faces, {})
    assert planned == executed
    assert twice.fallbacks == ["value"]


async def test_a_mutation_takes_effect_once_when_its_answer_cannot_be_given(
    twice: Twice, faces: tuple[Face, Face]
) -> None:
    query = """mutation($input: CreateTaskInput!) {
        createTask(input: $input) { task { title progress { fraction } } } }"""
    for face in faces:
        face.activity.progress = _unavailable  # type: ignore[assignment]  # a store that is down
    before = len(faces[1].tasks.rows)
    executed, planned = await twice.run(query, faces, {"input": KEYED})
    assert planned == executed
    assert "UNAVAILABLE" in planned
    assert len(faces[1].tasks.rows) == before + 1


async def _unavailable(*_: object) -> Any:
    raise Unavailable("PostgreSQL")


async def test_the_events_of_a_subscription_are_answered_by_one_plan(twice: Twice) -> None:
    face = _face()
    face.task_feed.events += [event_of(each, TaskEventKind.CREATED) for each in face.tasks.rows.values()]
    query = "subscription { taskEvents { id kind at task { title attempts { nodes { number } } } } }"
    stream = await twice.operations.subscribe(OperationRequest(query), face.context)
    assert not isinstance(stream, Result)
    async with aclosing(stream):
        bodies = [body async for body in stream]
    titles = [body["data"]["taskEvents"]["task"]["title"] for body in bodies]
    assert titles == ["Task 0", "Task 1", "Task 2"]
    assert twice.fallbacks == []


def test_what_grows_drives_others_out_of_memory() -> None:
    memory: Memory[str, Document] = Memory(REMEMBERED)
    for name in ("first", "second"):
        memory.keep(name, Document(None), 10)
    memory.grow("second", REMEMBERED - 15)
    assert memory.find("first") is None
    assert memory.find("second") is not None


async def test_plans_count_in_the_memory_of_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{{ tasks {{ nodes {{ id title n{number}: state }} }} }}" for number in range(100)]
    monkeypatch.setattr("schema.documents.REMEMBERED", 2 * sum(map(len, texts)))
    operations, face = Operations(build_schema()), Face()
    for text in texts * 2:
        assert (await operations.execute(OperationRequest(text), face.context())).valid
    remembered = [text for text in texts if operations._documents.remembers(text)]
    assert 0 < len(remembered) < len(texts)


async def test_a_published_document_keeps_its_plan_whatever_texts_come(monkeypatch: pytest.MonkeyPatch) -> None:
    published = "query List { tasks { nodes { id title } } }"
    texts = [f"{{ tasks {{ nodes {{ id title n{number}: state }} }} }}" for number in range(10)]
    monkeypatch.setattr("schema.documents.REMEMBERED", 300)
    monkeypatch.setattr("schema.documents.PUBLISHED", 1_000)
    operations, face = Operations(build_schema()), Face()
    asked = OperationRequest(published, published=True)
    await operations.execute(asked, face.context())
    document = operations._documents.read(published, published=True)
    plan = document.plans[None]
    assert plan.size > 0, "compiled at once"
    for text in [*texts, published, published] * 20:
        assert (await operations.execute(OperationRequest(text), face.context())).valid
    assert operations._documents.read(published, published=True) is document
    assert document.plans[None] is plan


async def test_a_text_that_was_sent_before_it_was_published_has_its_plan_afterwards() -> None:
    text = "query List { tasks { nodes { id title } } }"
    operations, face = Operations(build_schema()), Face()
    await operations.execute(OperationRequest(text), face.context())
    before = operations._documents.read(text)
    await operations.execute(OperationRequest(text, published=True), face.context())
    assert operations._documents.read(text) is not before
    assert operations._documents.read(text).plans[None].size > 0


async def test_a_published_document_is_read_and_reckoned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for module, name in (("schema.documents", "parse"), ("schema.documents", "cost_of")):
        original = getattr(import_module(module), name)
        monkeypatch.setattr(f"{module}.{name}", _noted(done, name, original))
    operations, face = Operations(build_schema()), Face()
    done.clear()
    for _ in range(3):
        await operations.execute(OperationRequest(LIST, {"first": 2}, published=True), face.context())
    assert done == ["parse", "cost_of"]


def _noted(done: list[str], name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arguments: Any, **named: Any) -> Any:
        done.append(name)
        return original(*arguments, **named)

    return noted


async def test_each_field_of_a_listed_task_is_read_from_what_is_fetched_for_it(
    twice: Twice, faces: tuple[Face, Face]
) -> None:
    schema = build_schema()._schema
    for name, field in cast(GraphQLObjectType, schema.type_map["Task"]).fields.items():
        inner = "{ __typename }" if isinstance(get_named_type(field.type), GraphQLObjectType) else ""
        for path in ("nodes", "edges { node"):
            document = f"{{ tasks {{ {path} {{ {name} {inner} }} {'}' * path.count('{')} }} }}"
            executed, planned = await twice.run(document, faces, {})
            assert executed == planned, name
            assert "errors" not in json.loads(planned), planned
    reading = faces[1].tasks.readings
    assert None not in reading, "a plan tells what it reads"
    assert frozenset({"title"}) in reading
