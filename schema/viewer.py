"""The caller as GraphQL sees them."""

from __future__ import annotations

import strawberry

from domain.tenancy.permissions import Permission
from schema.context import Ask
from schema.enums import Role
from schema.permissions import needs


@strawberry.type(description="The tenant's cost budget: what a request may spend now, and how fast it refills.")
class Budget:
    limit: int = strawberry.field(description="Points when nothing was spent for a while.")
    remaining: int = strawberry.field(description="Points that may be spent now, about.")
    refill_per_second: int = strawberry.field(description="Points that come back each second, up to the limit.")


async def budget(info: Ask) -> Budget:
    budgets, tenant = info.context.budgets, info.context.caller.tenant
    balance = await budgets.balance(tenant)
    return Budget(
        limit=balance.rates.limit,
        remaining=balance.remaining,
        refill_per_second=balance.rates.refill_per_second,
    )


@strawberry.type(
    description="A caller bound to an owner (an end user of a frontend) sees and changes that owner's tasks, "
    "schedules and notifications alone."
)
class Viewer:
    tenant: str = strawberry.field(description="The tenant all they see belongs to.")
    role: Role = strawberry.field(description="What they may do.")
    owner: str | None = strawberry.field(description="The owner they are bound to; null for none.")

    budget: Budget = strawberry.field(
        resolver=budget,
        description="What the tenant may spend; the responses' `extensions.cost` tells it too.",
    )


@needs(Permission.READ)
def viewer(info: Ask) -> Viewer:
    caller = info.context.caller
    return Viewer(tenant=caller.tenant, role=caller.role, owner=caller.owner)
