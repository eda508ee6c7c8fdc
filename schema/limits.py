"""How large and how deep a document may be, so that checking and executing one stays cheap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    Visitor,
    visit,
)

from domain.paging import MAX_PAGE
from schema.introspection import Audience
from schema.refusals import refused

MAX_TOKENS = 2_000
"""Words and signs in a document. The introspection query of GraphiQL has about 200."""
MAX_OPERATIONS = 50
"""In a document; one of them is executed, all are checked. GraphiQL sends all that are in a tab."""
MAX_FRAGMENTS = 50
"""Definitions in a document: GraphQL compares each with each. Introspection has 3."""
MAX_SELECTIONS = 1_000
"""Fields, spreads and inline fragments of all operations, each counted wherever its fragment is spread.
Introspection has about 240."""
MAX_SAME = 50
"""Fields under one name that fall together in one place of the answer, and that GraphQL compares in pairs.
One is the rule; fragments of independent parts of a page that ask for the same make a few."""
MAX_DEPTH = 15
"""Levels of fields. A list of tasks with the tasks of their notifications and those' attempts has 12."""
MAX_ALIASES = 100
"""Fields under another name, each counted wherever its fragment is spread. Introspection uses none."""
MAX_NESTING = 100
"""Selections and fragments within each other, so that following them does not exhaust the stack."""
MAX_CHARACTERS = 100_000
"""Of a document. 2,000 tokens are some 20,000, if it is not mostly comments and texts."""
MAX_ROOT_FIELDS = 100
"""Fields of an operation itself, each counted wherever its fragment is spread."""
MAX_DIRECTIVES = 50
"""On fields, spreads and fragments, each counted wherever its fragment is spread."""
MAX_COST = 50_000
"""Points of one operation: see `schema.cost`."""
MAX_ITEMS = 2_000
"""In one list. No argument takes more than 1,000; those just above are for it to refuse in its own words."""
MAX_IN_ALL = 20_000
"""In all lists, each counted wherever its variable is used.
A thousand tasks with 16 labels each have 17,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Those that an installation may set."""

    characters: int = MAX_CHARACTERS
    tokens: int = MAX_TOKENS
    depth: int = MAX_DEPTH
    aliases: int = MAX_ALIASES
    root_fields: int = MAX_ROOT_FIELDS
    directives: int = MAX_DIRECTIVES
    items: int = MAX_ITEMS
    items_in_all: int = MAX_IN_ALL
    page: int = MAX_PAGE
    cost: int = MAX_COST
    introspection: Audience = "everyone"
    """Unless it is everyone, nobody is told of the schema by suggestions."""


class Shape(NamedTuple):
    depth: int
    nesting: int
    aliases: int
    selections: int
    fields: int
    """At its top."""
    directives: int


_NOTHING = Shape(0, 0, 0, 0, 0, 0)


@dataclass(slots=True)
class Place:
    """In the answer: how many fields fall there, and the places below it by name."""

    fields: int = 0
    below: dict[str, Place] = field(default_factory=dict)


def check_shape(document: DocumentNode, limits: Limits) -> None:
    """Raises GraphQLError for the first limit it exceeds, and RecursionError far beyond MAX_NESTING.

    Looks at the document alone, not at the schema, in a time that grows with its length only: what it lets
    pass is cheap to validate, whose rules compare fields and fragments in pairs.
    """
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    fragments = [each for each in document.definitions if isinstance(each, FragmentDefinitionNode)]
    _bound(len(operations), MAX_OPERATIONS, "operations", "TOO_MANY_OPERATIONS")
    _bound(len(fragments), MAX_FRAGMENTS, "fragments", "TOO_MANY_FRAGMENTS")
    named = {each.name.value: each for each in fragments}
    ruler = _Ruler(named)
    _check_lists(document, limits)
    roots: list[OperationDefinitionNode | FragmentDefinitionNode] = [*operations]
    shapes = [ruler.measure(each.selection_set) for each in operations]
    for each in fragments:
        # Later rules refuse one that is not used or whose name another has, but look into it before.
        if each.name.value not in ruler.known or named[each.name.value] is not each:
            roots.append(each)
            shapes.append(ruler.measure(each.selection_set))
    selections = sum(each.selections for each in shapes)
    _bound(selections, MAX_SELECTIONS, "fields and fragments, as spread out,", "TOO_MANY_SELECTIONS")
    for root, shape in zip(roots, shapes, strict=True):
        _check(root, shape, limits)
        _merge(root.selection_set, Place(), named)


def _check(root: OperationDefinitionNode | FragmentDefinitionNode, shape: Shape, limits: Limits) -> None:
    if shape.nesting > MAX_NESTING:
        raise refused("NESTED_TOO_DEEPLY", "The selections of the operation are nested too deeply.", root)
    if shape.depth > limits.depth:
        message = f"The operation is {shape.depth} levels deep; {limits.depth} are allowed."
        raise refused("TOO_DEEP", message, root)
    for number, most, what, code in (
        (shape.aliases, limits.aliases, "aliases", "TOO_MANY_ALIASES"),
        (shape.fields, limits.root_fields, "fields at its root", "TOO_MANY_ROOT_FIELDS"),
        (shape.directives, limits.directives, "directives", "TOO_MANY_DIRECTIVES"),
    ):
        # What falls into other fields has no root.
        if number > most and (code != "TOO_MANY_ROOT_FIELDS" or isinstance(root, OperationDefinitionNode)):
            raise refused(code, f"The operation has more than the {most} {what} allowed.", root)


def _check_lists(document: DocumentNode, limits: Limits) -> None:
    """Those that are written in it; `schema.variables` has the others."""
    # A list has more tokens than items.
    if limits.items < limits.tokens:
        visit(document, _Lists(limits.items))


class _Lists(Visitor):
    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def enter_list_value(self, node: ListValueNode, *_: object) -> None:
        if len(node.values) > self._most:
            raise refused(
                "LIST_TOO_LONG", f"A list in the document has more than the {self._most} items allowed.", node
            )


def _bound(number: int, most: int, what: str, code: str) -> None:
    if number > most:
        raise refused(code, f"The document has more than the {most} {what} allowed.")


class _Ruler:
    """Measures each fragment once: a few that spread each other twice unfold to what cannot be walked."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self.known: dict[str, Shape | None] = {}
        """Of the fragments reached; None while one is being measured."""

    def measure(self, selected: SelectionSetNode) -> Shape:
        shapes = [self._shape(each) for each in selected.selections]
        return Shape(
            max(each.depth for each in shapes),
            max(each.nesting for each in shapes) + 1,
            sum(each.aliases for each in shapes),
            sum(each.selections for each in shapes),
            sum(each.fields for each in shapes),
            sum(each.directives for each in shapes),
        )

    def _shape(self, node: SelectionNode) -> Shape:
        own = len(node.directives or ())
        match node:
            case FieldNode():
                inner = self.measure(node.selection_set) if node.selection_set else _NOTHING
                # How deep introspection goes is GraphQL's own to limit.
                depth = 0 if node.name.value.startswith("__") else inner.depth
                aliases = inner.aliases + (1 if node.alias else 0)
                return Shape(depth + 1, inner.nesting, aliases, inner.selections + 1, 1, inner.directives + own)
            case FragmentSpreadNode():
                inner = self._spread(node)
            case InlineFragmentNode():
                inner = self.measure(node.selection_set)
            case _:
                raise TypeError(node)
        return inner._replace(selections=inner.selections + 1, directives=inner.directives + own)

    def _spread(self, node: FragmentSpreadNode) -> Shape:
        name = node.name.value
        if name in self.known:
            known = self.known[name]
            if known is None:
                raise refused("INVALID", f'The fragment "{name}" spreads itself.', node)
            return known
        fragment = self._fragments.get(name)
        if fragment is None:
            return _NOTHING  # a later rule refuses unknown names
        self.known[name] = None
        shape = self.known[name] = self.measure(fragment.selection_set)
        return shape


def _merge(selected: SelectionSetNode, into: Place, fragments: dict[str, FragmentDefinitionNode]) -> None:
    """Lays the fields where they fall in the answer, whatever types they are for. Raises GraphQLError."""
    for each in selected.selections:
        match each:
            case FieldNode():
                name = (each.alias or each.name).value
                place = into.below.setdefault(name, Place())
                place.fields += 1
                if place.fields > MAX_SAME:
                    message = (
                        f'The field "{name}" is asked for more than the {MAX_SAME} times allowed in one place.'
                    )
                    raise refused("FIELD_REPEATED", message, each)
                if each.selection_set:
                    _merge(each.selection_set, place, fragments)
            case FragmentSpreadNode():
                if (fragment := fragments.get(each.name.value)) is not None:
                    _merge(fragment.selection_set, into, fragments)
            case InlineFragmentNode():
                _merge(each.selection_set, into, fragments)
