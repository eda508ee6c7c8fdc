"""Brings a database to the newest layout of our tables."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from infra.postgres.tenants import make_role

CONNECT_SECONDS = 10
MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(url: str, to: str = "head") -> None:
    """Apply what is missing up to that version, all or nothing; two at once wait for each other.

    Raises what asyncpg does when the database cannot be connected to, and RoleNotMade.
    """
    # SQLAlchemy would wrap what is wrong with the connection in words of its own.
    plain = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        await make_role(plain)
    finally:
        await plain.close()
    engine = _engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("select pg_advisory_xact_lock(hashtext('carillon.migrate'))"))
        await connection.run_sync(_upgrade, to)
    await engine.dispose()


async def is_current(url: str) -> bool:
    """Whether the database has the layout of this version: no older one, and no newer one."""
    engine = _engine(url)
    async with engine.connect() as connection:
        current = await connection.run_sync(_is_newest)
    await engine.dispose()
    return current


def _engine(url: str) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=lambda: asyncpg.connect(url)
    )


def _is_newest(connection: Connection) -> bool:
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == newest


def _upgrade(connection: Connection, to: str) -> None:
    command.upgrade(config(connection), to)


def config(connection: Connection) -> Config:
    """Alembic's configuration for this connection."""
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    settings.attributes["connection"] = connection
    return settings
