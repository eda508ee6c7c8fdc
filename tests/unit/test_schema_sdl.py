"""The schema that is served is the one that is committed, and all of it says what it is."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    specified_scalar_types,
)
from graphql import (
    build_schema as schema_from_sdl,
)

from schema.build import build_schema
from schema.export import SDL


def test_the_committed_sdl_is_that_of_the_schema() -> None:
    assert SDL.read_text(encoding="utf-8") == f"{build_schema().as_str()}\n", "run: python -m schema.export"


def undescribed() -> Iterator[str]:
    schema = schema_from_sdl(SDL.read_text(encoding="utf-8"))
    for name, each in schema.type_map.items():
        if name.startswith("__") or name in specified_scalar_types:
            continue
        if not each.description:
            yield name
        match each:
            case GraphQLEnumType():
                yield from (f"{name}.{value}" for value, its in each.values.items() if not its.description)
            case GraphQLInputObjectType():
                yield from (f"{name}.{field}" for field, its in each.fields.items() if not its.description)
            case GraphQLObjectType() | GraphQLInterfaceType():
                for field, its in each.fields.items():
                    if not its.description:
                        yield f"{name}.{field}"
                    yield from (f"{name}.{field}({arg})" for arg in its.args if not its.args[arg].description)
            case GraphQLScalarType():
                pass


def test_everything_is_described() -> None:
    assert list(undescribed()) == []
