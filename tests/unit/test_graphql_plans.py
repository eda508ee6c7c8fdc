"""What a plan answers is, to the byte, what graphql-core answers, and each resolver is called as often."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from graphql import ExecutionResult, Executor, parse
from graphql.execution import execute_root_selection_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_plans import PlannedOperation
from graphql_plans.analysis import MAX_FIELDS
from graphql_plans.operation import MAX_PLANS
from tests.support.zoo_schema import ZooBindings
from tests.support.zoo_values import SCHEMA, Wild, documents, variables

CASES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

Execute = Callable[[Executor[Any]], Any]
Outcome = tuple[str, list[Any]]


def outcomes(
    query: str, root: Any, given: dict[str, Any] | None = None
) -> tuple[Outcome, Outcome, Counter[str]]:
    """By the plan and by graphql-core: the response, and the calls of resolvers; and what fell back."""
    document, fallbacks = parse(query), Counter[str]()

    async def outcome(execute: Execute) -> Outcome:
        calls: list[Any] = []
        executor = executor_for(calls)
        result = execute(executor)
        if not isinstance(result, ExecutionResult):
            result = await result
        return json.dumps(result.formatted, default=lambda value: type(value).__name__), calls

    def executor_for(calls: list[Any]) -> Executor[Any]:
        built = Executor.build(SCHEMA, document, root(), calls, given or {})
        assert isinstance(built, Executor), built
        return built

    operation = PlannedOperation(executor_for([]), document, ZooBindings(), lambda why: fallbacks.update([why]))
    return (
        asyncio.run(outcome(operation.execute)),
        asyncio.run(outcome(execute_root_selection_set)),
        fallbacks,
    )


def person() -> Any:
    return Wild(10**9).thing("Query", "calm")


def test_a_condition_that_is_null_is_refused_as_by_graphql_core() -> None:
    planned, executed, fallbacks = outcomes(
        "query($if: Boolean = true) { person { name @include(if: $if) } }", person, {"if": None}
    )
    assert planned == executed
    assert "must not be null" in planned[0] or "errors" in planned[0]
    assert fallbacks == {"conditions": 1}


def test_an_operation_has_eight_plans_at_most() -> None:
    names = "abcd"
    declared = ", ".join(f"${name}: Boolean!" for name in names)
    fields = " ".join(f"{name}: name @include(if: ${name})" for name in names)
    document, fallbacks = parse(f"query({declared}) {{ __typename person {{ {fields} id }} }}"), Counter[str]()
    operation: PlannedOperation | None = None
    for values in product([False, True], repeat=len(names)):
        given = dict(zip(names, values, strict=True))
        executor, other = (Executor.build(SCHEMA, document, person(), [], given) for _ in range(2))
        assert isinstance(executor, Executor)
        assert isinstance(other, Executor)
        if operation is None:
            operation = PlannedOperation(executor, document, ZooBindings(), lambda why: fallbacks.update([why]))
        assert operation.execute(executor) == execute_root_selection_set(other)
    assert fallbacks == {"conditions": 2**4 - MAX_PLANS}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (f"{{ {' '.join(f'a{number}: __typename' for number in range(MAX_FIELDS + 1))} }}", "too_large"),
        ("query @experimental_disableErrorPropagation { person { name } }", "unsupported"),
        ('{ __type(name: "Dog") { name } }', "value"),
    ],
)
def test_what_has_no_plan_is_executed_by_graphql_core(query: str, reason: str) -> None:
    planned, executed, fallbacks = outcomes(query, person)
    assert planned == executed
    assert fallbacks == {reason: 1}


def test_what_is_usual_needs_no_graphql_core() -> None:
    planned, executed, fallbacks = outcomes(
        "{ required { id name age moods pets { __typename } laterPerson { name } } said }", person
    )
    assert planned == executed
    assert not fallbacks


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize(
    ("kind", "root"), [("query", "Query"), ("mutation", "Mutation"), ("subscription", "Subscription")]
)
def test_plans_answer_as_graphql_core_does(kind: str, root: str) -> None:
    @CASES
    @given(documents(kind), st.integers(0, 2**32), st.sampled_from([20, 200, 10_000, 10_000]), variables)
    def compare(query: str, seed: int, odd: int, values: dict[str, Any]) -> None:
        planned, executed, _ = outcomes(query, lambda: Wild(odd).thing(root, str(seed)), values)
        assert planned == executed

    compare()
    # What failing examples left unawaited is warned of here, not in whichever test collects it.
    gc.collect()
