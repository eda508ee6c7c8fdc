"""What an operation asks for, worked out once: its selections, its fields, and the shapes of their values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet

PythonClass: TypeAlias = type


@dataclass(eq=False)
class Leaf:
    type: GraphQLLeafType
    plain: bool = True


@dataclass(eq=False)
class Required:
    type: GraphQLNonNull[Any]
    inner: Shape

    @cached_property
    def plain(self) -> bool:
        return self.inner.plain


@dataclass(eq=False)
class Items:
    type: GraphQLList[Any]
    item: Shape

    @cached_property
    def plain(self) -> bool:
        return self.item.plain


@dataclass(eq=False)
class Object:
    selection: Selection
    python_class: type | None
    """None: any object will do."""

    @property
    def type(self) -> GraphQLObjectType:
        return self.selection.type

    @property
    def plain(self) -> bool:
        return self.selection.plain


@dataclass(eq=False)
class OneOf:
    type: GraphQLAbstractType
    objects: dict[PythonClass, Object]
    """By the class of the value."""

    @cached_property
    def plain(self) -> bool:
        return all(each.plain for each in self.objects.values())


@dataclass(eq=False)
class Unplanned:
    """Completed by graphql-core."""

    type: GraphQLObjectType | GraphQLAbstractType
    plain: bool = False


Shape: TypeAlias = Leaf | Required | Items | Object | OneOf | Unplanned
"""Of a value; plain when it can be read without calling resolvers."""


@dataclass(eq=False)
class Field:
    key: str
    """Its name in the response."""
    parent: GraphQLObjectType
    details: FieldDetailsList
    definition: GraphQLField
    attribute: str | None
    shape: Shape

    @property
    def plain(self) -> bool:
        return self.attribute is not None and self.shape.plain


@dataclass(eq=False)
class TypeName:
    key: str
    value: str
    plain: bool = True


@dataclass(eq=False)
class UnplannedField:
    """Executed by graphql-core: introspection."""

    key: str
    parent: GraphQLObjectType
    details: FieldDetailsList
    plain: bool = False


AnyField: TypeAlias = Field | TypeName | UnplannedField


@dataclass(eq=False)
class Selection:
    """What is asked of an object."""

    type: GraphQLObjectType
    grouped: GroupedFieldSet
    fields: list[AnyField]
    serial: bool = False
    """Whether each field is read only when those before it are complete, as for the root of a mutation."""

    @cached_property
    def plain(self) -> bool:
        return all(map(self.at_once, self.fields))

    def at_once(self, field: AnyField) -> bool:
        """Whether it is read together with the others, by the generated code."""
        return isinstance(field, TypeName) if self.serial else field.plain
