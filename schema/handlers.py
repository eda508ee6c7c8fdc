"""The registered handlers as GraphQL sees them."""

from __future__ import annotations

import strawberry

from domain.tenancy.permissions import Permission
from schema.context import Ask
from schema.permissions import needs
from schema.scalars import Json


@strawberry.type(description="A function that tasks can run, registered by name.")
class Handler:
    name: str = strawberry.field(description="What a task calls it by.")
    description: str | None = strawberry.field(description="What it does, as its author says.")
    payload_schema: Json = strawberry.field(description="JSON Schema (draft 2020-12) of its payload.")


@needs(Permission.READ)
def handlers(info: Ask) -> list[Handler]:
    return [
        Handler(name=each.name, description=each.description, payload_schema=Json(each.payload_schema))
        for each in info.context.handlers.all()
    ]
