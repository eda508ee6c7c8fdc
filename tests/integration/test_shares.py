"""A tenant's dear questions leave connections to the others; that it waits for itself is no outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import TenantBusy, Unavailable
from infra.postgres.database import Database, DatabaseMetrics, open_database
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

pytestmark = pytest.mark.postgres


class Opened:
    def __init__(self, database: Database, registry: CollectorRegistry) -> None:
        self.database = database
        self._registry = registry

    def told(self, figure: str) -> float | None:
        return self._registry.get_sample_value(f"carillon_sql_{figure}_total")

    def failures(self) -> float | None:
        return self._registry.get_sample_value("carillon_sql_failures_total", {"work": "test"})


@asynccontextmanager
async def opened(url: str, size: int, limit: float = 5) -> AsyncIterator[Opened]:
    registry = CollectorRegistry()
    async with open_database(url, size=size, limit=limit, metrics=DatabaseMetrics(registry)) as database:
        yield Opened(database, registry)


@asynccontextmanager
async def held(database: Database, tenant: str, number: int) -> AsyncIterator[None]:
    """So many connections are in use for the tenant, each by a task of its own."""
    leave, began = asyncio.Event(), asyncio.Semaphore(0)

    async def hold() -> None:
        async with database.work("test", tenant):
            began.release()
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(hold())
        for _ in range(number):
            await began.acquire()
        try:
            yield
        finally:
            leave.set()


async def asked(database: Database, tenant: str) -> str:
    async with database.work("test", tenant) as connection:
        return str(await connection.fetchval("select current_setting('carillon.tenant')"))


async def test_while_one_tenant_holds_its_share_another_is_answered_and_its_own_work_waits(
    database_url: str,
) -> None:
    async with opened(database_url, size=4) as it, AsyncExitStack() as stack:
        await stack.enter_async_context(held(it.database, "acme", 2))
        waiting = asyncio.create_task(asked(it.database, "acme"))
        await until(lambda: it.told("share_waits") == 1)
        assert await asked(it.database, "other") == "other"
        assert not waiting.done()
        await stack.aclose()
        assert await waiting == "acme"
        assert len(it.database.shares) == 0


async def test_too_much_under_way_for_a_tenant_is_told_as_such_and_as_no_outage(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(database_url, size=2, limit=1) as it:

        async def dear() -> None:
            async with it.database.work("test", "acme") as connection:
                await connection.execute("select pg_sleep(0.6)")

        await asked(it.database, "acme")  # over a connection that is there then
        answers = await asyncio.gather(*(dear() for _ in range(4)), return_exceptions=True)
        assert answers[0] is None
        assert [type(each) for each in answers[1:]] == [TenantBusy] * 3
        assert "Too much is under way for this tenant" in str(answers[1])
        assert (it.told("share_waits"), it.told("share_refusals"), it.failures()) == (3, 3, 0)
        assert [each.message for each in caplog.records if each.levelname != "INFO"] == [
            "too much is under way for a tenant"
        ]
        assert await asked(it.database, "acme") == "acme"
        assert len(it.database.shares) == 0


async def test_while_postgresql_does_not_answer_who_waits_for_a_share_is_told_so(database_url: str) -> None:
    async with (
        open_proxy(database_url) as proxy,
        opened(proxy.url, size=2, limit=0.5) as it,
    ):
        await asked(it.database, "acme")
        proxy.hang()
        answers = await asyncio.gather(*(asked(it.database, "acme") for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in answers] == [Unavailable] * 3
        assert it.failures() == 1


async def test_with_a_single_connection_work_of_tenants_follows_one_another(database_url: str) -> None:
    async with opened(database_url, size=1) as it:
        tenants = ["acme", "other"] * 5
        assert await asyncio.gather(*(asked(it.database, tenant) for tenant in tenants)) == tenants
        assert len(it.database.shares) == 0
