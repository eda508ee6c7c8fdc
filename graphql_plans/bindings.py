"""What a plan must know of the Python values behind a schema, told by whoever made the schema."""

from __future__ import annotations

from enum import EnumMeta
from typing import Protocol

from graphql import GraphQLEnumType, GraphQLField, GraphQLFieldResolver, GraphQLObjectType

from graphql_plans.shapes import Shape


class Bindings(Protocol):
    """Each answer is about what graphql-core would come to as well: a plan takes it without asking again."""

    def attribute(self, field: GraphQLField, name: str) -> str | None:
        """The attribute of the parent object that resolving the field called `name` amounts to reading.

        None when resolving it takes more than that.
        """

    def resolver(self, field: GraphQLField, shape: Shape) -> GraphQLFieldResolver | None:
        """What resolves the field as its own resolver does, only quicker; None when that is to be called.

        `shape` is that of its value, with all that is selected below: what is not, need not be there.
        """

    def python_class(self, type: GraphQLObjectType) -> type | None:
        """The class whose direct instances are of this type, whatever abstract type is asked for.

        None when that takes asking `is_type_of` or `resolve_type`.
        """

    def enum_class(self, type: GraphQLEnumType) -> EnumMeta | None:
        """The enum whose members resolvers return for this type; None for plain values."""


class GraphQLCoreBindings:
    """Of a schema made with graphql-core alone: a field without a resolver is an attribute of its name."""

    def attribute(self, field: GraphQLField, name: str) -> str | None:
        return name if field.resolve is None else None

    def resolver(self, field: GraphQLField, shape: Shape) -> GraphQLFieldResolver | None:
        return None

    def python_class(self, type: GraphQLObjectType) -> type | None:
        return None

    def enum_class(self, type: GraphQLEnumType) -> EnumMeta | None:
        return None
