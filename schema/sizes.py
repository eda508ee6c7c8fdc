"""How many items a field tells or makes, by its arguments: in the document, in a variable, or by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
)

from domain.paging import DEFAULT_PAGE

PAGES = ("first", "last")
LISTS = (("ids",), ("input", "tasks"))
"""Arguments, and fields below them, that something is told or made of item by item."""


@dataclass(frozen=True, slots=True)
class Size:
    argument: str
    default: int = 1
    """What it is when nothing else says so."""
    variables: tuple[str, ...] = ()
    """Those that say so, if they have a value; of several the largest counts."""
    below: tuple[str, ...] = ()
    """Fields of the variable's value, outermost first."""

    @property
    def is_page(self) -> bool:
        return self.argument in PAGES

    def value(self, variables: Mapping[str, Any]) -> int:
        """Never below 0; what is not allowed is for the field to refuse."""
        found = [number for name in self.variables if (number := self._in(variables.get(name))) is not None]
        return max(0, *found) if found else self.default

    def _in(self, value: object) -> int | None:
        for name in self.below:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, list):
            return len(value)
        return value if isinstance(value, int) else None


def size_of(node: FieldNode, asked: GraphQLField) -> Size | None:
    """None when no argument of the field is about it."""
    given = {each.name.value: each.value for each in node.arguments or ()}
    pages = [name for name in PAGES if name in asked.args]
    if pages:
        return _page(pages, given, asked)
    for path in LISTS:
        if path[0] in given and (items := _items(".".join(path), given[path[0]], path[1:])) is not None:
            return items
    return None


def _page(pages: list[str], given: Mapping[str, ValueNode], asked: GraphQLField) -> Size:
    values = {name: given[name] for name in pages if name in given}
    for name, value in values.items():
        if isinstance(value, IntValueNode):
            return Size(name, max(int(value.value), 0))
    variables = tuple(each.name.value for each in values.values() if isinstance(each, VariableNode))
    return Size(next(iter(values), pages[0]), _default(asked, pages[0]), variables)


def _default(asked: GraphQLField, name: str) -> int:
    default = asked.args[name].default_value
    return default if isinstance(default, int) else DEFAULT_PAGE


def _items(argument: str, given: ValueNode, below: tuple[str, ...]) -> Size | None:
    match given:
        case VariableNode():
            return Size(argument, 1, (given.name.value,), below)
        case ListValueNode():
            return Size(argument, len(given.values))
        case ObjectValueNode() if below:
            for each in given.fields:
                if each.name.value == below[0]:
                    return _items(argument, each.value, below[1:])
    return None
