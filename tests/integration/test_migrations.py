"""The migrations make what the rows say."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from infra.postgres.migrate import migrate
from infra.postgres.tables import TaskRow
from tests.support.storage import Storage

pytestmark = pytest.mark.postgres


async def test_an_upgrade_from_nothing_makes_every_table_as_its_row_says(storage: Storage) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=lambda: asyncpg.connect(storage.url)
    )

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        return list(compare_metadata(context, TaskRow.metadata))

    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    assert found == []


async def test_migrating_again_or_twice_at_once_changes_nothing(storage: Storage) -> None:
    await asyncio.gather(migrate(storage.url), migrate(storage.url))
