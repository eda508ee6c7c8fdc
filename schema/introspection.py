"""Keeps the schema to those who have it already: it is not told, and not suggested bit by bit."""

from __future__ import annotations

import re
from typing import Literal

from graphql import ASTValidationRule, FieldNode

from domain.tenancy.model import Caller
from domain.tenancy.permissions import Permission, may
from schema.refusals import refused

Audience = Literal["everyone", "administrators", "nobody"]
"""To whom the schema is told."""

_SUGGESTION = re.compile(r" Did you mean [^?]*\?")


class NoIntrospection(ASTValidationRule):
    """`__typename` tells a client nothing but what it has before it."""

    def enter_field(self, node: FieldNode, *_: object) -> None:
        if node.name.value in {"__schema", "__type"}:
            self.report_error(refused("INTROSPECTION_DISABLED", "The schema is not told here.", node))


def may_see_schema(caller: Caller, audience: Audience) -> bool:
    return audience == "everyone" or (audience == "administrators" and may(caller, Permission.READ_SCHEMA))


def without_suggestion(message: str) -> str:
    return _SUGGESTION.sub("", message)
