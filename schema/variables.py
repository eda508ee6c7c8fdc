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

from schema.refusals import too_many

MAX_ITEMS = 2_000
"""In one list. No argument takes more than 1,000; those just above are for it to refuse in its own words."""
MAX_IN_ALL = 20_000
"""In all lists, each counted wherever its variable is used.
A thousand tasks with 16 labels each have 17,000."""


def check_lists(
    schema: GraphQLSchema,
    document: DocumentNode,
    uses: Mapping[str, int],
    operation_name: str | None,
    variables: Mapping[str, object],
) -> None:
    """Raises a GraphQLError that names the list which is too long; `uses` are those of the document.

    Counts in the variables as they came, along the types they are declared with: GraphQL makes objects of all
    items before any argument can count them. What lies within JSON is none of its business.
    """
    operation = get_operation_ast(document, operation_name)
    if operation is None or not variables:
        return
    counted = _Counted()
    for each in operation.variable_definitions or ():
        name = each.variable.name.value
        counted.add(type_from_ast(schema, each.type), variables.get(name), name, uses[name])


class _Counted:
    def __init__(self) -> None:
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
        if items > MAX_ITEMS:
            raise too_many(f"`{name}` has more than the {MAX_ITEMS} items allowed.", name)
        self._items += items * uses
        if self._items > MAX_IN_ALL:
            raise too_many(f"The variables have more than the {MAX_IN_ALL} items of lists allowed in all.")


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
