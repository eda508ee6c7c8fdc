"""Access tokens in PostgreSQL, by the hashes of their texts."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from domain.errors import NotFound
from domain.tenancy.model import Role
from domain.tenancy.tokens import AccessToken, Kept
from infra.postgres.database import Database

COLUMNS = "id, tenant, name, prefix, role, owner, created_at, expires_at, revoked_at, last_used_at"
ADD = """
insert into access_tokens (id, tenant, name, prefix, digest, role, owner, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
# By access_tokens_prefix.
FIND = f"select {COLUMNS}, digest from access_tokens where prefix = $1"
# By access_tokens_by_tenant.
LIST = f"select {COLUMNS} from access_tokens where tenant = $1 order by created_at, id"
REVOKE = f"""
update access_tokens set revoked_at = coalesce(revoked_at, now()) where tenant = $1 and prefix = $2
returning {COLUMNS}
"""
NOTE_USE = """
update access_tokens set last_used_at = now()
where tenant = $1 and id = $2 and (last_used_at is null or last_used_at < now() - interval '1 hour')
"""


class PostgresAccessTokens:
    """Implements domain.tenancy.ports.AccessTokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kept: Kept) -> None:
        token = kept.token
        async with self._database.work("add_access_token") as connection:
            await connection.execute(
                ADD,
                token.id,
                token.tenant,
                token.name,
                token.prefix,
                kept.digest,
                token.role.value,
                token.owner,
                token.created_at,
                token.expires_at,
            )

    async def find(self, prefix: str) -> Kept | None:
        async with self._database.read("find_access_token") as connection:
            record = await connection.fetchrow(FIND, prefix)
        return None if record is None else Kept(_token(record), record["digest"])

    async def all(self, tenant: str) -> list[AccessToken]:
        async with self._database.work("access_tokens") as connection:
            return [_token(record) for record in await connection.fetch(LIST, tenant)]

    async def revoke(self, tenant: str, prefix: str) -> AccessToken:
        async with self._database.work("revoke_access_token") as connection:
            record = await connection.fetchrow(REVOKE, tenant, prefix)
        if record is None:
            raise NotFound("There is no such token.")
        return _token(record)

    async def note_use(self, tenant: str, id: UUID) -> None:
        async with self._database.work("note_access_token") as connection:
            await connection.execute(NOTE_USE, tenant, id)


def _token(record: asyncpg.Record) -> AccessToken:
    return AccessToken(
        id=record["id"],
        tenant=record["tenant"],
        name=record["name"],
        prefix=record["prefix"],
        role=Role(record["role"]),
        owner=record["owner"],
        created_at=record["created_at"],
        expires_at=record["expires_at"],
        revoked_at=record["revoked_at"],
        last_used_at=record["last_used_at"],
    )
