"""Which resolvers are called without Strawberry's work for each call."""

from __future__ import annotations

import pytest
from graphql import GraphQLObjectType

from schema.build import build_schema
from schema.resolvers import direct_resolver

NOT_ASYNC = {"viewer", "handlers", "previewRecurrence"}


@pytest.mark.parametrize("root", ["Query", "Mutation"])
def test_every_async_root_field_is_called_directly(root: str) -> None:
    schema = build_schema()
    type = schema._schema.type_map[root]
    assert isinstance(type, GraphQLObjectType)
    stock = {name for name, field in type.fields.items() if direct_resolver(schema, field) is None}
    assert stock <= NOT_ASYNC
