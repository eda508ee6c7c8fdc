"""Killed under a load of mutations: whatever was committed has its entry in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from infra.postgres.migrate import migrate
from tests.support.asking import create
from tests.support.graphql_client import GraphQLErrors, http_client
from tests.support.installation import Installation, open_behind_proxies, open_installation
from tests.support.own_postgres import own_postgres
from tests.support.services import database_name, fresh_database
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

AT_ONCE = 8
"""Who make tasks, each the next as soon as the last is answered."""
EACH = 40
"""Tasks between two kills."""
KILLS = 3
MADE = "select count(*) from tasks"
NOT_NOTED = """select count(*) from tasks as t where not exists (
    select from audit_log as a where a.tenant = t.tenant and a.operation = 'createTask'
        and a.trace_id = split_part(t.traceparent, '-', 2))"""
CUT_SHORT = "select count(*) from audit_log where outcome is null"


@asynccontextmanager
async def load(installation: Installation) -> AsyncIterator[None]:
    """Tasks are made all the time, at the API that runs."""

    async def make() -> None:
        while True:
            with suppress(GraphQLErrors, httpx2.TransportError, IndexError):
                async with http_client(installation.api) as client:
                    while True:
                        await create(client, "Noted")
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        making = [group.create_task(make()) for _ in range(AT_ONCE)]
        yield
        for each in making:
            each.cancel()


async def more_made(installation: Installation) -> None:
    before = await installation.value(MADE)

    async def made() -> bool:
        return bool(await installation.value(MADE) >= before + EACH)

    await until(made, 30)


@pytest.mark.fault(42, "an API killed under a load of mutations, thrice")
async def test_an_api_that_is_killed_has_committed_nothing_that_is_not_in_the_audit_log(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    async with (
        open_installation(postgres_server, migrated, tmp_path, "api") as installation,
        load(installation),
    ):
        for _ in range(KILLS):
            await more_made(installation)
            await installation.kill(installation.of("api")[0])
            assert await installation.value(NOT_NOTED) == 0
            assert await installation.value(CUT_SHORT) > 0, "it was killed over some of them"
            await installation.start("api")


@pytest.mark.fault(42, "PostgreSQL of its own killed under a load of mutations, thrice")
async def test_a_postgresql_that_is_killed_has_kept_nothing_that_is_not_in_the_audit_log(
    tmp_path: Path,
) -> None:
    async with (
        own_postgres() as (server, url),
        fresh_database(url, fill=migrate) as template,
        open_behind_proxies(url, database_name(template), tmp_path, "api") as (installation, _),
        load(installation),
    ):
        for _ in range(KILLS):
            await more_made(installation)
            server.kill()
            await server.stop()
            assert await server.start() == url
            await installation.database.expire_connections()
            assert await installation.value(NOT_NOTED) == 0
