"""What executing an operation costs by graphql-core and by a plan, side by side: python -m tests.load.execution

CPU time of one process, over services in memory. What the resolvers themselves take is measured apart, and
taken off before the two are compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from time import process_time
from types import SimpleNamespace
from typing import Any, cast

from graphql import Executor, parse
from graphql.execution import execute_root_selection_set
from strawberry.execution import optimized_is_awaitable

from graphql_plans import PlannedOperation
from schema.build import build_schema
from schema.context import Ask
from schema.ids import task_id
from schema.plans import StrawberryBindings
from schema.tasks import task, tasks
from tests.support.face import Face

ROUNDS, EACH = 9, 100
LIST = """query($first: Int) { tasks(first: $first) {
  nodes { id title state scheduledAt queue priority attempt version } } }"""
ONE = "query($id: ID) { task(id: $id) { id title state scheduledAt queue priority attempt version } }"

SCHEMA = build_schema()
Execute = Callable[[Executor[Any]], Any]


async def main() -> None:
    face = Face()
    stored = [face.keep(title=f"Task {number}") for number in range(20)]
    info = cast(Ask, SimpleNamespace(context=face.context()))
    id = task_id(stored[0].id)

    async def resolve_one() -> object:
        info.context.loaders.forget()
        return await task(info, id=id)

    print(await compared("list of 20", face, LIST, {"first": 20}, lambda: tasks(info, first=20)))
    print(await compared("one task", face, ONE, {"id": id}, resolve_one))


async def compared(
    name: str, face: Face, query: str, variables: dict[str, Any], resolve: Callable[[], Awaitable[object]]
) -> str:
    document = parse(query)

    def executor() -> Executor[Any]:
        built = cast(type[Executor[Any]], SCHEMA.execution_context_class).build(
            SCHEMA._schema,
            document,
            context_value=face.context(),
            raw_variable_values=variables,
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]  # tells no types apart
        )
        assert isinstance(built, Executor)
        return built

    async def execute(by: Execute) -> object:
        result = by(executor())
        return await result if isawaitable(result) else result

    plan = PlannedOperation(executor(), document, StrawberryBindings(SCHEMA))
    assert await execute(plan.execute) == await execute(execute_root_selection_set)
    core = await cpu(lambda: execute(execute_root_selection_set))
    planned = await cpu(lambda: execute(plan.execute))
    resolving = await cpu(resolve)
    ratio = (core - resolving) / (planned - resolving)
    return (
        f"{name}: graphql-core {core:.0f} us, plan {planned:.0f} us, resolvers alone {resolving:.0f} us:"
        f" {ratio:.1f} times less for execution"
    )


async def cpu(run: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of one run, in the quickest round."""
    rounds = []
    for _ in range(ROUNDS):
        begun = process_time()
        for _ in range(EACH):
            await run()
        rounds.append((process_time() - begun) / EACH)
    return min(rounds) * 1_000_000


if __name__ == "__main__":
    asyncio.run(main())
