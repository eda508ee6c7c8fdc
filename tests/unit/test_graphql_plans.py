"""What a plan answers is, to the byte, what graphql-core answers, and each resolver is called as often."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from graphql import ExecutionResult, Executor, parse
from graphql.execution import execute_root_selection_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_plans import PlannedOperation
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
        return json.dumps(result.formatted, default=repr), calls

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
