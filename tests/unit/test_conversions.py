"""Arguments become what Strawberry makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import strawberry
from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    is_required_input_field,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.types.arguments import StrawberryArgument, convert_argument

from schema.build import build_schema
from schema.conversions import Conversions, Unusual

SCHEMA = build_schema()


def arguments() -> Iterator[tuple[str, StrawberryArgument, GraphQLInputType]]:
    for root in ("Query", "Mutation", "Subscription"):
        type = SCHEMA._schema.type_map[root]
        assert isinstance(type, GraphQLObjectType)
        for name, field in type.fields.items():
            for argument in field.extensions["strawberry-definition"].arguments:
                called = SCHEMA.config.name_converter.from_argument(argument)
                yield f"{root}.{name}.{called}", argument, field.args[called].type


def values(type: GraphQLInputType) -> st.SearchStrategy[Any]:
    """What graphql-core may have read; of leaves whatever, since these are passed as they are."""
    if isinstance(type, GraphQLNonNull):
        return present(type.of_type)
    return st.none() | present(type)


def present(type: GraphQLInputType) -> st.SearchStrategy[Any]:
    if isinstance(type, GraphQLList):
        return st.lists(values(type.of_type), max_size=3)
    if isinstance(type, GraphQLInputObjectType):
        fields = {name: values(field.type) for name, field in type.fields.items()}
        required = {name for name, field in type.fields.items() if is_required_input_field(field)}
        return st.fixed_dictionaries(
            {name: fields[name] for name in fields if name in required},
            optional={name: fields[name] for name in fields if name not in required},
        )
    return st.integers() | st.text(max_size=3)


def by_strawberry(value: object, type: Any) -> object:
    return convert_argument(value, type, SCHEMA.schema_converter.scalar_registry, SCHEMA.config)


@pytest.mark.parametrize(("argument", "type"), [pytest.param(a, t, id=name) for name, a, t in arguments()])
@settings(max_examples=25)
@given(data=st.data())
def test_every_argument_is_converted_as_strawberry_does(
    argument: StrawberryArgument, type: GraphQLInputType, data: st.DataObject
) -> None:
    value = data.draw(values(type))
    convert = Conversions(SCHEMA).of(argument.type)
    assert (value if convert is None else convert(value)) == by_strawberry(value, argument.type)


@strawberry.input
class Nested:
    name: str
    inner: Nested | None = None
    many: list[list[Nested] | None] | None = strawberry.UNSET
    count: int | None


def converted(type: Any, value: object) -> object:
    resolved = strawberry.annotation.StrawberryAnnotation(type, namespace=globals()).resolve()
    convert = Conversions(SCHEMA).of(resolved)
    assert convert is not None
    assert convert(value) == by_strawberry(value, resolved)
    return convert(value)


def test_a_type_may_hold_itself() -> None:
    value = {"name": "a", "inner": {"name": "b"}, "many": [[{"name": "c"}], None]}
    made = converted(Nested, value)
    assert made == Nested(
        name="a", inner=Nested(name="b", count=None), many=[[Nested(name="c", count=None)], None], count=None
    )


def test_a_list_is_copied_so_that_no_request_changes_the_default_of_the_next() -> None:
    default = [1, 2]
    made = converted(list[int], default)
    assert made == default
    assert made is not default


@strawberry.input
class Perhaps:
    name: strawberry.Maybe[str]


def test_what_tells_null_from_absent_is_left_to_strawberry() -> None:
    with pytest.raises(Unusual):
        Conversions(SCHEMA).of(Perhaps)
    with pytest.raises(Unusual):
        Conversions(SCHEMA).of(strawberry.relay.GlobalID)
