"""How large and how deep a document may be, so that checking and executing one stays cheap."""

from __future__ import annotations

from typing import NamedTuple

from graphql import (
    SKIP,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    VisitorAction,
)

MAX_TOKENS = 4_000
"""Words and signs in a document. The introspection query of GraphiQL has about 300."""
MAX_DEPTH = 15
"""Levels of fields. A list of tasks with the tasks of their notifications and those' attempts has 12."""
MAX_ALIASES = 100
"""Fields under another name, each counted wherever its fragment is spread. Introspection uses none."""
MAX_NESTING = 100
"""Selections and fragments within each other, so that measuring them does not exhaust the stack."""


class Shape(NamedTuple):
    depth: int
    aliases: int


class TooNested(Exception):  # noqa: N818  says what was found
    """There are more selections within each other than are followed."""


class ShapeRule(ValidationRule):
    """Refuses operations that, with their fragments spread out, are too deep or have too many aliases.

    Each fragment is measured once: a few fragments that spread each other twice unfold to numbers that
    cannot be walked. What lies under an introspection field is GraphQL's own to limit.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._fragments: dict[str, Shape] = {}

    def enter_operation_definition(self, node: OperationDefinitionNode, *_rest: object) -> VisitorAction:
        try:
            depth, aliases = self._measured(node.selection_set, 0)
        except TooNested:
            self.report_error(GraphQLError("The fragments of the operation are nested too deeply.", node))
            return SKIP
        if depth > MAX_DEPTH:
            self.report_error(
                GraphQLError(f"The operation is {depth} levels deep; {MAX_DEPTH} are allowed.", node)
            )
        if aliases > MAX_ALIASES:
            self.report_error(
                GraphQLError(f"The operation has more than the {MAX_ALIASES} aliases allowed.", node)
            )
        return SKIP

    def _measured(self, selected: SelectionSetNode, nesting: int) -> Shape:
        if nesting > MAX_NESTING:
            raise TooNested
        shapes = [self._shape(each, nesting) for each in selected.selections]
        return Shape(max(each.depth for each in shapes), sum(each.aliases for each in shapes))

    def _shape(self, node: SelectionNode, nesting: int) -> Shape:
        match node:
            case FieldNode():
                aliases = 1 if node.alias else 0
                if node.selection_set is None or node.name.value.startswith("__"):
                    return Shape(1, aliases)
                inner = self._measured(node.selection_set, nesting + 1)
                return Shape(inner.depth + 1, inner.aliases + aliases)
            case FragmentSpreadNode():
                return self._fragment(node.name.value, nesting)
            case InlineFragmentNode():
                return self._measured(node.selection_set, nesting + 1)
        return Shape(0, 0)

    def _fragment(self, name: str, nesting: int) -> Shape:
        if name not in self._fragments:
            fragment = self.context.get_fragment(name)
            self._fragments[name] = Shape(
                0, 0
            )  # what a cycle finds; other rules refuse cycles and unknown names
            if fragment is not None:
                self._fragments[name] = self._measured(fragment.selection_set, nesting + 1)
        return self._fragments[name]
