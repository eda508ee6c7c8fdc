"""Published documents in PostgreSQL, by the hashes of their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from domain.documents.model import MOST_PUBLISHED, Publication, PublishedDocument
from domain.errors import NotFound, TooMany
from infra.postgres.database import Database, columns

# One change at a time: whoever has seen a revision has seen all that are smaller.
BEGIN_ALONE = "begin; select pg_advisory_xact_lock(hashtext('carillon.documents'))"
_NEXT = "(select coalesce(max(revision), 0) + 1 from documents)"
PUBLISH = f"""
insert into documents (hash, text, name, kind, revision)
select given.hash, given.text, given.name, given.kind, {_NEXT}
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as given (hash, text, name, kind)
on conflict (hash) do update
set retired_at = null, published_at = excluded.published_at, revision = excluded.revision
where documents.retired_at is not null
returning 1
"""
COUNT = "select count(*) from documents where retired_at is null"
RETIRE = f"""
update documents set retired_at = now(), revision = {_NEXT} where hash = $1 and retired_at is null
"""
LIST = """
select hash, name, kind, published_at, retired_at, coalesce(uses, 0) as uses, last_used_at
from documents left join document_uses using (hash)
"""
# By documents_by_revision.
REVISION = "select coalesce(max(revision), 0) from documents"
TEXTS = "select hash, text from documents where retired_at is null"
# In the order of their hashes: processes that note the same ones do not wait for each other in a circle.
NOTE_USES = """
insert into document_uses (hash, uses)
select hash, uses from unnest($1::text[], $2::bigint[]) as used (hash, uses) order by hash
on conflict (hash) do update
set uses = document_uses.uses + excluded.uses, last_used_at = excluded.last_used_at
"""


class PostgresDocuments:
    """Implements domain.documents.ports.Documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, publications: Sequence[Publication]) -> int:
        rows = {each.hash: (each.hash, each.text, each.name, each.kind) for each in publications}
        if not rows:
            return 0
        async with self._database.begun("publish_documents", BEGIN_ALONE) as connection:
            published = await connection.fetch(PUBLISH, *columns(rows.values()))
            if await connection.fetchval(COUNT) > MOST_PUBLISHED:
                raise TooMany(f"At most {MOST_PUBLISHED} documents may be published: retire some.")
        return len(published)

    async def retire(self, hash: str) -> PublishedDocument:
        async with self._database.begun("retire_document", BEGIN_ALONE) as connection:
            await connection.execute(RETIRE, hash)
            record = await connection.fetchrow(f"{LIST} where hash = $1", hash)
        if record is None:
            raise NotFound("There is no such document.")
        return PublishedDocument(**record)

    async def all(self) -> list[PublishedDocument]:
        async with self._database.work("documents") as connection:
            return [
                PublishedDocument(**record)
                for record in await connection.fetch(f"{LIST} order by published_at, hash")
            ]

    async def revision(self) -> int:
        async with self._database.work("documents_revision") as connection:
            revision: int = await connection.fetchval(REVISION)
        return revision

    async def texts(self) -> dict[str, str]:
        async with self._database.read("document_texts") as connection:
            records: list[asyncpg.Record] = await connection.fetch(TEXTS)
        return {record["hash"]: record["text"] for record in records}

    async def note_uses(self, uses: Mapping[str, int]) -> None:
        async with self._database.work("note_document_uses") as connection:
            await connection.execute(NOTE_USES, list(uses), list(uses.values()))
