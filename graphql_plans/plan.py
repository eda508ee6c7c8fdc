"""One operation, ready to be executed, for given values of the variables in @skip and @include."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from graphql import ExecutionResult, Executor, GraphQLError, GraphQLObjectType

from graphql_plans.analysis import Analysis
from graphql_plans.bindings import Bindings
from graphql_plans.completion import ByCore, EachItem, NotNull, OneObject, OneOfObjects, ReadWhole, Step
from graphql_plans.fields import AttributeField, Executable, FieldByCore, Fields, ResolvedField
from graphql_plans.shapes import (
    Field,
    Items,
    Object,
    OneOf,
    Required,
    Selection,
    Shape,
    TypeName,
    UnplannedField,
)
from graphql_plans.source import Source


class Plan:
    def __init__(self, root: Fields, *, serial: bool, size: int) -> None:
        self._root = root
        self._serial = serial
        self.size = size
        """Characters of generated code."""

    def execute(self, executor: Executor[Any]) -> ExecutionResult | Awaitable[ExecutionResult]:
        """As the executor's own `execute_operation`."""
        if self._serial:
            return self._finish(executor, self._root.execute_serially(executor, executor.root_value))
        try:
            data = self._root.execute(executor, executor.root_value, None)
        except GraphQLError as error:
            return _failed(executor, error)
        if executor.is_awaitable(data):
            return self._finish(executor, data)
        return _response(executor, data)

    async def _finish(self, executor: Executor[Any], data: Awaitable[Any]) -> ExecutionResult:
        try:
            return _response(executor, await data)
        except GraphQLError as error:
            return _failed(executor, error)


def _failed(executor: Executor[Any], error: GraphQLError) -> ExecutionResult:
    executor.collected_errors.add(error, None)
    return _response(executor, None)


def _response(executor: Executor[Any], data: dict[str, Any] | None) -> ExecutionResult:
    return ExecutionResult(data, executor.collected_errors.errors or None)


def compile_plan(
    executor: Executor[Any], root: GraphQLObjectType, bindings: Bindings, unusual: Callable[[], None]
) -> Plan:
    """For the operation and the variables of the executor.

    `unusual` is called whenever graphql-core has to complete a part. Raises TooLarge.
    """
    selection = Analysis(executor, bindings).root(root)
    return _Assembly(bindings, unusual).plan(selection)


class _Assembly:
    """Puts the steps of a plan together, and gives them the readers that were generated for them."""

    def __init__(self, bindings: Bindings, unusual: Callable[[], None]) -> None:
        self._bindings = bindings
        self._source = Source(bindings)
        self._unusual = unusual
        self._reading: list[tuple[Fields | ReadWhole, str]] = []

    def plan(self, selection: Selection) -> Plan:
        root = self._fields(selection, self._source.selection(selection, root=True))
        readers = self._source.compile()
        for each, name in self._reading:
            each.read = readers[name]
        return Plan(root, serial=selection.serial, size=self._source.size)

    def _fields(self, selection: Selection, reader: str) -> Fields:
        fields = Fields(selection, self._unusual)
        self._reading.append((fields, reader))
        fields.resolved = tuple(
            self._field(each)
            for each in selection.fields
            if not isinstance(each, TypeName) and not selection.at_once(each)
        )
        return fields

    def _field(self, field: Field | UnplannedField) -> Executable:
        if isinstance(field, UnplannedField):
            return FieldByCore(field, self._unusual)
        resolve = self._bindings.resolver(field.definition, field.shape) or field.definition.resolve
        resolved = (
            ResolvedField(field, resolve, self._unusual)
            if field.attribute is None
            else AttributeField(field, field.attribute, self._unusual)
        )
        resolved.step = self._step(resolved, field.shape)
        return resolved

    def _step(self, site: ResolvedField, shape: Shape) -> Step:
        if shape.plain:
            step = ReadWhole(site, shape.type)
            self._reading.append((step, self._source.value(shape)))
            return step
        match shape:
            case Required():
                return NotNull(self._step(site, shape.inner), site.called)
            case Items():
                return EachItem(site, shape.type, self._step(site, shape.item))
            case Object():
                return OneObject(
                    site, shape.type, self._object(shape), shape.python_class, self._source.objects
                )
            case OneOf():
                selected = {python_class: self._object(each) for python_class, each in shape.objects.items()}
                return OneOfObjects(site, shape.type, selected)
            case _:
                return ByCore(site, shape.type)

    def _object(self, shape: Object) -> Fields:
        return self._fields(shape.selection, self._source.selection(shape.selection, shape.python_class))
