"""Writes the schema as SDL beside itself, for clients and for review: python -m schema.export"""

from __future__ import annotations

from pathlib import Path

from graphql import GraphQLOneOfDirective
from graphql.utilities import print_directive

from schema.build import build_schema

SDL = Path(__file__).with_name("schema.graphql")


def sdl() -> str:
    """All of it, with its descriptions."""
    # Strawberry defines @oneOf, for tools to which it is news, but does not say what it is; GraphQL does.
    undescribed = "directive @oneOf on INPUT_OBJECT"
    return build_schema().as_str().replace(undescribed, print_directive(GraphQLOneOfDirective)) + "\n"


def main() -> None:
    SDL.write_text(sdl(), encoding="utf-8")


if __name__ == "__main__":
    main()
