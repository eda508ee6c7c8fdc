"""The events in the outbox that could not be read, and so not be published."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from domain.dead_letters.events import UNREADABLE
from domain.dead_letters.model import LOOKED_AT, Chosen, DeadLetter
from infra.postgres.database import Database

KIND = "outbox"

_CHOSEN = """
select seq from outbox
where partition = -1 and ($1::text[] is null or seq::text = any($1))
and ($2::text is null or event->>'tenant' = $2)
order by seq limit $3
"""
_OF = "coalesce(event->>'task_id', event->>'schedule_id')"
_ID = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
LIST = f"""
select seq, event, event->>'tenant' as tenant, event->>'type' as type, created_at from outbox
where seq in ({_CHOSEN}) order by seq
"""
# Behind what waits: a new place is past every floor. What names nothing has no partition to go to.
REPLAY = f"""
with back as (
    delete from outbox where partition = -1 and seq in ({_CHOSEN}) and {_OF} ~ {_ID} returning seq, event
)
insert into outbox (partition, event)
select outbox_partition({_OF}::uuid), event from back order by seq
returning 1
"""
PURGE = f"delete from outbox where partition = -1 and seq in ({_CHOSEN}) returning 1"


class PostgresSetAside:
    """Implements domain.dead_letters.ports.DeadLetters.

    Tenants may not read the outbox: the statements themselves keep to a tenant's own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self, tenant: str | None = None) -> Sequence[DeadLetter]:
        return [_letter(record) for record in await self._fetch("list_set_aside", LIST, Chosen(tenant=tenant))]

    async def replay(self, chosen: Chosen) -> int:
        return len(await self._fetch("replay_set_aside", REPLAY, chosen))

    async def purge(self, chosen: Chosen) -> int:
        return len(await self._fetch("purge_set_aside", PURGE, chosen))

    async def _fetch(self, name: str, statement: str, chosen: Chosen) -> list[asyncpg.Record]:
        keys = None if chosen.keys is None else sorted(chosen.keys)
        async with self._database.work(name) as connection:
            records: list[asyncpg.Record] = await connection.fetch(statement, keys, chosen.tenant, LOOKED_AT)
        return records


def _letter(record: asyncpg.Record) -> DeadLetter:
    return DeadLetter(
        of=KIND,
        key=str(record["seq"]),
        tenant=record["tenant"],
        at=record["created_at"],
        what=f"{UNREADABLE} {record['type'] or ''}".rstrip(),
        body=record["event"],
    )
