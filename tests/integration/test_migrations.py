"""The migrations make what the rows say."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from domain.contracts.tasks import TaskEventKind
from infra.postgres.migrate import migrate
from infra.postgres.tables import TaskRow
from tests.support.services import fresh_database
from tests.support.storage import Storage, a_task, ids

pytestmark = pytest.mark.postgres

OLD_ATTEMPT = """
insert into attempts (task_id, number, tenant, state, due_at, started_at, finished_at, worker, error_message)
values ($1, $2, 'acme', 'FAILED', $3, $3, $3, 'worker-1', 'It broke.')
"""


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Not the days of attempts, which come and go."""
    return not (kind == "table" and re.fullmatch(r"attempts_(\d{8}|default)", name or ""))


async def test_an_upgrade_from_nothing_makes_every_table_as_its_row_says(storage: Storage) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=lambda: asyncpg.connect(storage.url)
    )

    def differences(connection: Connection) -> list[object]:
        options = {"compare_server_default": False, "include_name": is_ours}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, TaskRow.metadata))

    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    assert found == []


async def test_tables_are_stored_as_their_rows_say(storage: Storage) -> None:
    async with storage.database.work("test") as connection:
        records = await connection.fetch("select relname, coalesce(reloptions, '{}') as options from pg_class")
    found = {record["relname"]: set(record["options"]) for record in records}
    for name, table in TaskRow.metadata.tables.items():
        said = table.dialect_options["postgresql"]["with"] or {}
        assert found[name] == {f"{option}={value}" for option, value in said.items()}, name


async def test_attempts_of_the_layout_before_come_along_each_to_its_day(postgres_server: str) -> None:
    async with fresh_database(postgres_server, fill=partial(migrate, to="0003")) as url:
        connection = await asyncpg.connect(url)
        ended = [datetime(2026, 1, 30, 23, 59, 59, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)]
        for number, at in enumerate(ended, 1):
            await connection.execute(OLD_ATTEMPT, UUID(int=7), number, at)
        await migrate(url)
        records = await connection.fetch(
            "select tableoid::regclass::text as day, * from attempts order by number"
        )
        await connection.close()
    assert [record["day"] for record in records] == ["attempts_20260130", "attempts_20260131"]
    assert [(record["number"], record["finished_at"]) for record in records] == [(1, ended[0]), (2, ended[1])]
    assert {(record["tenant"], record["state"], record["error_message"]) for record in records} == {
        ("acme", "FAILED", "It broke.")
    }


async def test_processes_that_run_go_on_when_a_later_layout_has_more_columns(storage: Storage) -> None:
    (id,) = await storage.added(a_task())

    async def retitled(title: str) -> str:
        changed = await storage.tasks.change(
            "acme", id, lambda task, _: replace(task, title=title), TaskEventKind.UPDATED
        )
        return changed.title

    await storage.webhook_secrets.add("acme", ids.next(), None, 9)
    await retitled("before")
    for table in ("tasks", "webhook_secrets", "queues", "schedules"):
        await storage.execute(f"alter table {table} add column later integer")
    assert await retitled("after") == "after"
    (secret,) = await storage.webhook_secrets.valid("acme")
    await storage.webhook_secrets.rotate("acme", secret.id, ids.next(), timedelta(days=1))


async def test_migrating_again_or_twice_at_once_changes_nothing(storage: Storage) -> None:
    await asyncio.gather(migrate(storage.url), migrate(storage.url))
