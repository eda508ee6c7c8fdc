"""How many items the lists in variables may have, so that reading them stays cheap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from graphql import (
    DocumentNode,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    Token,
    TokenKind,
    get_operation_ast,
    type_from_ast,
)

from schema.limits import Limits
from schema.refusals import refused


def check_lists(
    schema: GraphQLSchema,
    document: DocumentNode,
    uses: Mapping[str, int],
    operation_name: str | None,
    variables: Mapping[str, object],
    *,
    limits: Limits,
) -> None:
    """Raises a GraphQLError that names the list which is too long; `uses` are those of the document.

    Counts in the variables as they came, along the types they are declared with: GraphQL makes objects of all
    items before any argument can count them. What lies within JSON is none of its business.
    """
    operation = get_operation_ast(document, operation_name)
    if operation is None or not variables:
        return
    counted = _Counted(limits)
    for each in operation.variable_definitions or ():
        name = each.variable.name.value
        counted.add(type_from_ast(schema, each.type), variables.get(name), name, uses[name])


class _Counted:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._items = 0

    def add(self, declared: object, value: object, name: str, uses: int) -> None:
        if isinstance(declared, GraphQLNonNull):
            declared = declared.of_type
        match declared, value:
            case GraphQLList(), list():
                self._count(len(value), name, uses)
                if _has_parts(declared.of_type):
                    for index, item in enumerate(value):
                        self.add(declared.of_type, item, f"{name}.{index}", uses)
            case GraphQLList(), _:  # one item stands for a list of it
                self.add(declared.of_type, value, name, uses)
            case GraphQLInputObjectType(), dict():
                for key, field in declared.fields.items():
                    if key in value:
                        self.add(field.type, value[key], f"{name}.{key}", uses)

    def _count(self, items: int, name: str, uses: int) -> None:
        most, in_all = self._limits.items, self._limits.items_in_all
        if items > most:
            message = f"`{name}` has more than the {most} items allowed."
            raise refused("LIST_TOO_LONG", message, argument=name)
        self._items += items * uses
        if self._items > in_all:
            message = f"The variables have more than the {in_all} items of lists allowed in all."
            raise refused("LISTS_TOO_LONG", message)


def variable_uses(document: DocumentNode) -> Counter[str]:
    """How often the document names each variable, where it is declared not counted: each use reads it anew."""
    tokens = [token for token in _tokens(document) if token.kind is not TokenKind.COMMENT]
    return Counter(
        name.value or ""
        for sign, name, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if sign.kind is TokenKind.DOLLAR and after.kind is not TokenKind.COLON
    )


def _tokens(document: DocumentNode) -> Iterator[Token]:
    token = document.loc.start_token if document.loc else None
    while token is not None:
        yield token
        token = token.next


def _has_parts(declared: GraphQLInputType) -> bool:
    """Whether there may be lists below it."""
    if isinstance(declared, GraphQLNonNull):
        declared = declared.of_type
    return isinstance(declared, GraphQLList | GraphQLInputObjectType)
