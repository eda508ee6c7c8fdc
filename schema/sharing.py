"""Which subscriptions may be shared: those whose events are the same whenever they began."""

from __future__ import annotations

from typing import Any

from graphql import (
    FieldNode,
    GraphQLObjectType,
    GraphQLSchema,
    NullValueNode,
    OperationDefinitionNode,
    VariableNode,
)

from schema.marks import is_live


def begins_now(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: dict[str, Any] | None
) -> bool:
    """Whether it is LIVE, and not told to go on from some place. In doubt, as with a fragment, it is not."""
    selections = operation.selection_set.selections
    [root] = selections if len(selections) == 1 else [None]
    if not isinstance(root, FieldNode) or not _is_live(schema.subscription_type, root.name.value):
        return False
    return all(
        each.name.value != "after" or _is_null(each.value, operation, variables or {})
        for each in root.arguments or ()
    )


def _is_live(type: GraphQLObjectType | None, name: str) -> bool:
    field = None if type is None else type.fields.get(name)
    return field is not None and is_live(field)


def _is_null(value: object, operation: OperationDefinitionNode, variables: dict[str, Any]) -> bool:
    if not isinstance(value, VariableNode):
        return isinstance(value, NullValueNode)
    name = value.name.value
    has_default = any(
        each.variable.name.value == name and each.default_value is not None
        for each in operation.variable_definitions or ()
    )
    return variables.get(name) is None and not has_default
