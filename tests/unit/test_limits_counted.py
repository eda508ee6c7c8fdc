"""Each limit of operations is kept to the item, has a code of its own, and is counted under it when hit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type
from prometheus_client import CollectorRegistry

from api.graph import Graph
from api.main import limits_of
from api.metrics import ApiMetrics
from domain.budgets.ports import Budgets, Rates
from infra.authentication.callers import Everyone
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from infra.settings import Settings
from infra.system import SystemClock, TimeOrderedIds
from schema.build import build_schema
from schema.error_codes import LIMITS
from schema.limits import (
    MAX_FRAGMENTS,
    MAX_NESTING,
    MAX_OPERATIONS,
    MAX_SAME,
    MAX_SELECTIONS,
)
from schema.operations import OperationRequest, Operations, Result
from schema.paging import stream_cursor
from tests.support.engine_fakes import settings_of
from tests.support.face import CALLER, Face
from tests.support.small_graph import small_admission

HIT = "carillon_api_limits_hit_total"
SCHEMA = build_schema()
STATES = """query ($a: TaskFilter, $b: TaskFilter) {
    a: tasks(filter: $a) { nodes { id } }
    b: tasks(filter: $b) { nodes { id } } }"""


def graph(registry: CollectorRegistry, budgets: Budgets | None = None, **settings: Any) -> Graph:
    metrics = ApiMetrics(registry)
    operations = Operations(SCHEMA, limits=limits_of(settings_of(**settings)), budgets=budgets)
    face = Face()
    return Graph(
        operations=operations,
        admission=small_admission(operations, registry),
        callers=Everyone("acme"),
        new_context=face.context,
        metrics=metrics,
        clock=SystemClock(),
        ids=TimeOrderedIds(),
        timeout=10,
        most_bytes=Settings().max_answer_bytes,
    )


async def codes(
    graph: Graph, query: str, variables: dict[str, Any] | None = None, name: str | None = None
) -> set[str]:
    request = OperationRequest(query, variables, name)
    answer = await graph.execute(graph.kind(request), request, CALLER)
    return {error["extensions"]["code"] for error in answer.result.body.get("errors", ())}


def told(registry: CollectorRegistry) -> dict[str, float]:
    """How often each limit was hit."""
    found = [sample for metric in registry.collect() for sample in metric.samples if sample.name == HIT]
    return {sample.labels["limit"]: sample.value for sample in found}


def hits(registry: CollectorRegistry) -> dict[str, float]:
    return {limit: times for limit, times in told(registry).items() if times}


def scalars(count: int) -> str:
    task = SCHEMA._schema.type_map["Task"]
    assert isinstance(task, GraphQLObjectType)
    names = [name for name, each in task.fields.items() if is_leaf_type(get_named_type(each.type))]
    return " ".join((names * MAX_SAME)[:count])


def states(number: int) -> dict[str, Any]:
    return {"states": ["FAILED"] * number}


def repeated(text: str, count: int) -> str:
    return " ".join(text.replace("#", str(number)) for number in range(count))


def chained(count: int) -> str:
    """So many fragments, each in the one before."""
    spreads = repeated("fragment F# on Query { ...F+ }", count - 1)
    for number in range(count - 1):
        spreads = spreads.replace("...F+", f"...F{number + 1}", 1)
    return f"{{ ...F0 }} {spreads} fragment F{count - 1} on Query {{ viewer {{ role }} }}"


CASES: dict[str, tuple[dict[str, Any], Callable[[int], str]]] = {
    "DOCUMENT_TOO_LARGE": (
        {"max_document_characters": 100},
        lambda extra: "{ handlers { name } }".ljust(100 + extra),
    ),
    "TOO_MANY_TOKENS": (
        {"max_document_tokens": 20},
        lambda extra: "{ viewer { " + "role " * (15 + extra) + "} }",
    ),
    "TOO_DEEP": ({"max_depth": 2}, lambda extra: "{ viewer { role " + "budget { limit }" * extra + "} }"),
    "TOO_MANY_ALIASES": (
        {"max_aliases": 3},
        lambda extra: "{ viewer { " + repeated("a#: role", 3 + extra) + " } }",
    ),
    "TOO_MANY_ROOT_FIELDS": ({"max_root_fields": 3}, lambda extra: "{ " + "__typename " * (3 + extra) + "}"),
    "TOO_MANY_DIRECTIVES": (
        {"max_directives": 3},
        lambda extra: "{ viewer { " + "role @skip(if: false) " * (3 + extra) + "} }",
    ),
    "COST_EXCEEDED": ({"max_cost": 21}, lambda extra: f"{{ tasks(first: {20 + extra}) {{ nodes {{ id }} }} }}"),
    "PAGE_TOO_LARGE": (
        {"max_page": 30},
        lambda extra: f"{{ tasks(first: {30 + extra}) {{ nodes {{ id }} }} }}",
    ),
    "LIST_TOO_LONG": (
        {"max_list_items": 3},
        lambda extra: "{ tasks(filter: { states: [" + "FAILED " * (3 + extra) + "] }) { nodes { id } } }",
    ),
    "TOO_MANY_SELECTIONS": (
        {},
        lambda extra: "{ tasks { nodes { " + scalars(MAX_SELECTIONS - 2 + extra) + " } } }",
    ),
    "FIELD_REPEATED": ({}, lambda extra: "{ viewer { " + "role " * (MAX_SAME + extra) + "} }"),
    "TOO_MANY_OPERATIONS": ({}, lambda extra: repeated("query Q# { viewer { role } }", MAX_OPERATIONS + extra)),
    "TOO_MANY_FRAGMENTS": ({}, lambda extra: chained(MAX_FRAGMENTS + extra)),
    "NESTED_TOO_DEEPLY": (
        {},
        lambda extra: (
            "{ " + "... { " * (MAX_NESTING - 2 + extra) + "viewer { role }" + " }" * (MAX_NESTING - 1 + extra)
        ),
    ),
}
"""By its code: what to set, and a document that has as many as are allowed, and so many more."""


@pytest.mark.parametrize("code", CASES)
async def test_a_document_at_the_limit_is_executed_and_one_beyond_is_refused_and_counted(code: str) -> None:
    settings, document = CASES[code]
    registry = CollectorRegistry()
    asked = graph(registry, **settings)
    first = "Q0" if code == "TOO_MANY_OPERATIONS" else None
    assert await codes(asked, document(0), name=first) == set()
    assert hits(registry) == {}
    assert await codes(asked, document(1), name=first) == {code}
    assert hits(registry) == {code.lower(): 1}


@pytest.mark.parametrize(
    ("code", "settings"),
    [("LIST_TOO_LONG", {"max_list_items": 4}), ("LISTS_TOO_LONG", {"max_list_items_in_all": 8})],
)
async def test_so_are_lists_in_variables(code: str, settings: dict[str, Any]) -> None:
    registry = CollectorRegistry()
    asked = graph(registry, **settings)
    assert await codes(asked, STATES, {"a": states(4), "b": states(4)}) == set()
    assert await codes(asked, STATES, {"a": states(5), "b": states(4)}) == {code}
    assert hits(registry) == {code.lower(): 1}


async def test_so_is_a_budget() -> None:
    registry = CollectorRegistry()
    rates = Rates(limit=100, refill_per_second=1)
    budgets = LeasedBudgets(MemoryBuckets(rates, lambda: 0.0), rates, lambda: 0.0)
    asked = graph(registry, budgets)
    assert await codes(asked, "{ tasks(first: 99) { nodes { id } } }") == set()
    assert await codes(asked, "{ viewer { role } }") == {"BUDGET_EXCEEDED"}
    assert hits(registry) == {"budget_exceeded": 1}


async def test_whoever_subscribes_pays_though_it_is_shared() -> None:
    registry = CollectorRegistry()
    rates = Rates(limit=2_500, refill_per_second=100)
    asked = graph(registry, LeasedBudgets(MemoryBuckets(rates, lambda: 0.0), rates, lambda: 0.0))
    request = OperationRequest("subscription { queueStats { name } }")  # 1,009 points
    async with AsyncExitStack() as stack:
        for _ in range(2):
            stream = await asked.subscribe(request, lambda: CALLER)
            assert not isinstance(stream, Result)
            stack.push_async_callback(stream.aclose)
        refused = await asked.subscribe(request, lambda: CALLER)
        assert isinstance(refused, Result)
        [error] = refused.body["errors"]
        assert error["extensions"] == {"code": "BUDGET_EXCEEDED", "retryable": True, "retryAfter": 5.27}
        assert registry.get_sample_value("carillon_shared_subscriptions") == 1
        assert registry.get_sample_value("carillon_shared_subscribers") == 2
    assert hits(registry) == {"budget_exceeded": 1}


@pytest.mark.parametrize("shared", [True, False])
async def test_who_subscribes_pays_once(*, shared: bool) -> None:
    rates = Rates(limit=10, refill_per_second=1)
    asked = graph(CollectorRegistry(), LeasedBudgets(MemoryBuckets(rates, lambda: 0.0), rates, lambda: 0.0))
    after = "" if shared else f'(after: "{stream_cursor(1)}")'
    stream = await asked.subscribe(
        OperationRequest(f"subscription {{ notifications{after} {{ id }} }}"), lambda: CALLER
    )
    assert not isinstance(stream, Result)
    await stream.aclose()


async def test_a_subscription_is_counted_like_the_others() -> None:
    registry = CollectorRegistry()
    request = OperationRequest("subscription { taskEvents { id task { id } } }")
    await graph(registry, max_cost=10).subscribe(request, lambda: CALLER)
    assert hits(registry) == {"cost_exceeded": 1}


def test_limits_are_told_before_they_are_hit() -> None:
    registry = CollectorRegistry()
    ApiMetrics(registry)
    assert {code.lower() for code in LIMITS} <= told(registry).keys()
