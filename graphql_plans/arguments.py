"""The arguments of one field: what the document says of them is read once, what variables say each time."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLString,
    NameNode,
    VariableNode,
    Visitor,
    get_argument_values,
    is_non_null_type,
    visit,
)
from graphql.execution.values import VariableValues

Arguments = Callable[[VariableValues], dict[str, Any]]

_MISSING = object()
_NO_VARIABLES = VariableValues({}, {})
_LASTING = (str, int, float, bool, Enum, type(None))
"""What can be given to many requests, since none can change it."""


def arguments(field: GraphQLField, node: FieldNode) -> Arguments:
    """What get_argument_values gives and raises, as a function of the variables."""
    if not field.args and not node.arguments:
        return lambda _: {}
    given = {each.name.value: each for each in node.arguments or ()}
    try:
        readers = [_reader(name, argument, given.get(name)) for name, argument in field.args.items()]
    except Exception:  # noqa: BLE001  refused by graphql-core: again, each time it is executed
        return lambda variables: get_argument_values(field, node, variables)

    def read(variables: VariableValues) -> dict[str, Any]:
        try:
            values = {name: reader(variables) for name, reader in readers}
        except Exception:  # noqa: BLE001  in the words, and at the place, of the whole field
            return get_argument_values(field, node, variables)
        if _MISSING in values.values():
            return {name: value for name, value in values.items() if value is not _MISSING}
        return values

    return read


def _reader(
    name: str, argument: GraphQLArgument, given: ArgumentNode | None
) -> tuple[str, Callable[[VariableValues], Any]]:
    """Under which name a resolver takes it, and its value; raises what graphql-core does."""
    out_name = argument.out_name or name
    alone = GraphQLField(GraphQLString, {name: argument})
    node = FieldNode(name=NameNode(value=name), arguments=(given,) if given else ())

    def coerced(variables: VariableValues) -> Any:
        return get_argument_values(alone, node, variables).get(out_name, _MISSING)

    if given is None or not _has_variables(given):
        value = coerced(_NO_VARIABLES)
        lasting = value is _MISSING or isinstance(value, _LASTING)
        return out_name, (lambda _: value) if lasting else coerced
    if isinstance(given.value, VariableNode):
        variable, required = given.value.name.value, is_non_null_type(argument.type)

        def passed_on(variables: VariableValues) -> Any:
            value = variables.coerced.get(variable, _MISSING)
            return coerced(variables) if value is _MISSING or (required and value is None) else value

        return out_name, passed_on
    return out_name, coerced


def _has_variables(given: ArgumentNode) -> bool:
    found = _Variables()
    visit(given, found)
    return found.any


class _Variables(Visitor):
    any = False

    def enter_variable(self, *_: object) -> None:
        self.any = True
