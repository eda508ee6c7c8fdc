"""Lists in variables are counted before anything is made of them."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from schema.limits import MAX_IN_ALL, MAX_ITEMS
from schema.operations import OperationRequest, Operations, Result
from tests.support.face import Face, operations

CREATE = """mutation ($tasks: [CreateTaskInput!]!) {
    createTasks(input: { tasks: $tasks }) { createdCount errors { code path } } }"""
CREATE_BELOW = "mutation ($input: CreateTasksInput!) { createTasks(input: $input) { createdCount } }"
CREATE_ONE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { created errors { message } } }"
TASKS = "query ($filter: TaskFilter) { tasks(filter: $filter) { nodes { id } } }"
NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
MARK = "mutation ($input: MarkNotificationsReadInput!) { markNotificationsRead(input: $input) { count } }"
FOLLOW = "subscription ($filter: TaskFilter) { taskEvents(filter: $filter) { id } }"


@pytest.fixture
def face() -> Face:
    return Face()


@pytest.mark.parametrize(
    ("query", "variables", "named"),
    [
        (CREATE, {"tasks": [{"title": "x"}] * 65_000}, "tasks"),
        (CREATE_BELOW, {"input": {"tasks": [{"title": "x"}] * (MAX_ITEMS + 1)}}, "input.tasks"),
        (CREATE_BELOW, {"input": {"tasks": [{}, {"labels": [{}] * 30_000}]}}, "input.tasks.1.labels"),
        (TASKS, {"filter": {"labels": [{"name": "a", "value": "b"}] * 30_000}}, "filter.labels"),
        (TASKS, {"filter": {"states": ["FAILED"] * 90_000}}, "filter.states"),
        (TASKS, {"filter": {"queues": ["q"] * 90_000}}, "filter.queues"),
        (MARK, {"input": {"ids": ["x"] * 200_000}}, "input.ids"),
        (NODES, {"ids": ["x"] * 200_000}, "ids"),
    ],
)
async def test_a_long_list_is_refused_by_its_name_and_at_no_cost(
    face: Face, query: str, variables: dict[str, Any], named: str
) -> None:
    graph, request = operations(), OperationRequest(query, variables)
    graph.kind(request)  # its document is read
    calls, body = await refused(graph, request, face)
    [error] = body["errors"]
    assert error["extensions"] == {"code": "LIST_TOO_LONG", "argument": named}
    assert error["message"] == f"`{named}` has more than the {MAX_ITEMS} items allowed."
    assert calls < 1_000


async def refused(graph: Operations, request: OperationRequest, face: Face) -> tuple[int, dict[str, Any]]:
    """With how many functions were called for it: the cost, the same on every machine."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        result = await graph.execute(request, face.context())
    finally:
        sys.setprofile(before)
    assert not result.valid
    return calls, result.body


async def test_all_lists_together_are_bounded(face: Face) -> None:
    labels = [{"name": "a", "value": "b"}] * 200
    tasks = [{"title": "x", "labels": labels}] * (MAX_IN_ALL // 200)
    result = await face.run(CREATE, tasks=tasks)
    assert not result.valid
    [error] = result.body["errors"]
    assert error["extensions"]["code"] == "LISTS_TOO_LONG"
    assert error["message"] == f"The variables have more than the {MAX_IN_ALL} items of lists allowed in all."


@pytest.mark.parametrize(
    "query",
    [
        "query ($f: TaskFilter) { "
        + " ".join(f"a{n}: tasks(filter: $f) {{ __typename }}" for n in range(20))
        + " }",
        "query ($f: TaskFilter) { ...F } fragment F on Query { "
        + " ".join(f"a{n}: tasks(filter: $ # f\n f) {{ __typename }}" for n in range(20))
        + " }",
    ],
    ids=["fields", "fragment"],
)
async def test_a_list_counts_as_often_as_it_is_used(face: Face, query: str) -> None:
    result = await face.run(query, f={"labels": [{"name": "a", "value": "b"}] * (MAX_IN_ALL // 20 + 1)})
    assert not result.valid
    assert result.body["errors"][0]["extensions"] == {"code": "LISTS_TOO_LONG"}


async def test_subscriptions_are_bounded_too(face: Face) -> None:
    result = await operations().subscribe(
        OperationRequest(FOLLOW, {"filter": {"states": ["FAILED"] * 90_000}}), face.context
    )
    assert isinstance(result, Result)
    assert result.body["errors"][0]["extensions"]["code"] == "LIST_TOO_LONG"


async def test_a_thousand_tasks_with_all_the_labels_they_may_have_are_taken(face: Face) -> None:
    labels = [{"name": f"n{n}", "value": ""} for n in range(16)]
    data = await face.ask(CREATE, tasks=[{"title": "x", "labels": labels}] * 1_000)
    assert data["createTasks"] == {"createdCount": 1_000, "errors": []}


async def test_a_few_tasks_too_many_are_for_the_mutation_to_refuse(face: Face) -> None:
    data = await face.ask(CREATE, tasks=[{"title": "x"}] * 1_001)
    assert data["createTasks"]["errors"] == [{"code": "TOO_MANY", "path": ["input", "tasks"]}]


async def test_lists_within_json_are_the_callers_own(face: Face) -> None:
    payload = {"value": [1] * 10_000}
    data = await face.ask(
        CREATE_ONE, input={"title": "x", "action": {"run": {"handler": "echo", "payload": payload}}}
    )
    assert data["createTask"] == {"created": True, "errors": []}


@pytest.mark.parametrize(
    "variables",
    [{}, {"tasks": None}, {"tasks": 5}, {"tasks": {"title": "x"}}, {"tasks": [[], 5, None]}, {"x": []}],
)
async def test_what_is_no_list_is_for_graphql_to_judge(face: Face, variables: dict[str, Any]) -> None:
    result = await face.run(CREATE, **variables)
    codes = {error["extensions"]["code"] for error in result.body.get("errors", [])}
    assert codes <= {"INVALID"}
