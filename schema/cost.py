"""What an operation costs at most, from its document and its variables, before it is executed.

    cost = cost_of(schema, document, operation)      # once for a document
    cost.points(variable_values)                     # for each time it is executed

An object costs 1 and a scalar nothing, but each of a list of scalars that an argument bounds 1: fire times
have to be computed. What lies in a page counts as often as the page has items, at least 1 for each; edges and
PageInfo cost nothing themselves. A list whose length no argument says counts for as many items as its field
says there may be, and a field for which more is read than it tells says how many points that is. A field of a
mutation or a subscription costs 10, and one more for each item of the list it makes something of, or that its
limit lets it change. Of what is included or skipped, and of fragments on several types, all counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
)

from domain.paging import DEFAULT_PAGE
from schema.limits import Limits
from schema.marks import ASSUMED, items_of, points_of
from schema.refusals import refused
from schema.sizes import Size, size_of

CHANGE = 10
"""Points of a field of a mutation or a subscription."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`fixed`, and each part as often as its size says."""

    fixed: int = 0
    parts: tuple[tuple[Size, Cost], ...] = ()

    def points(self, variables: Mapping[str, Any]) -> int:
        return self.fixed + sum(size.value(variables) * part.points(variables) for size, part in self.parts)

    def at_most(self, page: int) -> int:
        """Whatever the variables are, where pages may have so many items."""
        return self.fixed + sum(size.at_most(page) * part.at_most(page) for size, part in self.parts)


@dataclass(frozen=True, slots=True)
class Costed:
    """An operation's cost, and the sizes of its pages."""

    cost: Cost
    pages: tuple[Size, ...]

    def check(self, variables: Mapping[str, Any], limits: Limits) -> int:
        """Its points. Raises a GraphQLError when they are too many, or a page is too large or has no items."""
        for page in self.pages:
            _check_page(page, page.asked(variables), limits)
        points = self.cost.points(variables)
        if points > limits.cost:
            message = (
                f"The operation may cost {points} points; {limits.cost} are allowed. Ask for smaller pages."
            )
            raise refused("COST_EXCEEDED", message, cost=points, limit=limits.cost)
        return points

    def check_for_all(self, limits: Limits) -> None:
        """Raises a GraphQLError when `check` would for the largest pages and lists that variables allow."""
        for page in self.pages:
            _check_page(page, limits.page if page.variables else page.default, limits)
        points = self.cost.at_most(limits.page)
        if points > limits.cost:
            message = (
                f"With the largest pages and lists that its variables allow, it may cost {points} points; "
                f"{limits.cost} are allowed. Write smaller sizes into it."
            )
            raise refused("COST_EXCEEDED", message, cost=points, limit=limits.cost)


def _check_page(page: Size, size: int, limits: Limits) -> None:
    if 1 <= size <= limits.page:
        return
    code = "PAGE_TOO_LARGE" if size > limits.page else "INVALID"
    message = f"`{page.argument}` must be from 1 to {limits.page}; it is {size}."
    raise refused(code, message, argument=page.argument)


def cost_of(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> Costed:
    """Of an operation of a document that was found valid."""
    reckoner = _Reckoner(schema, document)
    root = schema.get_root_type(operation.operation)
    assert root is not None, "the document is valid"
    own = 1 if operation.operation is OperationType.QUERY else CHANGE
    cost = reckoner.below(operation.selection_set, root, own)
    return Costed(cost, tuple(reckoner.pages))


@dataclass(slots=True)
class _Reckoner:
    schema: GraphQLSchema
    document: DocumentNode
    pages: list[Size] = field(default_factory=list)
    fragments: dict[str, FragmentDefinitionNode] = field(init=False)
    assumed: int = ASSUMED
    known: dict[tuple[str, int, int], Cost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        definitions = self.document.definitions
        self.fragments = {
            each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)
        }

    def below(self, selected: SelectionSetNode, parent: GraphQLNamedType, own: int = 1) -> Cost:
        return _sum(self._selection(each, parent, own) for each in selected.selections)

    def _selection(self, node: object, parent: GraphQLNamedType, own: int) -> Cost:
        match node:
            case FragmentSpreadNode():
                return self._fragment(node.name.value, own)
            case InlineFragmentNode():
                condition = node.type_condition
                named = parent if condition is None else self.schema.type_map[condition.name.value]
                return self.below(node.selection_set, named, own)
            case FieldNode() if node.name.value.startswith("__"):
                return Cost(0 if node.selection_set is None else CHANGE)
            case FieldNode() if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
                return self._field(node, parent, own)
        raise TypeError(node)

    def _fragment(self, name: str, own: int) -> Cost:
        key = (name, own, self.assumed)
        if key not in self.known:
            fragment = self.fragments[name]
            named = self.schema.type_map[fragment.type_condition.name.value]
            self.known[key] = self.below(fragment.selection_set, named, own)
        return self.known[key]

    def _field(self, node: FieldNode, parent: GraphQLObjectType | GraphQLInterfaceType, own: int) -> Cost:
        asked = parent.fields[node.name.value]
        named = get_named_type(asked.type)
        size = size_of(node, asked)
        if size is not None and size.is_page and named.name.endswith("Connection"):
            self.pages.append(size)
        return _sum((Cost(points_of(asked)), self._told(node, asked, parent, size, own)))

    def _told(
        self,
        node: FieldNode,
        asked: GraphQLField,
        parent: GraphQLObjectType | GraphQLInterfaceType,
        size: Size | None,
        own: int,
    ) -> Cost:
        named = get_named_type(asked.type)
        if node.selection_set is None:
            told = Cost(own if own == CHANGE else 0)
            return told if size is None else _sum((told, _plus(0, size, Cost(1))))
        if size is not None and size.is_limit:
            return _sum((_plus(own, size, Cost(1)), self.below(node.selection_set, named)))
        if size is not None and not size.is_page and not _is_list(asked.type):
            return _plus(own, size, _sum((Cost(1), self._of_each(node.selection_set, named))))
        inner = self.below(node.selection_set, named)
        if named.name.endswith(("Edge", "PageInfo")):
            return inner
        if named.name.endswith("Connection"):
            cost = _plus(own, size or Size("first", DEFAULT_PAGE), _at_least_one(inner))
        elif (size is not None or _is_list(asked.type)) and not parent.name.endswith("Connection"):
            cost = _plus(own - 1, size or Size("", items_of(asked, self.assumed)), _sum((Cost(1), inner)))
        else:
            cost = _sum((Cost(own), inner))
        return cost

    def _of_each(self, selected: SelectionSetNode, parent: GraphQLNamedType) -> Cost:
        """Of a payload that counts once for each of its items: its lists have one each."""
        before, self.assumed = self.assumed, 1
        inner = self.below(selected, parent)
        self.assumed = before
        return inner


def _at_least_one(cost: Cost) -> Cost:
    return cost if cost.fixed or cost.parts else Cost(1)


def _plus(fixed: int, size: Size, part: Cost) -> Cost:
    if not size.variables:
        return _sum((Cost(fixed), _times(size.default, part)))
    return Cost(fixed, ((size, part),))


def _times(number: int, cost: Cost) -> Cost:
    return Cost(number * cost.fixed, tuple((size, _times(number, part)) for size, part in cost.parts))


def _sum(costs: Iterable[Cost]) -> Cost:
    fixed = 0
    parts: list[tuple[Size, Cost]] = []
    for each in costs:
        fixed += each.fixed
        parts.extend(each.parts)
    return Cost(fixed, tuple(parts))


def _is_list(declared: GraphQLOutputType) -> bool:
    return isinstance(declared.of_type if isinstance(declared, GraphQLNonNull) else declared, GraphQLList)
