"""The events in the outbox that could not be read, and so not be published."""

from __future__ import annotations

import asyncpg

from domain.dead_letters.events import UNREADABLE
from domain.dead_letters.model import LOOKED_AT, Chosen, DeadLetter, LetterPlace, Letters
from infra.postgres.database import Database

KIND = "outbox"

_CHOSEN = """
select seq from outbox
where partition = -1 and ($1::text[] is null or seq::text = any($1))
and ($2::text is null or event->>'tenant' = $2)
order by seq limit $3
"""
_DIGITS = 19
"""Of the largest bigint."""
_OF = "coalesce(event->>'task_id', event->>'schedule_id')"
_ID = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
LIST = f"""
select seq, event, event->>'tenant' as tenant, event->>'type' as type, created_at from outbox
where partition = -1 and ($1::text is null or event->>'tenant' = $1) and seq > $2
order by seq limit {LOOKED_AT + 1}
"""
# Each is older than what its partition still waits with: of a long backlog the newest need not be looked at.
COUNT = """
select count(*) filter (where partition = -1)
from (select partition from outbox order by seq limit 100000) as oldest
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

    async def listed(self, tenant: str | None = None, after: LetterPlace | None = None) -> Letters:
        place = 0 if after is None else _seq(after.key)
        records = await self._fetch("list_set_aside", LIST, tenant, place)
        items = [_letter(record) for record in records[:LOOKED_AT]]
        return Letters(items=items, more=len(records) > LOOKED_AT)

    async def count(self) -> int:
        """How many there are, of everyone, among the oldest 100,000 events that are stored."""
        async with self._database.work("count_set_aside") as connection:
            found: int = await connection.fetchval(COUNT)
        return found

    async def replay(self, chosen: Chosen) -> int:
        return await self._settle("replay_set_aside", REPLAY, chosen)

    async def purge(self, chosen: Chosen) -> int:
        return await self._settle("purge_set_aside", PURGE, chosen)

    async def _settle(self, name: str, statement: str, chosen: Chosen) -> int:
        keys = None if chosen.keys is None else sorted(chosen.keys)
        return len(await self._fetch(name, statement, keys, chosen.tenant, LOOKED_AT))

    async def _fetch(self, name: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._database.work(name) as connection:
            records: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
        return records


def _seq(key: str) -> int:
    """0, before all of them, for what is no place here."""
    return int(key) if key.isascii() and key.isdigit() and len(key) < _DIGITS else 0


def _letter(record: asyncpg.Record) -> DeadLetter:
    return DeadLetter(
        of=KIND,
        key=str(record["seq"]),
        tenant=record["tenant"],
        at=record["created_at"],
        what=f"{UNREADABLE} {record['type'] or ''}".rstrip(),
        body=record["event"],
    )
