"""GraphQL errors that tell a client what is wrong with its request."""

from __future__ import annotations

from graphql import GraphQLError, Node


def refused(code: str, message: str, node: Node | None = None, **told: object) -> GraphQLError:
    """With one of the codes in `schema.error_codes`."""
    return GraphQLError(message, node, extensions={"code": code, **told})


def invalid(message: str, argument: str) -> GraphQLError:
    """About the value of an argument, or of a field below it: `filter.labels.2.name`."""
    return GraphQLError(message, extensions={"code": "INVALID", "argument": argument})


def too_many(message: str, argument: str | None = None) -> GraphQLError:
    named = {} if argument is None else {"argument": argument}
    return GraphQLError(message, extensions={"code": "TOO_MANY", **named})


def not_found(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "NOT_FOUND"})
