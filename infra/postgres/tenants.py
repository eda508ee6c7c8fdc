"""What is done for a tenant is done under a role to which PostgreSQL shows that tenant's rows alone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import asyncpg

if TYPE_CHECKING:
    Plain = asyncpg.Connection[asyncpg.Record]
else:
    Plain = asyncpg.Connection

ROLE = "carillon_tenant"
"""Nobody logs in as it: the user of the database takes it for some of its connections."""
SETTINGS = {"role": ROLE}
ROLE_MISSING = (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError)
"""What connecting is answered with where there is no such role, or our user may not take it."""

ACT_FOR = "select set_config('carillon.tenant', $1, false)"


class TenantConnection(Plain):
    """It sees the rows of the tenant it acts for; as long as it acts for none, no rows."""

    __slots__ = ("_tenant",)

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  asyncpg's own
        super().__init__(*arguments, **named)
        self._tenant: str | None = None

    async def act_for(self, tenant: str) -> bool:
        """From now on. Whether it cost a round trip, as it was another before."""
        if tenant == self._tenant:
            return False
        self._tenant = None
        await self.execute(ACT_FOR, tenant)
        self._tenant = tenant
        return True


async def act_for(connection: object, tenant: str) -> bool:
    """`connection` is of a pool of TenantConnections, which hands out proxies of them."""
    return await cast(TenantConnection, connection).act_for(tenant)


class RoleNotMade(Exception):  # noqa: N818  says what happened
    """The role of tenants is not there, and our user may not make it."""


async def make_role(connection: Plain) -> None:
    """Roles are the whole server's: another database may have made it, or be making it. Raises RoleNotMade."""
    user = await connection.fetchval("select current_user")
    try:
        if not await connection.fetchval("select 1 from pg_roles where rolname = $1", ROLE):
            await _once(connection, f"create role {ROLE} nologin")
        if not await _may_take(connection):
            await _once(connection, f"grant {ROLE} to current_user")
    except asyncpg.InsufficientPrivilegeError as fault:
        raise RoleNotMade(
            f"The user of the database may not make the role {ROLE} and take it. Have an administrator run: "
            f'create role {ROLE} nologin; grant {ROLE} to "{user}";'
        ) from fault


async def _once(connection: Plain, command: str) -> None:
    with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):  # somebody else was quicker
        await connection.execute(command)


async def _may_take(connection: Plain) -> bool:
    try:
        async with connection.transaction():
            await connection.execute(f"set local role {ROLE}")
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True
