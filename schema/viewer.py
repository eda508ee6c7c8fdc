"""The caller as GraphQL sees them."""

from __future__ import annotations

import strawberry

from domain.tenancy.permissions import Permission
from schema.context import Ask
from schema.enums import Role
from schema.permissions import needs


@strawberry.type(
    description="A caller bound to an owner (an end user of a frontend) sees and changes that owner's tasks, "
    "schedules and notifications alone."
)
class Viewer:
    tenant: str = strawberry.field(description="The tenant all they see belongs to.")
    role: Role = strawberry.field(description="What they may do.")
    owner: str | None = strawberry.field(description="The owner they are bound to; null for none.")


@needs(Permission.READ)
def viewer(info: Ask) -> Viewer:
    caller = info.context.caller
    return Viewer(tenant=caller.tenant, role=caller.role, owner=caller.owner)
