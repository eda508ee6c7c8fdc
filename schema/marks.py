"""What a field of the schema says of itself, for those who look at the schema rather than resolve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLField
from strawberry.types.field import StrawberryField


def marks(field: GraphQLField) -> Mapping[Any, Any]:
    """Its metadata."""
    made_from = field.extensions.get("strawberry-definition")
    return made_from.metadata if isinstance(made_from, StrawberryField) else {}
