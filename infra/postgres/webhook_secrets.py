"""The secrets of webhooks in PostgreSQL, encrypted. No origin is stored as an empty one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from domain.errors import Conflict, NotFound, NothingEncrypts, TooMany
from domain.webhooks.model import Made, SigningKey, WebhookSecret
from domain.webhooks.ports import Unreadable
from infra.encryption.keys import KeyRing, Sealed, Undecryptable
from infra.postgres.database import Connection, Database
from infra.system import random_bytes

KEY_BYTES = 32
SCHEME = "whsec_"
SHOWN = len(SCHEME) + 4
PURPOSE = "webhook-secret"

# One tenant's changes are made one after another: what they count cannot change meanwhile.
LOCK = "select pg_advisory_xact_lock(hashtextextended('carillon.webhook_secrets:' || $1, 0))"
FORGET = "delete from webhook_secrets where tenant = $1 and retires_at <= now()"
COUNT = "select count(*) from webhook_secrets where tenant = $1"
ADD = """
insert into webhook_secrets (id, tenant, origin, prefix, key_id, nonce, ciphertext)
values ($1, $2, $3, $4, $5, $6, $7)
returning id, tenant, origin, prefix, created_at, retires_at
"""
RETIRE = "update webhook_secrets set retires_at = now() + $3 where tenant = $1 and id = $2"
DELETE = "delete from webhook_secrets where tenant = $1 and id = $2 returning id"

COLUMNS = "id, tenant, origin, prefix, key_id, nonce, ciphertext, created_at, retires_at"
_VALID = "tenant = $1 and (retires_at is null or retires_at > now())"
LIST = f"select {COLUMNS} from webhook_secrets where {_VALID} order by created_at, id"
FIND = f"select {COLUMNS} from webhook_secrets where {_VALID} and id = $2"
OF_ORIGIN = f"select {COLUMNS} from webhook_secrets where {_VALID} and origin = $2 order by created_at, id"
# By webhook_secrets_by_origin. '' sorts first, so that here an origin's own are before those of every origin.
SIGNING = f"""
select {COLUMNS} from webhook_secrets where {_VALID} and origin in ($2, '')
order by origin desc, created_at desc, id desc
"""


class PostgresWebhookSecrets:
    """Implements domain.webhooks.ports.WebhookSecrets."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    async def add(self, tenant: str, id: UUID, origin: str | None, most: int) -> Made:
        async with self._database.transaction("add_webhook_secret", tenant) as connection:
            await _begin(connection, tenant)
            if await connection.fetchval(COUNT, tenant) >= most:
                raise TooMany(f"There are at most {most} secrets, and there are as many.")
            of_origin = await connection.fetch(OF_ORIGIN, tenant, origin or "")
            if any(record["retires_at"] is None for record in of_origin):
                raise Conflict("There is already a secret for this: rotate it.")
            return await self._insert(connection, tenant, id, origin or "")

    async def rotate(self, tenant: str, id: UUID, fresh: UUID, overlap: timedelta) -> Made:
        async with self._database.transaction("rotate_webhook_secret", tenant) as connection:
            await _begin(connection, tenant)
            old = await connection.fetchrow(FIND, tenant, id)
            if old is None:
                raise NotFound("There is no such secret.")
            if old["retires_at"] is not None:
                raise Conflict("It was rotated already: it retires by itself.")
            of_origin = await connection.fetch(OF_ORIGIN, tenant, old["origin"])
            if overlap and len(of_origin) > 1:
                raise Conflict("Two sign already: wait until the older one retires, or delete it.")
            await connection.execute(RETIRE, tenant, id, overlap)
            return await self._insert(connection, tenant, fresh, old["origin"])

    async def delete(self, tenant: str, id: UUID) -> None:
        async with self._database.work("delete_webhook_secret", tenant) as connection:
            if await connection.fetchval(DELETE, tenant, id) is None:
                raise NotFound("There is no such secret.")

    async def valid(self, tenant: str) -> list[WebhookSecret]:
        async with self._database.read("webhook_secrets", tenant) as connection:
            return [_shown(record) for record in await connection.fetch(LIST, tenant)]

    async def find(self, tenant: str, id: UUID) -> WebhookSecret | None:
        async with self._database.read("find_webhook_secret", tenant) as connection:
            record = await connection.fetchrow(FIND, tenant, id)
        return None if record is None else _shown(record)

    async def signing(self, tenant: str, origin: str) -> Sequence[SigningKey]:
        async with self._database.work("signing_secrets", tenant) as connection:
            records = await connection.fetch(SIGNING, tenant, origin)
        chosen = [record for record in records if record["origin"] == records[0]["origin"]]
        return [SigningKey(key=self._opened(record), retires_at=record["retires_at"]) for record in chosen]

    async def _insert(self, connection: Connection, tenant: str, id: UUID, origin: str) -> Made:
        if not self._keys.usable:
            raise NothingEncrypts
        key = random_bytes(KEY_BYTES)
        secret = SCHEME + base64.b64encode(key).decode()
        sealed = self._keys.seal(key, PURPOSE, tenant, str(id), origin)
        record = await connection.fetchrow(
            ADD, id, tenant, origin, secret[:SHOWN], sealed.key_id, sealed.nonce, sealed.ciphertext
        )
        assert record is not None, "an insert returns its row"
        return Made(_shown(record), secret)

    def _opened(self, record: asyncpg.Record) -> bytes:
        sealed = Sealed(key_id=record["key_id"], nonce=record["nonce"], ciphertext=record["ciphertext"])
        try:
            return self._keys.open(sealed, PURPOSE, record["tenant"], str(record["id"]), record["origin"])
        except Undecryptable as error:
            raise Unreadable(f"a webhook secret cannot be decrypted: {error}") from error


async def _begin(connection: Connection, tenant: str) -> None:
    await connection.execute(LOCK, tenant)
    await connection.execute(FORGET, tenant)


def _shown(record: asyncpg.Record) -> WebhookSecret:
    return WebhookSecret(
        id=record["id"],
        tenant=record["tenant"],
        origin=record["origin"] or None,
        prefix=record["prefix"],
        created_at=record["created_at"],
        retires_at=record["retires_at"],
    )
