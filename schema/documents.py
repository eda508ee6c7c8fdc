"""The documents that clients send: parsed, checked against the schema and the limits, and remembered."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, parse, validate
from graphql.validation import specified_rules

from schema.limits import MAX_TOKENS, ShapeRule

REMEMBERED = 500_000
"""Characters of all documents remembered; parsed they take about a hundred bytes for each. A client's own
documents have some hundred characters: these are hundreds of them."""
LONGEST_REMEMBERED = 16_384
"""Characters of one, so that a few long ones do not drive out the rest."""

_RULES = (*specified_rules, ShapeRule)


@dataclass(frozen=True, slots=True)
class Document:
    """Good to execute when it has no errors."""

    node: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The one with this name; without a name, the only one."""
        if self.node is None:
            return None
        operations = [each for each in self.node.definitions if isinstance(each, OperationDefinitionNode)]
        if name is None:
            return operations[0] if len(operations) == 1 else None
        return next((each for each in operations if each.name and each.name.value == name), None)


class Documents:
    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._known: OrderedDict[str, Document] = OrderedDict()
        self._characters = 0
        self._latest: tuple[str, Document] = ("", self._checked(""))

    def read(self, text: str) -> Document:
        """Parsed and checked, now or earlier. What is wrong is in its errors."""
        if (known := self._known.get(text)) is not None:
            self._known.move_to_end(text)
            return known
        # A refused one is not remembered, but whoever asked for its kind is about to execute it.
        if self._latest[0] == text:
            return self._latest[1]
        document = self._checked(text)
        self._latest = (text, document)
        if not document.errors and len(text) <= LONGEST_REMEMBERED:
            self._remember(text, document)
        return document

    def _remember(self, text: str, document: Document) -> None:
        self._known[text] = document
        self._characters += len(text)
        while self._characters > REMEMBERED:
            longest_unused, _ = self._known.popitem(last=False)
            self._characters -= len(longest_unused)

    def _checked(self, text: str) -> Document:
        try:
            node = parse(text, max_tokens=MAX_TOKENS)
        except GraphQLError as error:
            return Document(None, (error,))
        try:
            return Document(node, tuple(validate(self._schema, node, _RULES)))
        except RecursionError:
            return Document(None, (GraphQLError("The document is nested too deeply."),))
