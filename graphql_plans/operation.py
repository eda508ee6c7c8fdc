"""An operation of a document, prepared to be executed many times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal

from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    Executor,
    FragmentDefinitionNode,
    GraphQLSchema,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution import execute_root_selection_set

from graphql_plans.analysis import TooLarge
from graphql_plans.bindings import Bindings
from graphql_plans.plan import Plan, compile_plan

MAX_PLANS = 8
"""Of one operation: one for each combination of the values of its variables in @skip and @include."""

Fallback = Literal["unsupported", "conditions", "too_large", "value"]
"""Why graphql-core executes something: the operation uses what plans do not know, its conditions have more
combinations than it may have plans, its plan would be too large, or a part of an answer is unusual."""


class PlannedOperation:
    """For the operation an executor was built for, of a document that was found valid."""

    def __init__(
        self,
        executor: Executor[Any],
        document: DocumentNode,
        bindings: Bindings,
        fell_back: Callable[[Fallback], None] = lambda _: None,
    ) -> None:
        self._schema = executor.schema
        self._operation = executor.operation
        self._root = executor.schema.get_root_type(executor.operation.operation)
        self._bindings = bindings
        self._fell_back = fell_back
        found = _Found()
        visit(document, found)
        self._supported = found.supported and self._root is not None and not _incremental(executor.schema)
        self._conditions = tuple(found.conditions)
        self._plans: dict[tuple[bool | None, ...], Plan | None] = {}
        self.size = 0
        """Characters of generated code so far."""

    def execute(self, executor: Executor[Any]) -> ExecutionResult | Awaitable[ExecutionResult]:
        """What `executor.execute_operation` gives; never raises what that does not."""
        plan = self._plan(executor)
        return execute_root_selection_set(executor) if plan is None else plan.execute(executor)

    def _plan(self, executor: Executor[Any]) -> Plan | None:
        if not self._supported:
            self._fell_back("unsupported")
            return None
        variables = executor.variable_values.coerced
        key = tuple(variables.get(name) for name in self._conditions)
        if any(value.__class__ is not bool for value in key):
            self._fell_back("conditions")
            return None
        if key not in self._plans:
            if len(self._plans) == MAX_PLANS:
                self._fell_back("conditions")
                return None
            self._plans[key] = self._compiled(executor)
        plan = self._plans[key]
        if plan is None:
            self._fell_back("too_large")
        return plan

    def _compiled(self, executor: Executor[Any]) -> Plan | None:
        assert self._root is not None
        try:
            plan = compile_plan(executor, self._root, self._bindings, partial(self._fell_back, "value"))
        except (TooLarge, RecursionError):
            return None
        self.size += plan.size
        return plan


def _incremental(schema: GraphQLSchema) -> bool:
    return any(schema.get_directive(name) for name in ("defer", "stream"))


class _Found(Visitor):
    """The variables in @skip and @include, and whether there is something that plans do not know."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions: dict[str, None] = {}
        self.supported = True

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        if node.name.value in {"skip", "include"}:
            values = [each.value for each in node.arguments or ()]
            self.conditions |= {each.name.value: None for each in values if isinstance(each, VariableNode)}
        elif node.name.value == "experimental_disableErrorPropagation":
            self.supported = False

    def enter_fragment_definition(self, node: FragmentDefinitionNode, *_: object) -> None:
        if node.variable_definitions:
            self.supported = False
