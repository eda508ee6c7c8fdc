"""The schema that is served is the one that is committed, and all of it says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLDeprecatedDirective, Node, StringValueNode, Visitor, parse, visit

from schema.export import SDL, sdl


def test_the_committed_sdl_is_that_of_the_schema() -> None:
    assert SDL.read_text(encoding="utf-8") == sdl(), "run: python -m schema.export"


class Definitions(Visitor):
    """All that a document defines, whatever it is, by their names from the type down."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, Node] = {}
        self._within: list[str] = []
        visit(parse(text), self)

    def enter(self, node: Node, *_: Any) -> None:
        if node.kind.endswith("_definition"):
            self._within.append(node.name.value)  # type: ignore[attr-defined]  # all of them have one
            self.found[".".join(self._within)] = node

    def leave(self, node: Node, *_: Any) -> None:
        if node.kind.endswith("_definition"):
            self._within.pop()


def undescribed(text: str) -> Iterator[str]:
    for name, node in Definitions(text).found.items():
        description: StringValueNode | None = getattr(node, "description", None)
        if description is None or not description.value.strip():
            yield name


def deprecated_for_no_reason(text: str) -> Iterator[str]:
    for name, node in Definitions(text).found.items():
        for directive in getattr(node, "directives", None) or ():
            reasons = [each.value.value.strip() for each in directive.arguments or ()]
            if directive.name.value == GraphQLDeprecatedDirective.name and not any(reasons):
                yield name


def test_everything_is_described() -> None:
    assert list(undescribed(sdl())) == []


def test_every_deprecation_has_a_reason() -> None:
    assert list(deprecated_for_no_reason(sdl())) == []


@pytest.mark.parametrize(
    "name",
    [
        "Query",
        "Query.a",
        "Query.a.b",
        "In",
        "In.c",
        "Kind",
        "Kind.D",
        "either",
        "either.e",
        "Any",
        "Face",
        "Of",
    ],
)
def test_what_has_no_description_is_found_whatever_it_is(name: str) -> None:
    whole = f"""
        "." type {marked("Query")} {{ "." {marked("a")}("." {marked("b")}: Int): Int }}
        "." input {marked("In")} {{ "." {marked("c")}: Int }}
        "." enum {marked("Kind")} {{ "." {marked("D")} }}
        "." directive @{marked("either")}("." {marked("e")}: Int) on FIELD
        "." scalar {marked("Any")}
        "." interface {marked("Face")} {{ "." f: Int }}
        "." union {marked("Of")} = Query
    """
    assert list(undescribed(unmarked(whole))) == []
    assert list(undescribed(unmarked(without_description(whole, name.rsplit(".", maxsplit=1)[-1])))) == [name]


def marked(name: str) -> str:
    return f"<{name}>"


def unmarked(text: str) -> str:
    return text.replace("<", "").replace(">", "")


def without_description(text: str, name: str) -> str:
    before, after = text.split(marked(name))
    start = before.rindex('"."')
    return f"{before[:start]}{before[start + 3 :]}{name}{after}"


@pytest.mark.parametrize("given", ["@deprecated", '@deprecated(reason: "")', '@deprecated(reason: " ")'])
def test_a_deprecation_without_a_reason_is_found(given: str) -> None:
    assert list(deprecated_for_no_reason(f"type Query {{ a(b: Int {given}): Int }}")) == ["Query.a.b"]
    assert list(deprecated_for_no_reason(f"enum Kind {{ A {given} }}")) == ["Kind.A"]
    assert list(deprecated_for_no_reason('enum Kind { A @deprecated(reason: "Say B.") }')) == []
