"""The connections to PostgreSQL that a process has, and the database they lead to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from domain.attempts.ports import Workers
from domain.errors import Unavailable, Unprepared
from infra.breakers import Breaker
from infra.embedded_postgres.errors import CannotStart
from infra.postgres.audit_log import SETTINGS as AUDIT_SETTINGS
from infra.postgres.database import ENGINE_SETTINGS, Database, DatabaseMetrics, open_database
from infra.postgres.reading import Reading
from infra.postgres.workers import PostgresWorkers
from infra.settings import Settings

PATIENCE = 30.0
"""Seconds that work may take which nobody waits for, over a connection of its own: to remove a part of what is
old, or to look at all that waits."""
ENGINE_POOL = 4
AUDIT_POOL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    main: Database
    pruning: Database
    patient: Database
    engine: Database
    """Connections of its own: the first claim on each has to be planned, and tasks are late by that."""
    auditing: Database


@asynccontextmanager
async def open_databases(
    url: str, settings: Settings, metrics: DatabaseMetrics, breaker: Breaker
) -> AsyncIterator[Databases]:
    usual = partial(
        open_database, url, limit=settings.database_timeout, metrics=metrics, reading=Reading(breaker)
    )
    patient = partial(open_database, url, size=1, limit=PATIENCE, metrics=metrics)
    async with AsyncExitStack() as stack:
        opened = stack.enter_async_context
        yield Databases(
            main=await opened(usual(size=settings.database_pool)),
            pruning=await opened(patient(name="pruning")),
            patient=await opened(patient(name="patient", settings=ENGINE_SETTINGS)),
            engine=await opened(usual(name="engine", size=ENGINE_POOL, settings=ENGINE_SETTINGS)),
            auditing=await opened(usual(name="auditing", size=AUDIT_POOL, settings=AUDIT_SETTINGS)),
        )


@asynccontextmanager
async def open_workers(url: str, settings: Settings, metrics: DatabaseMetrics) -> AsyncIterator[Workers]:
    async with open_database(
        url, size=1, limit=settings.database_timeout, metrics=metrics, name="heartbeat"
    ) as database:
        yield PostgresWorkers(database)


@asynccontextmanager
async def one_connection(settings: Settings, advice: str = "") -> AsyncIterator[Database]:
    """For a command. Raises CannotStart in place of Unavailable, with the advice behind it."""
    async with (
        command_url(settings) as url,
        open_database(
            url, size=1, limit=settings.database_timeout, metrics=DatabaseMetrics(CollectorRegistry())
        ) as database,
    ):
        try:
            yield database
        except Unprepared as fault:
            raise CannotStart(f"{fault.dependency}: {fault.reason}.") from fault
        except Unavailable as fault:
            raise CannotStart(f"{fault}.{advice}") from fault


@asynccontextmanager
async def database_url(settings: Settings) -> AsyncIterator[str]:
    """That of the settings, or of an embedded PostgreSQL, started and migrated."""
    if settings.database_url is not None:
        yield str(settings.database_url)
        return
    from infra.embedded_postgres import open_embedded_postgres  # noqa: PLC0415  an extra

    async with open_embedded_postgres(settings.home, migrated) as url:
        yield url


@asynccontextmanager
async def command_url(settings: Settings) -> AsyncIterator[str]:
    """The same for a command, beside whoever runs on the home: what another process runs is not migrated."""
    if settings.database_url is not None:
        yield str(settings.database_url)
        return
    from infra.embedded_postgres import share_embedded_postgres  # noqa: PLC0415  an extra

    async with share_embedded_postgres(settings.home, migrated, _as_ours) as url:
        yield url


async def migrated(url: str) -> None:
    from infra.postgres.migrate import migrate  # noqa: PLC0415  Alembic takes a third of a second to import

    await migrate(url)


async def _as_ours(url: str) -> None:
    from infra.postgres.migrate import is_current  # noqa: PLC0415  the same

    if not await is_current(url):
        raise CannotStart(
            "What runs on this home is Carillon of another version: use the command of that one, or stop it."
        )
