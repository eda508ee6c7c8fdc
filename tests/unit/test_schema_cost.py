"""What an operation may cost is told before it is executed, bounded, and taken from the tenant's budget."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse

from domain.budgets.ports import Rates
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from schema.build import build_schema
from schema.cost import cost_of
from schema.limits import Limits
from schema.operations import OperationRequest, Operations, Result
from tests.support.face import Face

SCHEMA = build_schema()._schema


def points(query: str, **variables: Any) -> int:
    document = parse(query)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return cost_of(SCHEMA, document, operation).cost.points(variables)


def at_most(query: str) -> int:
    """Whatever its variables are."""
    document = parse(query)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return cost_of(SCHEMA, document, operation).cost.at_most(100)


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("{ __typename }", 0),
        ("{ viewer { tenant } }", 1),
        ("{ viewer { tenant budget { limit } } }", 2),
        ("{ a: viewer { tenant } b: viewer { tenant } }", 2),
        ("{ tasks { nodes { id } } }", 1 + 20),
        ("{ tasks(first: 5) { nodes { id } pageInfo { endCursor } totalCount } }", 1 + 5),
        ("{ tasks(last: 5) { edges { cursor node { id } } } }", 1 + 5),
        ("{ tasks(last: 5) { edges { cursor } } }", 1 + 5),
        ("{ tasks(first: 5) { nodes { attempts(first: 3) { nodes { id } } } } }", 1 + 5 * (1 + 1 + 3)),
        ("{ tasks(first: 2) { nodes { labels { name } } } }", 1 + 2 * (1 + 16)),
        ("{ handlers { name } }", 100),
        ("{ webhookSecrets { id } }", 200),
        ("{ deadLetters(first: 5) { nodes { id } } }", 1_000 + 1 + 5),
        ("{ queues { name paused } }", 100 + 1_000),
        ("{ queues { name depth running oldestDueSeconds finishedPerSecond } }", 100 + 1_000 * (1 + 4)),
        ('{ queues(names: ["a", "b"]) { name depth } }', 100 + 2 * (1 + 1)),
        ("{ queues(names: null) { name } }", 100 + 1_000),
        ("subscription { queueStats { name depth } }", 10 - 1 + 1_000 * (1 + 1)),
        ("{ tasks(first: 2) { nodes { log(last: 7) { message } } } }", 1 + 2 * (1 + 7)),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', 3),
        ("{ schedules(first: 3) { nodes { nextFireTimes(first: 7) } } }", 1 + 3 * (1 + 7)),
        ("{ schedules(first: 3) { nodes { nextFireTimes } } }", 1 + 3 * (1 + 5)),
        ('{ previewRecurrence(recurrence: { cron: "a" }, timeZone: "UTC", first: 7) { fireTimes } }', 7),
        (
            "{ ...F } fragment F on Query { tasks(first: 4) { ...C } } "
            "fragment C on TaskConnection { nodes { id } }",
            5,
        ),
        ("{ tasks(first: 4) { ... { nodes { id } } } }", 5),
        ('mutation { cancelTask(input: { id: "a" }) { task { id } } }', 10 + 1),
        (
            'mutation { createTasks(input: { tasks: [{ title: "a" }, { title: "b" }] }) { tasks { id } } }',
            10 + 2 * 2,
        ),
        ("subscription { taskEvents { id task { id } } }", 10 + 1),
        ("{ __schema { types { name } } }", 10),
    ],
)
def test_a_document_costs_what_its_fields_and_pages_do(query: str, cost: int) -> None:
    assert points(query) == cost


PAGED = """query ($first: Int, $last: Int, $inner: Int = 2) { tasks(first: $first, last: $last) {
    nodes { attempts(first: $inner) { nodes { id } } } } }"""
CREATE = "mutation ($input: CreateTasksInput!) { createTasks(input: $input) { createdCount } }"
CREATE_BELOW = (
    "mutation ($tasks: [CreateTaskInput!]!) { createTasks(input: { tasks: $tasks }) { createdCount } }"
)


def test_variables_say_how_large_pages_and_lists_are() -> None:
    assert points(PAGED, first=3, inner=5) == 1 + 3 * (1 + 1 + 5)
    assert points(PAGED, first=None, last=4, inner=1) == 1 + 4 * (1 + 1 + 1)
    assert points(PAGED) == 1 + 20 * (1 + 1 + 20)
    assert points(CREATE, input={"tasks": [{}] * 7}) == 10 + 7
    assert points(CREATE_BELOW, tasks=[{}] * 7) == 10 + 7
    assert points("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["a"] * 9) == 9


NAMED = "query ($names: [String!]) { queues(names: $names) { name } }"


def test_queues_cost_as_many_as_are_named_and_all_when_none_are() -> None:
    assert points(NAMED, names=["a"] * 7) == 100 + 7
    assert points(NAMED, names=[]) == 100
    assert points(NAMED, names=None) == points(NAMED) == 100 + 1_000
    assert at_most(NAMED) == 100 + 1_000


BULK = "mutation ($input: CancelTasksInput!) { cancelTasks(input: $input) { count } }"
BULK_LIMIT = """mutation ($limit: Int) { replayTasks(input: { filter: {}, limit: $limit }) {
    count errors { message } } }"""


def test_what_changes_many_tasks_costs_one_for_each_that_its_limit_allows() -> None:
    assert points(BULK, input={"filter": {}}) == 10 + 1_000
    assert points(BULK, input={"filter": {}, "limit": None}) == 10 + 1_000
    assert points(BULK, input={"filter": {}, "limit": 40}) == 10 + 40
    assert points(BULK_LIMIT, limit=40) == 10 + 40 + 10
    assert points(BULK_LIMIT.replace("$limit }", "7 }").replace("($limit: Int)", "")) == 10 + 7 + 10
    assert points("mutation { cancelTasks(input: { filter: {} }) { count } }") == 10 + 1_000


async def ask(
    query: str, limits: Limits | None = None, budgets: LeasedBudgets | None = None, **variables: Any
) -> Result:
    operations = Operations(build_schema(), limits=limits or Limits(), budgets=budgets)
    return await operations.execute(OperationRequest(query, variables), Face().context())


async def test_what_costs_too_much_is_not_executed() -> None:
    result = await ask("{ tasks(first: 5) { nodes { id } } }", Limits(cost=5))
    assert "data" not in result.body
    [error] = result.body["errors"]
    assert error["extensions"] == {"code": "COST_EXCEEDED", "cost": 6, "limit": 5}
    assert "errors" not in (await ask("{ tasks(first: 5) { nodes { id } } }", Limits(cost=6))).body


async def test_too_large_a_page_is_refused_before_anything_is_executed() -> None:
    query = "query ($n: Int) { viewer { tenant } tasks(first: $n) { nodes { id } } }"
    result = await ask(query, Limits(page=50), n=51)
    assert "data" not in result.body
    [error] = result.body["errors"]
    assert error["extensions"] == {"code": "PAGE_TOO_LARGE", "argument": "first"}
    assert "errors" not in (await ask(query, Limits(page=50), n=50)).body


@pytest.mark.parametrize("size", [0, -1])
async def test_a_page_of_nothing_is_refused_in_the_same_place_and_words(size: int) -> None:
    query = "query ($n: Int) { viewer { tenant } tasks(first: $n) { nodes { id } } }"
    result = await ask(query, Limits(page=50), n=size)
    assert "data" not in result.body
    [error] = result.body["errors"]
    assert error["extensions"] == {"code": "INVALID", "argument": "first"}
    assert error["message"] == f"`first` must be from 1 to 50; it is {size}."


class StoppedTime:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def small_budget(limit: int, now: StoppedTime) -> LeasedBudgets:
    rates = Rates(limit=limit, refill_per_second=10)
    return LeasedBudgets(MemoryBuckets(rates, now), rates, now)


async def test_each_answer_tells_what_it_cost_and_what_is_left() -> None:
    budgets = small_budget(100, StoppedTime())
    result = await ask("{ tasks(first: 5) { nodes { id } } }", budgets=budgets)
    assert result.body["extensions"] == {
        "cost": {"requested": 6, "remaining": 94, "limit": 100, "refillPerSecond": 10}
    }


async def test_a_tenant_that_has_spent_its_budget_is_told_when_to_try_again() -> None:
    now = StoppedTime()
    budgets = small_budget(30, now)
    assert "errors" not in (await ask("{ tasks { nodes { id } } }", budgets=budgets)).body
    refused = await ask("{ tasks { nodes { id } } }", budgets=budgets)
    [error] = refused.body["errors"]
    assert error["extensions"] == {"code": "BUDGET_EXCEEDED", "retryable": True, "retryAfter": 1.2}
    now.time = 1.2
    assert "errors" not in (await ask("{ tasks { nodes { id } } }", budgets=budgets)).body


async def test_a_subscription_is_paid_for_when_it_begins() -> None:
    operations = Operations(build_schema(), budgets=small_budget(5, StoppedTime()))
    refused = await operations.pay(OperationRequest("subscription { notifications { id } }"), Face().context())
    assert isinstance(refused, Result)
    assert refused.body["errors"][0]["extensions"]["code"] == "BUDGET_EXCEEDED"


async def test_the_viewer_sees_the_budget_of_their_tenant() -> None:
    data = await Face().ask("{ viewer { budget { limit remaining refillPerSecond } } }")
    assert data["viewer"]["budget"] == {"limit": 1_000_000, "remaining": 1_000_000, "refillPerSecond": 100_000}
