"""Encrypts with the newest key what older ones encrypted, in small steps, while everything runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from domain.actions.model import Http
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing, Sealed, Undecryptable
from infra.postgres.actions import action_from_json, action_to_json
from infra.postgres.database import Database
from infra.postgres.webhook_secrets import PURPOSE

log = logging.getLogger(__name__)

BATCH = 200
PAGE = 2_000
WITH_ACTIONS = ("tasks",)
"""Tables of (id, tenant, action)."""
FIRST = UUID(int=0)

SECRETS = "select * from webhook_secrets where key_id <> $1 and id > $2 order by id limit $3"
REPLACE = """
update webhook_secrets set key_id = $3, nonce = $4, ciphertext = $5 where id = $1 and nonce = $2
"""


@dataclass(slots=True)
class Reencrypted:
    changed: int = 0
    unreadable: int = 0
    """Left as they were: their key is missing."""


async def reencrypt(database: Database, keys: KeyRing) -> Reencrypted:
    """All that is encrypted in this database. Safe to repeat, and to break off."""
    done = Reencrypted()
    await _secrets(database, keys, done)
    for table in WITH_ACTIONS:
        await _actions(database, HeaderSeals(keys), table, done)
    return done


async def _secrets(database: Database, keys: KeyRing, done: Reencrypted) -> None:
    last = FIRST
    while True:
        async with database.work("reencrypt") as connection:
            records = await connection.fetch(SECRETS, keys.newest, last, BATCH)
            for record in records:
                last = record["id"]
                place = PURPOSE, record["tenant"], str(record["id"]), record["origin"]
                old = Sealed(key_id=record["key_id"], nonce=record["nonce"], ciphertext=record["ciphertext"])
                try:
                    new = keys.seal(keys.open(old, *place), *place)
                except Undecryptable as error:
                    _skip(done, "a webhook secret", record["id"], error)
                    continue
                await connection.execute(REPLACE, last, old.nonce, new.key_id, new.nonce, new.ciphertext)
                done.changed += 1
        if len(records) < BATCH:
            return


async def _actions(database: Database, seals: HeaderSeals, table: str, done: Reencrypted) -> None:
    """Row by row in the order of their ids: however few are encrypted, each statement reads so many."""
    page = f"""
        select id, tenant,
            case when action->>'kind' = 'HTTP' and action->'headers' <> '{{}}' then action end as action
        from (select id, tenant, action from {table} where id > $1 order by id limit $2) as page order by id
    """
    last = FIRST
    while True:
        async with database.work("reencrypt") as connection:
            records = await connection.fetch(page, last, PAGE)
        for record in records:
            last = record["id"]
            if record["action"] is not None:
                await _action(database, seals, table, record, done)
        if len(records) < PAGE:
            return


async def _action(
    database: Database, seals: HeaderSeals, table: str, record: asyncpg.Record, done: Reencrypted
) -> None:
    http = action_from_json(record["action"])
    assert isinstance(http, Http), "no others are selected"
    try:
        resealed = seals.resealed(record["tenant"], http)
    except Undecryptable as error:
        _skip(done, f"an action of {table}", record["id"], error)
        return
    if resealed == http:
        return
    # Changed meanwhile, it was encrypted anew, or is found the next time.
    replace = f"update {table} set action = $3::jsonb where id = $1 and action = $2::jsonb"
    new = action_to_json(resealed, record["tenant"], seals)
    async with database.work("reencrypt") as connection:
        await connection.execute(replace, record["id"], record["action"], new)
    done.changed += 1


def _skip(done: Reencrypted, what: str, id: UUID, error: Undecryptable) -> None:
    done.unreadable += 1
    log.error("%s cannot be decrypted: %s", what, error, extra={"id": str(id)})
