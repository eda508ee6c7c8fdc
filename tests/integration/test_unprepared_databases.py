"""A database that is not migrated, or not there, is told plainly and can be put right."""

from __future__ import annotations

import logging
from functools import partial

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable, Unprepared
from infra.bootstrap import CannotStart, migrate_database, open_overviews
from infra.encryption.headers import HeaderSeals
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.figures import PostgresFigures
from infra.postgres.migrate import migrate
from infra.postgres.outbox import PostgresOutbox
from infra.postgres.tasks import PostgresTasks
from infra.postgres.tenants import ROLE
from infra.settings import Settings
from tests.support.owners import plain_owner
from tests.support.services import fresh_database
from tests.support.storage import KEYS, a_task, ids, open_storage

pytestmark = pytest.mark.postgres


async def test_without_its_tables_a_database_is_not_ready_and_says_what_to_do(
    postgres_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = DatabaseMetrics(CollectorRegistry())
    async with (
        fresh_database(postgres_server) as url,
        open_database(url, size=1, limit=5, metrics=metrics) as database,
    ):
        with pytest.raises(Unprepared, match="PostgreSQL is not ready for this just now"):
            await PostgresFigures(database).ping()
        with pytest.raises(Unprepared):
            async with PostgresOutbox(url, database, 5).lead() as lead:
                await lead.acquire()
        assert "carillon migrate" in caplog.text
        await migrate_database(Settings.model_validate({"database_url": url}))
        await PostgresFigures(database).ping()


async def test_a_command_on_a_database_without_its_tables_is_told_to_migrate_it(postgres_server: str) -> None:
    async with fresh_database(postgres_server) as url:
        with pytest.raises(CannotStart, match=r"^PostgreSQL: not migrated, or .*: carillon migrate\.$"):
            async with open_overviews(Settings.model_validate({"database_url": url})) as overviews:
                await overviews.read(1, 1)


async def test_a_database_that_is_not_there_cannot_be_migrated_and_is_named(postgres_server: str) -> None:
    async with fresh_database(postgres_server) as url:
        gone = url
    with pytest.raises(CannotStart, match=gone.rpartition("/")[2].partition("?")[0]):
        await migrate_database(Settings.model_validate({"database_url": gone}))


async def test_a_user_that_may_make_no_role_is_told_what_to_run_and_then_needs_no_more(
    postgres_server: str,
) -> None:
    async with (
        fresh_database(postgres_server) as url,
        plain_owner(postgres_server, url) as mine,
    ):
        with pytest.raises(CannotStart, match=f"create role {ROLE} nologin; grant {ROLE} to") as told:
            await migrate_database(Settings.model_validate({"database_url": mine}))
        commands = str(told.value).partition("run: ")[2]
        administrator = await asyncpg.connect(postgres_server)
        await administrator.execute(commands.partition("; ")[2])  # the role is the server's, and there already
        await administrator.close()
        await migrate_database(Settings.model_validate({"database_url": mine}))
        async with open_storage(mine) as storage:
            (id,) = await storage.added(a_task())
            await storage.a_worker()
            assert await storage.claimed(1) == [id]
            assert (await storage.task(id)).title == "Water the plants"


async def test_before_this_version_is_migrated_to_what_tenants_ask_for_is_unavailable(
    postgres_server: str,
) -> None:
    async with (
        fresh_database(postgres_server, fill=partial(migrate, to="0008")) as url,
        open_storage(url) as storage,
    ):
        with pytest.raises(Unavailable):
            await storage.added(a_task())
        await migrate(url)
        assert len(await storage.added(a_task())) == 1


REVOKE, GRANT = f"revoke select on tasks from {ROLE}", f"grant select on tasks to {ROLE}"


async def test_what_is_granted_to_too_few_is_logged_once_not_ready_and_over_once_it_is_granted(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    registry = CollectorRegistry()
    async with (
        open_storage(database_url) as storage,
        open_database(database_url, size=2, limit=5, metrics=DatabaseMetrics(registry)) as database,
    ):
        tasks, figures = PostgresTasks(database, HeaderSeals(KEYS)), PostgresFigures(database)
        await storage.execute(REVOKE)
        for _ in range(3):
            with pytest.raises(Unprepared):
                await figures.ping()
            with pytest.raises(Unavailable):
                await tasks.find("acme", [ids.next()])
        assert [record.levelname for record in told(caplog)] == ["ERROR"]
        [said] = [record.getMessage() for record in told(caplog)]
        assert "permission denied for table tasks" in said
        assert "carillon migrate" in said
        assert registry.get_sample_value("carillon_sql_refusals_total", {"work": "ping_as_tenant"}) == 3
        await storage.execute(GRANT)
        await figures.ping()
        await tasks.find("acme", [ids.next()])
        assert [record.levelname for record in told(caplog)] == ["ERROR", "INFO"]


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "infra.postgres.database"]
