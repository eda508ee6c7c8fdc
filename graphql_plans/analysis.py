"""Works out the shape of an operation, for given values of the variables in @skip and @include."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from graphql import (
    Executor,
    GraphQLAbstractType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    OperationType,
    is_abstract_type,
    is_leaf_type,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields

from graphql_plans.bindings import Bindings
from graphql_plans.shapes import (
    AnyField,
    Field,
    Items,
    Leaf,
    Object,
    OneOf,
    Required,
    Selection,
    Shape,
    TypeName,
    Unplanned,
    UnplannedField,
)

MAX_FIELDS = 2_000
"""Of one plan. Below an abstract type each object type has its own: they can be more than in the document."""


class TooLarge(Exception):  # noqa: N818  an outcome, not a fault
    """The plan would take more memory than it is worth."""


class Analysis:
    """Over an executor that was built for the operation; graphql-core itself collects the fields."""

    def __init__(self, executor: Executor[Any], bindings: Bindings) -> None:
        self._executor = executor
        self._bindings = bindings
        self._fields = 0

    def root(self, type: GraphQLObjectType) -> Selection:
        executor = self._executor
        collected = collect_fields(
            executor.schema, executor.fragments, executor.variable_values, type, executor.operation
        )
        serial = executor.operation.operation is OperationType.MUTATION
        return self._selection(type, collected.grouped_field_set, serial=serial)

    def _selection(
        self, type: GraphQLObjectType, grouped: GroupedFieldSet, *, serial: bool = False
    ) -> Selection:
        self._fields += len(grouped)
        if self._fields > MAX_FIELDS:
            raise TooLarge
        fields = [self._field(type, key, details) for key, details in grouped.items()]
        return Selection(type, grouped, fields, serial)

    def _field(self, parent: GraphQLObjectType, key: str, details: FieldDetailsList) -> AnyField:
        node = details[0].node
        name = node.name.value
        if name == "__typename":
            return TypeName(key, parent.name)
        definition = parent.fields.get(name)
        if definition is None:
            return UnplannedField(key, parent, details)
        attribute = None if definition.args or node.arguments else self._attribute(definition, name)
        shape = self._shape(definition.type, details)
        return Field(key, parent, details, definition, attribute, shape)

    def _attribute(self, definition: GraphQLField, name: str) -> str | None:
        attribute = self._bindings.attribute(definition, name)
        usable = attribute is not None and attribute.isidentifier() and not iskeyword(attribute)
        return attribute if usable else None

    def _shape(self, type: GraphQLOutputType, details: FieldDetailsList) -> Shape:
        if isinstance(type, GraphQLNonNull):
            return Required(type, self._shape(type.of_type, details))
        if isinstance(type, GraphQLList):
            return Items(type, self._shape(type.of_type, details))
        if is_leaf_type(type):
            return Leaf(type)
        if is_abstract_type(type):
            return self._one_of(type, details)
        assert isinstance(type, GraphQLObjectType)
        if type.is_type_of is None:
            return self._object(type, None, details)
        python_class = self._bindings.python_class(type)
        return Unplanned(type) if python_class is None else self._object(type, python_class, details)

    def _one_of(self, type: GraphQLAbstractType, details: FieldDetailsList) -> Shape:
        objects: dict[Any, Object] = {}
        for each in self._executor.schema.get_possible_types(type):
            python_class = self._bindings.python_class(each)
            if python_class is not None:
                objects[python_class] = self._object(each, python_class, details)
        return OneOf(type, objects) if objects else Unplanned(type)

    def _object(self, type: GraphQLObjectType, python_class: type | None, details: FieldDetailsList) -> Object:
        collected = self._executor.collect_subfields(type, details)
        return Object(self._selection(type, collected.grouped_field_set), python_class)
