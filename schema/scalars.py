"""The scalars of the public contract: how they are read, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, GraphQLScalarLiteralParser, ValueNode, value_from_ast_untyped
from strawberry.types.scalar import ScalarDefinition

from schema.durations import format_duration, parse_duration

Json = NewType("Json", object)
Cursor = NewType("Cursor", str)
TimeZone = NewType("TimeZone", str)

_INSTANT = re.compile(
    r"(?P<beyond>\+?[0-9]{1,4}(?=[0-9]{4}-))?[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}"
    r"(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_LATEST = datetime.max.replace(tzinfo=UTC)
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def parse_instant(value: object) -> datetime:
    """In UTC. What lacks an offset stays naive, for the field to refuse by its name.

    Years beyond 9999 become the last instant there is, which is past every other. Raises GraphQLError.
    """
    written = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        raise GraphQLError("A DateTime is written as in 2030-01-31T08:00:00Z.")
    if written["beyond"] and written["beyond"].strip("+0"):
        return _LATEST
    text = written[0][len(written["beyond"] or "") :].upper()
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise GraphQLError("There is no such DateTime: its date, time or offset is out of range.") from None
    if instant.tzinfo is None:
        return instant
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return _EARLIEST if instant.year == _EARLIEST.year else _LATEST


def format_instant(instant: datetime) -> str:
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return instant.isoformat()[: -len("+00:00")] + "Z"


def _parse_duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise GraphQLError("A Duration is a text, as in PT30S.")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise GraphQLError(f"It is not a Duration: {error}.") from None


def _parse_time_zone(value: object) -> str:
    """Any text: whether there is such a zone is said by the field's name."""
    if not isinstance(value, str):
        raise GraphQLError("A TimeZone is a text, as in Europe/Berlin.")
    return value


def _parse_cursor(value: object) -> Cursor:
    if not isinstance(value, str):
        raise GraphQLError("A Cursor is a text.")
    return Cursor(value)


def _as_it_is(value: object) -> object:
    return value


def _in_a_document(parse: Callable[[object], object]) -> GraphQLScalarLiteralParser:
    """Reads what is written in the document itself; what is refused says where it stands."""

    def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> object:
        try:
            return parse(value_from_ast_untyped(node, variables))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return parse_literal


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant, ISO 8601 with an offset; always returned in UTC.",
        serialize=format_instant,
        parse_value=parse_instant,
        parse_literal=_in_a_document(parse_instant),
    ),
    Json: strawberry.scalar(
        name="JSON",
        description="A JSON value, at most 64 KiB when serialised.",
        serialize=_as_it_is,
        parse_value=_as_it_is,
    ),
    timedelta: strawberry.scalar(
        name="Duration",
        description="A span of time, ISO 8601, for instance PT30S.",
        serialize=format_duration,
        parse_value=_parse_duration,
        parse_literal=_in_a_document(_parse_duration),
    ),
    TimeZone: strawberry.scalar(
        name="TimeZone",
        description="An IANA time zone name, for instance Europe/Berlin.",
        serialize=_as_it_is,
        parse_value=_parse_time_zone,
        parse_literal=_in_a_document(_parse_time_zone),
    ),
    Cursor: strawberry.scalar(
        name="Cursor",
        description="An opaque position in a tenant's stream of notifications or events.",
        serialize=_as_it_is,
        parse_value=_parse_cursor,
        parse_literal=_in_a_document(_parse_cursor),
    ),
}
