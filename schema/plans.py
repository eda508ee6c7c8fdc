"""Executes operations by their plans, which read what Strawberry's types are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import EnumMeta
from typing import Any, TypeAlias

import strawberry
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFieldResolver,
    GraphQLObjectType,
    GraphQLSchema,
)
from graphql.execution import execute_root_selection_set
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField

from graphql_plans import Fallback, PlannedOperation
from graphql_plans.shapes import Shape
from schema.documents import Document, Documents
from schema.resolvers import direct_resolver
from schema.task_reading import task_attributes

LIGHTER = 4
"""Characters of a plan's code, its steps included, that take about as much memory as one of a document."""

Execute: TypeAlias = Callable[[Executor[Any]], Awaitable[ExecutionResult] | ExecutionResult]


class Plans:
    """They are kept with the documents, and forgotten with them."""

    def __init__(
        self, schema: strawberry.Schema, documents: Documents, fell_back: Callable[[Fallback], None]
    ) -> None:
        self._bindings = StrawberryBindings(schema)
        self._documents = documents
        self._fell_back = fell_back

    def executing(self, text: str, name: str | None, *, published: bool = False) -> Execute:
        """Executes that operation of a good document by a plan: a published one at once, others from the
        second time on. What is executed once, and what is too long to be remembered, is not worth a plan.
        """
        document = self._documents.read(text, published=published)

        def execute(executor: Executor[Any]) -> Awaitable[ExecutionResult] | ExecutionResult:
            plan = document.plans.get(name)
            if plan is None:
                plan = self._note(document, text, name, executor)
                if plan is None or not published:
                    return execute_root_selection_set(executor)
            before = plan.size
            result = plan.execute(executor)
            if plan.size > before:
                self._documents.grew(text, (plan.size - before) // LIGHTER)
            return result

        return execute

    def _note(
        self, document: Document, text: str, name: str | None, executor: Executor[Any]
    ) -> PlannedOperation | None:
        if document.node is None or not self._documents.remembers(text):
            return None
        plan = PlannedOperation(executor, document.node, self._bindings, self._fell_back)
        document.plans[name] = plan
        return plan


class StrawberryBindings:
    """For a schema without `strawberry.cast`."""

    def __init__(self, schema: strawberry.Schema) -> None:
        self._schema = schema
        self._classes = _classes(schema._schema)

    def attribute(self, field: GraphQLField, name: str) -> str | None:
        made_from = _definition(field)
        if not isinstance(made_from, StrawberryField) or not getattr(field.resolve, "_is_default", False):
            return None
        plain = made_from.is_basic_field and made_from.default_resolver is getattr
        return made_from.python_name if plain else None

    def resolver(self, field: GraphQLField, shape: Shape) -> GraphQLFieldResolver | None:
        return direct_resolver(self._schema, field, task_attributes(shape))

    def python_class(self, type: GraphQLObjectType) -> type | None:
        return self._classes.get(type)

    def enum_class(self, type: GraphQLEnumType) -> EnumMeta | None:
        made_from = _definition(type)
        return made_from.wrapped_cls if isinstance(made_from, StrawberryEnumDefinition) else None


def _classes(schema: GraphQLSchema) -> dict[GraphQLObjectType, type]:
    """Without those whose instances could be of another type, or are to be asked."""
    made_from = {
        each: definition
        for each in schema.type_map.values()
        if isinstance(each, GraphQLObjectType)
        and isinstance(definition := _definition(each), StrawberryObjectDefinition)
    }
    classes = [each.origin for each in made_from.values()]
    return {
        type: each.origin
        for type, each in made_from.items()
        if not each.is_type_of
        and not each.is_graphql_generic
        and not each.concrete_of
        and not any(interface.resolve_type for interface in each.interfaces)
        and sum(issubclass(one, each.origin) or issubclass(each.origin, one) for one in classes) == 1
    }


def _definition(made: GraphQLField | GraphQLObjectType | GraphQLEnumType) -> object:
    return made.extensions.get("strawberry-definition")
