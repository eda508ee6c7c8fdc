"""The documents that clients send: parsed, checked against the limits and the schema, and remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Generic, TypeVar

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

from graphql_plans import PlannedOperation
from schema.cost import Costed, cost_of
from schema.introspection import NoIntrospection, without_suggestion
from schema.limits import Limits, check_shape
from schema.refusals import refused
from schema.variables import variable_uses

REMEMBERED = 500_000
"""Characters of all documents remembered; parsed they take about a hundred bytes for each. A client's own
documents have some hundred characters: these are hundreds of them."""
LONGEST_REMEMBERED = 16_384
"""Characters of one, so that a few long ones do not drive out the rest."""
PUBLISHED = 4_000_000
"""The same of published documents. One of some 400 characters takes about 800 with its plan: this is room
for all there may be, unless they are long: then those not asked for lately are read anew."""
REFUSALS = 500_000
"""Characters of the errors of all refused documents remembered, each by its hash: of a thousand or so."""
MAX_ERRORS = 20
"""Told of one document; checking ends with them."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Document:
    """Good to execute when it has a node; otherwise it has errors."""

    node: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()
    operations: tuple[tuple[str | None, OperationType], ...] = ()
    """By name. A refused document says what it was about, too."""

    uses: Mapping[str, int] = field(default_factory=dict)
    """How often it names each variable."""
    introspecting: tuple[GraphQLError, ...] = ()
    """What is wrong with it for those to whom the schema is not told."""
    plans: dict[str | None, PlannedOperation] = field(default_factory=dict, compare=False)
    """For those of its operations that were executed before, by name."""

    costs: dict[str | None, Costed] = field(default_factory=dict, compare=False)
    """Of those of its operations that were asked for before, by name."""

    def operation(self, name: str | None) -> OperationType | None:
        """What kind the one with this name is; without a name, the only one."""
        if name is None:
            return self.operations[0][1] if len(self.operations) == 1 else None
        return next((kind for each, kind in self.operations if each == name), None)

    def name(self, asked: str | None) -> str | None:
        """Of the one that is meant; None when it has none."""
        if asked is None:
            return self.operations[0][0] if len(self.operations) == 1 else None
        return asked if self.operation(asked) is not None else None


class Memory(Generic[K, V]):
    """What was used lately, up to a total of sizes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._total = 0

    def find(self, key: K) -> V | None:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: K, value: V, size: int) -> None:
        """What it does not have yet."""
        self._kept[key] = (value, 0)
        self.grow(key, size)

    def grow(self, key: K, size: int) -> None:
        """What it has takes this much more. What it does not have takes nothing."""
        if key not in self._kept:
            return
        value, before = self._kept[key]
        self._kept[key] = (value, before + size)
        self._total += size
        while self._total > self._most:
            _, (_, freed) = self._kept.popitem(last=False)
            self._total -= freed


class Documents:
    def __init__(self, schema: GraphQLSchema, limits: Limits = Limits()) -> None:  # noqa: B008  it is frozen
        self._schema = schema
        self._limits = limits
        self._good: Memory[str, Document] = Memory(REMEMBERED)
        # A room of their own: what anybody sends does not drive them out.
        self._published: Memory[str, Document] = Memory(PUBLISHED)
        # So that a client does not make us check a costly document over and over.
        self._refused: Memory[bytes, Document] = Memory(REFUSALS)
        # Too long to be remembered, but whoever asked for its kind is about to execute it.
        self._latest: tuple[str, Document] = ("", self._checked(""))

    def read(self, text: str, *, published: bool = False) -> Document:
        """Parsed and checked, now or earlier. What is wrong is in its errors.

        A published document that comes as a text is the same one.
        """
        if self._latest[0] == text and not published:
            return self._latest[1]
        document = self._published.find(text)
        if document is None and not published:
            document = self._good.find(text)
        if document is None:
            document = self._read_anew(text, published=published)
        self._latest = (text, document)
        return document

    def remembers(self, text: str) -> bool:
        return self._room(text).find(text) is not None

    def grew(self, text: str, size: int) -> None:
        """What belongs to a remembered document takes as many characters more."""
        self._room(text).grow(text, size)

    def cost(self, document: Document, operation: OperationDefinitionNode) -> Costed:
        """Of an operation of a good document, reckoned now or earlier."""
        name = operation.name.value if operation.name else None
        if name not in document.costs:
            assert document.node is not None, "it is good"
            document.costs[name] = cost_of(self._schema, document.node, operation)
        return document.costs[name]

    def check_cost(self, document: Document) -> None:
        """Raises a GraphQLError when an operation of a good document could be refused for what it costs."""
        assert document.node is not None, "it is good"
        for each in document.node.definitions:
            if isinstance(each, OperationDefinitionNode):
                self.cost(document, each).check_for_all(self._limits)

    def _room(self, text: str) -> Memory[str, Document]:
        """Where it is, if it is anywhere."""
        return self._good if self._published.find(text) is None else self._published

    def _read_anew(self, text: str, *, published: bool) -> Document:
        hashed = sha256(text.encode(errors="surrogatepass")).digest()
        if (known := self._refused.find(hashed)) is not None:
            return known
        document = self._checked(text)
        if document.node is None:
            self._refused.keep(hashed, document, _size(document))
        elif published:
            self._published.keep(text, document, len(text))
        elif len(text) <= LONGEST_REMEMBERED:
            self._good.keep(text, document, len(text))
        return document

    def _checked(self, text: str) -> Document:
        limits = self._limits
        if len(text) > limits.characters:
            message = f"The document has more than the {limits.characters} characters allowed."
            return Document(None, (refused("DOCUMENT_TOO_LARGE", message),))
        try:
            node = parse(text, max_tokens=limits.tokens)
        except GraphQLError as error:
            if _TOO_MANY_TOKENS in error.message:
                error.extensions = {"code": "TOO_MANY_TOKENS"}
            return Document(None, (self._bare(error),))
        except RecursionError:
            return Document(None, (_TOO_DEEP,))
        operations = tuple(
            (each.name.value if each.name else None, each.operation)
            for each in node.definitions
            if isinstance(each, OperationDefinitionNode)
        )
        errors = self._errors(node)
        if errors:
            return Document(None, errors, operations)
        return Document(node, (), operations, variable_uses(node), self._introspecting(node))

    def _errors(self, node: DocumentNode) -> tuple[GraphQLError, ...]:
        try:
            check_shape(node, self._limits)
            return tuple(map(self._bare, validate(self._schema, node, max_errors=MAX_ERRORS)))
        except GraphQLError as error:
            return (self._bare(error),)
        except RecursionError:
            return (_TOO_DEEP,)

    def _introspecting(self, node: DocumentNode) -> tuple[GraphQLError, ...]:
        if self._limits.introspection == "everyone":
            return ()
        return tuple(map(_bare, validate(self._schema, node, [NoIntrospection], max_errors=MAX_ERRORS)))

    def _bare(self, error: GraphQLError) -> GraphQLError:
        bare = _bare(error)
        if self._limits.introspection != "everyone":
            bare.message = without_suggestion(bare.message)
        return bare


_TOO_DEEP = refused("NESTED_TOO_DEEPLY", "The document is nested too deeply.")
_TOO_MANY_TOKENS = "tokens. Parsing aborted."
"""What GraphQL says; it has no code for it."""
_OVERHEAD = 200
"""Characters that an error or a document takes besides its words."""


def _bare(error: GraphQLError) -> GraphQLError:
    """Without the document it is about, whose nodes take a thousand times what its words do.

    GraphQL lets Python's own words about values it cannot read get out, as for integers of 5,000 digits.
    """
    cause = error.original_error
    unread = isinstance(cause, ValueError | OverflowError | RecursionError)
    if not (unread or cause is None or isinstance(cause, GraphQLError)):
        return error  # ours, to be logged whole
    bare = GraphQLError("A value in the request cannot be read." if unread else error.message)
    bare.locations, bare.extensions = error.locations, error.extensions
    return bare


def _size(refused: Document) -> int:
    words = [each.message for each in refused.errors]
    words += [name for name, _ in refused.operations if name]
    return sum(map(len, words)) + _OVERHEAD * (1 + len(refused.errors) + len(refused.operations))
