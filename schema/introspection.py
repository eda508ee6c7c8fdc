"""Keeps the schema to those who have it already: it is not told, and not suggested bit by bit."""

from __future__ import annotations

import re

from graphql import ASTValidationRule, FieldNode

from schema.refusals import refused

_SUGGESTION = re.compile(r" Did you mean .*\?$", re.DOTALL)


class NoIntrospection(ASTValidationRule):
    """`__typename` tells a client nothing but what it has before it."""

    def enter_field(self, node: FieldNode, *_: object) -> None:
        if node.name.value in {"__schema", "__type"}:
            self.report_error(refused("INTROSPECTION_DISABLED", "The schema is not told here.", node))


def without_suggestion(message: str) -> str:
    return _SUGGESTION.sub("", message)
