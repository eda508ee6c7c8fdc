"""Encrypts with the newest key what older ones encrypted, in small steps, while everything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from domain.actions.model import Http
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing, Sealed, Undecryptable
from infra.postgres.actions import action_from_json, action_to_json
from infra.postgres.database import Database, columns
from infra.postgres.webhook_secrets import COLUMNS, PURPOSE

BATCH = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where actions are stored, in a table with an id and a tenant."""

    table: str
    action: str
    """How the action is read from a row."""
    column: str
    value: str
    """What the column holds with the new action, which is `n.new`."""


WITH_ACTIONS = (
    Place("tasks", "action", "action", "n.new::jsonb"),
    Place("schedules", "task->'action'", "task", "jsonb_set(t.task, '{action}', n.new::jsonb)"),
)
FIRST = UUID(int=0)

SECRETS = f"select {COLUMNS} from webhook_secrets where key_id <> $1 and id > $2 order by id limit $3"
REPLACE = """
update webhook_secrets set key_id = $3, nonce = $4, ciphertext = $5 where id = $1 and nonce = $2
"""


@dataclass(slots=True)
class Reencrypted:
    changed: int = 0
    unreadable: int = 0
    """Left as they were."""
    reasons: set[str] = field(default_factory=set)
    """Why these were."""

    def skip(self, error: Undecryptable) -> None:
        self.unreadable += 1
        self.reasons.add(str(error))


async def reencrypt(database: Database, keys: KeyRing) -> Reencrypted:
    """All that is encrypted in this database. Safe to repeat, and to break off."""
    done = Reencrypted()
    await _secrets(database, keys, done)
    for place in WITH_ACTIONS:
        await _actions(database, HeaderSeals(keys), place, done)
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
                    done.skip(error)
                    continue
                await connection.execute(REPLACE, last, old.nonce, new.key_id, new.nonce, new.ciphertext)
                done.changed += 1
        if len(records) < BATCH:
            return


async def _actions(database: Database, seals: HeaderSeals, place: Place, done: Reencrypted) -> None:
    """Row by row in the order of their ids: however few are encrypted, each statement reads so many."""
    page = f"""
        select id, tenant,
            case when action->>'kind' = 'HTTP' and action->'headers' <> '{{}}' then action end as action
        from (
            select id, tenant, {place.action} as action from {place.table} where id > $1 order by id limit $2
        ) as page order by id
    """
    # What changed meanwhile was encrypted anew, or is found the next time. Locked in the order of ids, as every
    # statement locks several tasks.
    replace = f"""
        with n as materialized (
            select n.id, n.new from {place.table} as t
            join unnest($1::uuid[], $2::text[], $3::text[]) as n(id, old, new) on n.id = t.id
            where t.{place.action} = n.old::jsonb order by t.id for update of t
        )
        update {place.table} as t set {place.column} = {place.value} from n where t.id = n.id
    """
    last = FIRST
    while True:
        async with database.work("reencrypt") as connection:
            records = await connection.fetch(page, last, BATCH)
        changed = [row for record in records if (row := _resealed(record, seals, done)) is not None]
        if changed:
            async with database.work("reencrypt") as connection:
                await connection.execute(replace, *columns(changed))
            done.changed += len(changed)
        if len(records) < BATCH:
            return
        last = records[-1]["id"]


def _resealed(record: asyncpg.Record, seals: HeaderSeals, done: Reencrypted) -> tuple[UUID, str, str] | None:
    """The id, the action as it is, and as it is to be; None where nothing is to be changed."""
    if record["action"] is None:
        return None
    http = action_from_json(record["action"])
    assert isinstance(http, Http), "no others are selected"
    try:
        resealed = seals.resealed(record["tenant"], http)
    except Undecryptable as error:
        done.skip(error)
        return None
    if resealed == http:
        return None
    return record["id"], record["action"], action_to_json(resealed, record["tenant"], seals)
