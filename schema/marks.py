"""What a field of the schema says of itself, for those who look at the schema rather than resolve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLField
from strawberry.types.field import StrawberryField

ASSUMED = 10
"""Items of a list of which nothing is known."""
_ITEMS, _POINTS, _LIVE = "items", "points", "live"

LIVE = {_LIVE: True}
"""Metadata of a subscription that tells what happens from now on; an argument `after` takes it back in time."""


def items(most: int) -> dict[str, int]:
    """Metadata of a list: how many it has at most, for as far as no argument says it."""
    return {_ITEMS: most}


def items_of(field: GraphQLField, assumed: int = ASSUMED) -> int:
    most: int = _marks(field).get(_ITEMS, assumed)
    return most


def points(number: int) -> dict[str, int]:
    """Metadata of a field: what it costs beside the objects it tells, since more than those is read for it."""
    return {_POINTS: number}


def points_of(field: GraphQLField) -> int:
    number: int = _marks(field).get(_POINTS, 0)
    return number


def is_live(field: GraphQLField) -> bool:
    return _marks(field).get(_LIVE) is True


def _marks(field: GraphQLField) -> Mapping[Any, Any]:
    made_from = field.extensions.get("strawberry-definition")
    return made_from.metadata if isinstance(made_from, StrawberryField) else {}
