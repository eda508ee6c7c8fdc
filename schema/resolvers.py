"""Calls resolvers as Strawberry does, with what it works out for each call worked out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import strawberry
from graphql import GraphQLField
from strawberry.types.arguments import StrawberryArgument, convert_argument
from strawberry.types.field import StrawberryField

from schema.context import Ask
from schema.conversions import Conversions, Unusual

Resolve = Callable[..., Any]
"""As graphql-core calls it."""


def direct_resolver(
    schema: strawberry.Schema, field: GraphQLField, reading: frozenset[str] | None = None
) -> Resolve | None:
    """For async resolvers without extensions; None for others. `reading` is what `info` tells them."""
    made_from = field.extensions.get("strawberry-definition")
    if not isinstance(made_from, StrawberryField) or made_from.is_subscription:
        return None
    resolver = made_from.base_resolver
    if (
        resolver is None
        or not made_from.is_async
        or made_from.extensions
        or resolver.parent_parameter
        or resolver.root_parameter
        or schema.schema_converter.exception_handlers
    ):
        return None
    call: Callable[..., Any] = resolver
    takes_self, info_name = resolver.self_parameter, resolver.info_parameter
    readers = [_reader(schema, each) for each in made_from.arguments]

    async def resolve(source: object, raw_info: Any, /, **given: object) -> object:  # noqa: ANN401  Strawberry's
        info: Ask = Ask(_raw_info=raw_info, _field=made_from)
        info.reading = reading
        arguments = {
            python_name: given[name] if convert is None else convert(given[name], info)
            for name, python_name, convert in readers
            if name in given
        }
        if info_name is not None:
            arguments[info_name.name] = info
        return await (call(source, **arguments) if takes_self else call(**arguments))

    return resolve


def _reader(
    schema: strawberry.Schema, argument: StrawberryArgument
) -> tuple[str, str, Callable[[object, Any], object] | None]:
    """Its names in GraphQL and in Python, and how it is converted; None when it is passed as it is."""
    config, registry = schema.config, schema.schema_converter.scalar_registry
    name = config.name_converter.from_argument(argument)

    def convert(value: object, info: Any) -> object:  # noqa: ANN401  Strawberry's
        return convert_argument(value, argument.type, registry, config, info, path=(name,))

    try:
        known = Conversions(schema).of(argument.type)
    except Unusual:
        return name, argument.python_name, convert
    return name, argument.python_name, None if known is None else lambda value, _: known(value)
