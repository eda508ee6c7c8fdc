"""Makes Strawberry's input types of arguments: how is worked out once for a type, not for each value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from typing import Any, TypeAlias

import strawberry
from strawberry import UNSET
from strawberry.relay import GlobalID
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    has_object_definition,
)
from strawberry.types.enum import StrawberryEnumDefinition, has_enum_definition
from strawberry.types.lazy_type import LazyType

Convert: TypeAlias = Callable[[Any], Any]
"""From what GraphQL read of the argument; with what it refuses it has been done by then."""


class Unusual(Exception):  # noqa: N818  an outcome, not a fault
    """A type for which Strawberry's own conversion is needed."""


class Conversions:
    """What `strawberry.types.arguments.convert_argument` comes to, of one schema."""

    def __init__(self, schema: strawberry.Schema) -> None:
        self._names = schema.config.name_converter
        self._scalars = schema.schema_converter.scalar_registry
        self._objects: dict[type, Convert] = {}

    def of(self, type: Any) -> Convert | None:  # noqa: ANN401  Strawberry's
        """None when the value is passed as it is. Raises Unusual."""
        if isinstance(type, StrawberryMaybe):
            raise Unusual
        if isinstance(type, StrawberryOptional):
            return self.of(type.of_type)
        if isinstance(type, LazyType):
            return self.of(type.resolve_type())
        if isinstance(type, StrawberryList):
            return self._list(type)
        if self._is_leaf(type):
            return None
        if has_object_definition(type):
            return self._objects.get(type) or self._object(type, type.__strawberry_definition__)
        raise Unusual

    def _is_leaf(self, type: Any) -> bool:  # noqa: ANN401  Strawberry's
        scalar = type.__hash__ is not None and type in self._scalars and type is not GlobalID
        return scalar or isinstance(type, StrawberryEnumDefinition) or has_enum_definition(type)

    def _list(self, type: StrawberryList) -> Convert:
        convert = self.of(type.of_type)

        def read(value: Any) -> Any:  # noqa: ANN401  whatever it is
            if value is None or value is UNSET:
                return value
            return list(value) if convert is None else [convert(item) for item in value]

        return read

    def _object(self, type: type, definition: StrawberryObjectDefinition) -> Convert:
        if definition.from_input is not None or not definition.is_input:
            raise Unusual
        fields: dict[str, tuple[str, Convert | None]] = {}
        absent = {each.python_name: None for each in definition.fields if not _has_default(each)}

        def read(value: Any) -> Any:  # noqa: ANN401  whatever it is
            if value is None or value is UNSET:
                return value
            made = absent.copy()
            for name, item in value.items():
                python_name, convert = fields[name]
                made[python_name] = item if convert is None else convert(item)
            return type(**made)

        self._objects[type] = read  # before its fields: one of them may be of this type
        for field in definition.fields:
            converted = self.of(field.resolve_type(type_definition=definition))
            fields[self._names.from_field(field)] = field.python_name, converted
        return read


def _has_default(field: Any) -> bool:  # noqa: ANN401  Strawberry's
    return field.default_value is not MISSING or field.default_factory is not MISSING
