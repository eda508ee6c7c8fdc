"""Notifications in PostgreSQL: a gap-free stream for each tenant."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from domain.errors import CursorExpired
from domain.notifications.model import Draft, Notification, NotificationKind
from domain.paging import Page, PageRequest, page_of
from infra.postgres.database import Database, columns

COLUMNS = "tenant, seq, id, kind, title, body, owner, task_id, created_at, read_at, traceparent"

# Made by migration 0007. Committed by itself: what fails in it leaves nothing behind.
ADD = "select add_notifications_v1($1, $2, $3, $4, $5, $6, $7, $8, $9) as tenant"

FIND = f"select {COLUMNS} from notifications where tenant = $1 and id = any($2)"  # notifications_id
# The mark and what follows it are seen at one instant: nothing can be removed in between.
AFTER = f"""
select s.pruned_seq, n.* from (select coalesce(max(pruned_seq), 0) as pruned_seq from notification_streams
    where tenant = $1) as s
left join lateral (
    select {COLUMNS} from notifications where tenant = $1 and seq > $2 order by seq limit $3
) as n on true
order by n.seq
"""  # notification_streams_pkey, notifications_pkey
LAST = "select last_seq from notification_streams where tenant = $1"
OF_TASKS = f"""
select n.* from unnest($2::uuid[]) as t(id)
cross join lateral (
    select {COLUMNS} from notifications
    where task_id = t.id and tenant = $1 and seq > $4 order by seq limit $3
) as n
"""  # notifications_by_task
UNREAD_LIMIT = 10_000
UNREAD = f"""
select count(*) from (
    select from notifications
    where tenant = $1 and read_at is null and ($2::text is null or owner = $2)
    limit {UNREAD_LIMIT}
) as unread
"""  # notifications_unread, notifications_unread_by_owner
READ_BATCH = 500
# In the order of the stream, so that two who mark the same ones wait for each other and do not deadlock.
MARK_READ = f"""
with unread as materialized (
    select tenant, seq from notifications
    where tenant = $1 and read_at is null
        and ($2::uuid[] is null or id = any($2)) and ($3::bigint is null or seq <= $3)
        and ($4::text is null or owner = $4)
    order by seq limit {READ_BATCH} for update
)
update notifications as n set read_at = now() from unread as u where n.tenant = u.tenant and n.seq = u.seq
"""  # notifications_unread


class PostgresNotifications:
    """Implements domain.notifications.ports.Notifications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, drafts: Sequence[Draft]) -> frozenset[str]:
        async with self._database.work("add_notifications") as connection:
            records = await connection.fetch(ADD, *_columns(drafts))
        return frozenset(record["tenant"] for record in records)

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Notification | None]:
        async with self._database.read("find_notifications", tenant) as connection:
            records = await connection.fetch(FIND, tenant, list(ids))
        found = {record["id"]: _notification(record) for record in records}
        return [found.get(id) for id in ids]

    async def page(
        self,
        tenant: str,
        request: PageRequest[int],
        *,
        owner: str | None = None,
        unread_only: bool = False,
    ) -> Page[Notification]:
        where = ["tenant = $1"]
        arguments: list[str | int] = [tenant]
        for condition, value in (
            ("seq > ${}", request.after),
            ("seq < ${}", request.before),
            ("owner = ${}", owner),
        ):
            if value is not None:
                arguments.append(value)
                where.append(condition.format(len(arguments)))
        if unread_only:
            where.append("read_at is null")
        direction = "desc" if request.backwards else "asc"
        statement = f"""
            select {COLUMNS} from notifications where {" and ".join(where)}
            order by seq {direction} limit {request.size + 1}
        """
        async with self._database.read("list_notifications", tenant) as connection:
            records = await connection.fetch(statement, *arguments)
        return page_of([_notification(record) for record in records], request)

    async def of_tasks(
        self, tenant: str, task_ids: Sequence[UUID], first: int, after: int = 0
    ) -> list[list[Notification]]:
        async with self._database.read("notifications_of_tasks", tenant) as connection:
            records = await connection.fetch(OF_TASKS, tenant, list(task_ids), first, after)
        found: dict[UUID, list[Notification]] = {}
        for record in records:
            found.setdefault(record["task_id"], []).append(_notification(record))
        return [found.get(id, []) for id in task_ids]

    async def after(self, tenant: str, seq: int, limit: int) -> list[Notification]:
        async with self._database.work("notifications_after", tenant) as connection:
            records = await connection.fetch(AFTER, tenant, seq, limit)
        if seq < records[0]["pruned_seq"]:
            raise CursorExpired
        return [_notification(record) for record in records if record["seq"] is not None]

    async def last_seq(self, tenant: str) -> int:
        async with self._database.work("last_notification", tenant) as connection:
            last: int | None = await connection.fetchval(LAST, tenant)
        return last or 0

    async def unread_count(self, tenant: str, owner: str | None = None) -> int:
        async with self._database.read("unread_notifications", tenant) as connection:
            count: int = await connection.fetchval(UNREAD, tenant, owner)
        return count

    async def mark_read(
        self,
        tenant: str,
        *,
        ids: Sequence[UUID] | None = None,
        up_to: int | None = None,
        owner: str | None = None,
    ) -> int:
        given = None if ids is None else list(ids)
        marked = 0
        while True:
            async with self._database.work("mark_notifications_read", tenant) as connection:
                status = await connection.execute(MARK_READ, tenant, given, up_to, owner)
            batch = int(status.removeprefix("UPDATE "))
            marked += batch
            if batch < READ_BATCH:
                return marked


def _columns(drafts: Sequence[Draft]) -> list[list[object]]:
    rows = [
        (
            draft.id,
            draft.event_id,
            draft.tenant,
            draft.kind.value,
            draft.title,
            draft.body,
            draft.owner,
            draft.task_id,
            draft.traceparent,
        )
        for draft in drafts
    ]
    return columns(rows)


def _notification(record: asyncpg.Record) -> Notification:
    return Notification(
        id=record["id"],
        tenant=record["tenant"],
        seq=record["seq"],
        kind=NotificationKind(record["kind"]),
        title=record["title"],
        body=record["body"],
        owner=record["owner"],
        task_id=record["task_id"],
        created_at=record["created_at"],
        read_at=record["read_at"],
        traceparent=record["traceparent"],
    )
