"""What single commands do with a database, over one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.documents.ports import Documents
from domain.overview.ports import Overviews
from domain.tenancy.service import TokenService
from infra.bootstrap.databases import database_url, migrated, one_connection
from infra.bootstrap.loading import load_keys
from infra.embedded_postgres.errors import CannotStart
from infra.postgres.access_tokens import PostgresAccessTokens
from infra.postgres.database import OUTAGES
from infra.postgres.documents import PostgresDocuments
from infra.postgres.overview import PostgresOverviews
from infra.postgres.reencrypting import Reencrypted, reencrypt
from infra.postgres.tenants import RoleNotMade
from infra.settings import Settings
from infra.system import SystemClock, TimeOrderedIds, random_bytes


async def migrate_database(settings: Settings) -> None:
    """Bring the database of the settings to this version's layout. Raises CannotStart."""
    async with database_url(settings) as url:
        try:
            await migrated(url)
        except RoleNotMade as fault:
            raise CannotStart(str(fault)) from fault
        except (*OUTAGES, TimeoutError) as fault:
            raise CannotStart(
                f"The database cannot be migrated: {fault}. It must exist, and its user own it."
            ) from fault


async def reencrypt_database(settings: Settings) -> Reencrypted:
    """Encrypt with the newest key of the settings what older ones encrypted. Raises CannotStart."""
    keys = load_keys(settings)
    if not keys.usable:
        raise CannotStart("CARILLON_ENCRYPTION_KEYS is not set: there is nothing to encrypt with.")
    async with one_connection(settings, " What was done is done: start it again.") as database:
        return await reencrypt(database, keys)


@asynccontextmanager
async def open_token_service(settings: Settings) -> AsyncIterator[TokenService]:
    """For the command line. Raises CannotStart, also in place of Unavailable."""
    async with one_connection(settings) as database:
        yield TokenService(PostgresAccessTokens(database), SystemClock(), TimeOrderedIds(), random_bytes)


@asynccontextmanager
async def open_documents(settings: Settings) -> AsyncIterator[Documents]:
    """For the command line. Raises CannotStart, also in place of Unavailable."""
    async with one_connection(settings) as database:
        yield PostgresDocuments(database)


async def may_change(settings: Settings) -> bool:
    """Whether what is seen of it may change: on a home, only while a process runs there. Raises CannotStart.

    Who followed one on which nothing runs would hold its server, and keep whoever starts there out.
    """
    if settings.database_url is not None:
        return True
    from infra.embedded_postgres import runs_on  # noqa: PLC0415  an extra

    return await runs_on(settings.home)


@asynccontextmanager
async def open_overviews(settings: Settings) -> AsyncIterator[Overviews]:
    """For the command line. Raises CannotStart, also in place of Unavailable."""
    async with one_connection(settings) as database:
        yield PostgresOverviews(database)
