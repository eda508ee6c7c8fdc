"""How many items a field tells or makes, by its arguments: in the document, in a variable, or by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInputObjectType,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

from domain.attempts.activity import LINES_READ
from domain.paging import DEFAULT_PAGE, MAX_PAGE
from domain.queues.service import MAX_NAMES
from domain.tasks.bulk import DEFAULT_LIMIT, MAX_LIMIT
from domain.tasks.service import MAX_TOGETHER
from schema.marks import items_of

PAGES = ("first", "last")
"""Of a Connection; of other lists, none of which tells more than LINES_READ."""
LISTS = ((("ids",), MAX_PAGE), (("names",), MAX_NAMES), (("input", "tasks"), MAX_TOGETHER))
"""Arguments, and fields below them, that something is told or made of item by item; how many they take."""
LIMIT = "limit"
"""The field of an input that says how many are changed at most."""


@dataclass(frozen=True, slots=True)
class Size:
    argument: str
    default: int = 1
    """What it is when nothing else says so."""
    variables: tuple[str, ...] = ()
    """Those that say so, if they have a value; of several the largest counts."""
    below: tuple[str, ...] = ()
    """Fields of the variable's value, outermost first."""
    most: int | None = None
    """More than this is refused before anything is done. None for what an installation's pages bound."""

    @property
    def is_page(self) -> bool:
        return self.argument in PAGES

    @property
    def is_limit(self) -> bool:
        return self.argument == f"input.{LIMIT}"

    def at_most(self, page: int) -> int:
        """Whatever the variables are, where pages may have so many items."""
        if not self.variables:
            return max(0, self.default)
        return page if self.most is None else max(self.most, self.default)

    def value(self, variables: Mapping[str, Any]) -> int:
        """Never below 0; what is not allowed is refused elsewhere."""
        return max(0, self.asked(variables))

    def asked(self, variables: Mapping[str, Any]) -> int:
        """As it was asked for."""
        found = [number for name in self.variables if (number := self._in(variables.get(name))) is not None]
        return max(found) if found else self.default

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
    if "input" in given and _has_limit(asked):
        return _limit(given["input"])
    for path, most in LISTS:
        if path[0] in given:
            items = _items(Size(".".join(path), items_of(asked, 1), most=most), given[path[0]], path[1:])
            if items is not None:
                return items
    return None


def _has_limit(asked: GraphQLField) -> bool:
    taken = get_named_type(asked.args["input"].type)
    return isinstance(taken, GraphQLInputObjectType) and LIMIT in taken.fields


def _limit(given: ValueNode) -> Size:
    absent = Size(f"input.{LIMIT}", DEFAULT_LIMIT, most=MAX_LIMIT)
    return _items(absent, given, (LIMIT,)) or absent


def _page(pages: list[str], given: Mapping[str, ValueNode], asked: GraphQLField) -> Size:
    values = {name: given[name] for name in pages if name in given}
    for name, value in values.items():
        if isinstance(value, IntValueNode):
            return Size(name, int(value.value))
    variables = tuple(each.name.value for each in values.values() if isinstance(each, VariableNode))
    most = None if get_named_type(asked.type).name.endswith("Connection") else LINES_READ
    return Size(next(iter(values), pages[0]), _default(asked, pages[0]), variables, most=most)


def _default(asked: GraphQLField, name: str) -> int:
    default = asked.args[name].default_value
    return default if isinstance(default, int) else DEFAULT_PAGE


def _items(absent: Size, given: ValueNode, below: tuple[str, ...]) -> Size | None:
    """None when nothing is given; `absent` is for a variable in which it may be missing."""
    match given:
        case VariableNode():
            return replace(absent, variables=(given.name.value,), below=below)
        case ListValueNode():
            return replace(absent, default=len(given.values))
        case IntValueNode() if absent.is_limit:
            return replace(absent, default=max(int(given.value), 0))
        case ObjectValueNode() if below:
            for each in given.fields:
                if each.name.value == below[0]:
                    return _items(absent, each.value, below[1:])
    return None
