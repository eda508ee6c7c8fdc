"""Writes the Python source that reads plain shapes, and makes functions of it.

Only names of the response (quoted) and checked attribute names get into the source; all else is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
)

from graphql_plans.bindings import Bindings
from graphql_plans.ordinary import OrdinaryObjects, Unusual, ordinary_leaves
from graphql_plans.shapes import Field, Items, Leaf, Object, OneOf, Required, Selection, Shape, TypeName

Reader = Callable[[Any], Any]
"""Takes a value, gives its part of the response. Raises when graphql-core must look at it."""

_AS_IT_IS = {
    GraphQLString: "{v}.__class__ is str",
    GraphQLID: "{v}.__class__ is str",
    GraphQLBoolean: "{v}.__class__ is bool",
    GraphQLInt: "{v}.__class__ is int and -2147483648 <= {v} <= 2147483647",
    GraphQLFloat: "{v}.__class__ is float and {v} - {v} == 0",
}


class Source:
    """Collects functions, then compiles them together."""

    def __init__(self, bindings: Bindings) -> None:
        self._bindings = bindings
        self._lines: list[str] = []
        self._leaves = ordinary_leaves()
        self.objects = OrdinaryObjects()
        self._names: dict[str, Any] = {
            "leaves": self._leaves,
            "objects": self.objects,
            "admit": self.objects.admit,
            "lists": frozenset({list, tuple}),
            "unusual": _unusual,
        }
        self._count = 0
        self._known: dict[object, str] = {}

    @property
    def size(self) -> int:
        """Characters."""
        return sum(map(len, self._lines))

    def compile(self) -> dict[str, Any]:
        """The functions by their names."""
        code = compile("\n".join(self._lines), "<execution plan>", "exec")
        exec(code, self._names)  # noqa: S102  written above, from nothing a client can choose freely
        return self._names

    def value(self, shape: Shape) -> str:
        """The name of a reader of values of this plain shape."""
        name = self._new("value")
        self._lines += [f"def {name}(v):", f" return {self._read(shape, 'v')}"]
        return name

    def selection(self, selection: Selection, python_class: type | None = None, *, root: bool = False) -> str:
        """The name of a reader of what a selection has of plain fields, with None for the others."""
        name, items, body = self._new("object"), [], []
        reads = False
        for number, field in enumerate(selection.fields):
            read = "None"
            if isinstance(field, TypeName):
                read = repr(field.value)
            elif isinstance(field, Field) and field.attribute is not None and not selection.serial:
                reads = True
                if selection.at_once(field):
                    body.append(f" v{number} = o.{field.attribute}")
                    read = self._read(field.shape, f"v{number}")
            items.append(f"{field.key!r}: {read}")
        check = self._check(python_class) if reads or not root else []
        self._lines += [f"def {name}(o):", *check, *body, f" return {{{', '.join(items)}}}"]
        return name

    def _check(self, python_class: type | None) -> list[str]:
        if python_class is None:
            return [" if o.__class__ not in objects: admit(o)"]
        return [f" if o.__class__ is not {self._pass(python_class)}: unusual()"]

    def _read(self, shape: Shape, v: str, *, required: bool = False) -> str:
        """An expression of what the value in the variable `v` comes to."""
        match shape:
            case Required():
                return self._read(shape.inner, v, required=True)
            case Leaf():
                return self._leaf(shape.type, v, required=required)
            case Items():
                read = self._read(shape.item, f"{v}_")
                read = f"[{read} for {v}_ in {v}] if {v}.__class__ in lists else unusual()"
            case Object():
                read = f"{self.selection(shape.selection, shape.python_class)}({v})"
            case OneOf():
                read = f"{self._one_of(shape)}[{v}.__class__]({v})"
            case _:
                raise AssertionError(shape)
        return f"({read})" if required else f"(None if {v} is None else {read})"

    def _one_of(self, shape: OneOf) -> str:
        readers = [
            f"{self._pass(python_class)}: {self.selection(each.selection, python_class)}"
            for python_class, each in shape.objects.items()
        ]
        name = self._new("one_of")
        self._lines.append(f"{name} = {{{', '.join(readers)}}}")
        return name

    def _leaf(self, type: GraphQLLeafType, v: str, *, required: bool) -> str:
        careful = self._once(type, lambda: self._careful(type))
        if type in _AS_IT_IS:
            read = f"{v} if {_AS_IT_IS[type].format(v=v)} else {careful}({v})"
        elif (members := self._members(type)) is not None:
            read = f"{members[1]}[{v}._name_] if {v}.__class__ is {members[0]} else {careful}({v})"
        else:
            coerce = self._pass(type.coerce_output_value)
            r = f"r{v}"
            read = (
                f"{r} if {v}.__class__ in leaves and ({r} := {coerce}({v})).__class__ in leaves"
                f" else {careful}({v})"
            )
        return f"({read})" if required else f"(None if {v} is None else {read})"

    def _careful(self, type: GraphQLLeafType) -> Reader:
        leaves, coerce = self._leaves, type.coerce_output_value

        def read(value: Any) -> Any:
            leaves.admit(value)
            coerced = coerce(value)
            leaves.admit(coerced)
            return coerced

        return read

    def _members(self, type: GraphQLLeafType) -> tuple[str, str] | None:
        """The names of its enum, and of what its members are written as."""
        if not isinstance(type, GraphQLEnumType):
            return None
        enum = self._bindings.enum_class(type)
        if enum is None:
            return None
        written = self._once((type, enum), lambda: _written(type, list(enum)))
        return self._pass(enum), written

    def _once(self, key: object, make: Callable[[], Any]) -> str:
        if key not in self._known:
            self._known[key] = self._new("made")
            self._names[self._known[key]] = make()
        return self._known[key]

    def _pass(self, value: Any) -> str:
        return self._once(("passed", value), lambda: value)

    def _new(self, what: str) -> str:
        self._count += 1
        return f"{what}{self._count}"


def _written(type: GraphQLEnumType, members: list[Any]) -> dict[str, str]:
    written = {}
    for each in members:
        try:
            written[each._name_] = type.coerce_output_value(each)
        except Exception:  # noqa: BLE001, S112  graphql-core raises it again where it matters
            continue
    return written


def _unusual() -> None:
    raise Unusual
