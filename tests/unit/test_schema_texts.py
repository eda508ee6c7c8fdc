"""No text that cannot be stored gets as far as a store, whichever argument it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull

from schema.build import build_schema
from tests.support.face import Face

SCHEMA = build_schema()._schema
IMPOSSIBLE = {"NUL": "a\0b", "half of a surrogate pair": "a\ud800b"}

Place = tuple[Any, str, str]
"""The value of an argument, where in it the text is, and of which type."""


def places(type_: Any, text: str) -> Iterator[Place]:
    match type_:
        case GraphQLNonNull():
            yield from places(type_.of_type, text)
        case GraphQLList():
            for value, path, name in places(type_.of_type, text):
                yield [value], f".0{path}", name
        case GraphQLInputObjectType():
            required = {
                name: "x" for name, each in type_.fields.items() if isinstance(each.type, GraphQLNonNull)
            }
            for field, each in type_.fields.items():
                for value, path, name in places(each.type, text):
                    yield {**required, field: value}, f".{field}{path}", name
        case _ if type_.name in ("String", "ID", "Cursor"):
            yield text, "", type_.name


def cases() -> Iterator[Any]:
    for operation, root in (("query", SCHEMA.query_type), ("subscription", SCHEMA.subscription_type)):
        assert root is not None
        for name, field in root.fields.items():
            for argument, given in field.args.items():
                text = f"{operation} ($value: {given.type}) {{ {name}({argument}: $value) {{ __typename }} }}"
                for what, impossible in IMPOSSIBLE.items():
                    for value, path, kind in places(given.type, impossible):
                        place = f"{argument}{path}"
                        yield pytest.param(text, value, place, kind, id=f"{operation} {name} {place} {what}")


@pytest.mark.parametrize(("text", "value", "place", "kind"), list(cases()))
async def test_what_cannot_be_stored_is_refused(text: str, value: Any, place: str, kind: str) -> None:
    face = Face()
    if text.startswith("subscription"):
        bodies = await face.follow(text, value=value)
    else:
        bodies = [(await face.run(text, value=value)).body]
    errors = [error["extensions"] for body in bodies for error in body.get("errors", ())]
    assert face.calls == [], "no store was asked"
    assert face.notification_feed.asked is None
    if kind == "ID":  # an id of nothing
        assert {error["code"] for error in errors} <= {"NOT_FOUND", "INVALID"}
    else:
        [error] = errors
        assert error["code"] == "INVALID"
        assert error.get("argument", place) == place


@pytest.mark.parametrize("text", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
@pytest.mark.parametrize(
    ("question", "argument"),
    [
        ("{ task(key: $text) { id } }", "key"),
        ("{ notifications(owner: $text) { unreadCount } }", "owner"),
        ("{ tasks(filter: { owner: $text }) { totalCount } }", "filter.owner"),
    ],
)
async def test_the_error_names_the_argument(question: str, argument: str, text: str) -> None:
    error = await Face().error(f"query ($text: String) {question}", text=text)
    assert error["extensions"] == {"code": "INVALID", "argument": argument}


def test_every_text_of_a_question_is_tried() -> None:
    tried = {(each.values[0].split(" ")[0], each.values[2]) for each in cases()}
    assert {("query", "key"), ("query", "owner"), ("subscription", "owner")} <= tried
    assert {
        (operation, f"filter.{field}")
        for operation in ("query", "subscription")
        for field in ("queues.0", "owner", "labels.0.name", "labels.0.value", "search")
    } <= tried
