"""Figures that are read from storage and the broker: true when they are read, and kept when a part is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import asyncpg
import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Route
from typing_extensions import override

from api.scraping import MetricsPage
from domain.errors import Unavailable
from domain.queues.model import QueueEdit
from infra.postgres import gauges
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.figures import PostgresFigures
from infra.postgres.gauges import MOST_QUEUES, OTHER, StorageGauges
from infra.postgres.outbox import PostgresOutbox
from infra.postgres.set_aside import PostgresSetAside
from tests.support.storage import Storage, a_task, due_in
from tests.support.waiting import until

pytestmark = pytest.mark.postgres


class Broker:
    def __init__(self) -> None:
        self.dead_letters: Mapping[str, int] | None = {"notifier": 2, "tasks": 0}

    async def count(self) -> Mapping[str, int]:
        if self.dead_letters is None:
            raise Unavailable("RabbitMQ")
        return self.dead_letters


class Read:
    """The gauges, read each time they are looked at."""

    def __init__(self, gauges: StorageGauges, registry: CollectorRegistry) -> None:
        self.refresh = gauges.refresh
        self.registry = registry

    async def value(self, name: str, **labels: str) -> float | None:
        with suppress(Unavailable):
            await self.refresh()
        return self.registry.get_sample_value(name, labels)


@asynccontextmanager
async def reading(url: str, broker: Broker, *tenants: str) -> AsyncIterator[Read]:
    registry = CollectorRegistry()
    async with open_database(url, size=2, limit=5, metrics=DatabaseMetrics(registry)) as database:
        outbox = PostgresOutbox(url, database, 5)
        figures, set_aside = PostgresFigures(database, tenants), PostgresSetAside(database)
        yield Read(StorageGauges(figures, outbox, broker.count, set_aside.count, registry), registry)


@pytest.fixture(autouse=True)
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(gauges, "SHARE", 0)


async def test_what_is_due_and_what_waits_to_be_published_is_told(storage: Storage) -> None:
    await storage.added(due_in(-60), due_in(-5), due_in(3600))
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks_due") == 2
        assert 60 <= (await read.value("carillon_oldest_due_seconds") or 0) < 120
        assert await read.value("carillon_tasks", state="SCHEDULED", queue="default") == 3
        assert await read.value("carillon_outbox_events") == 3


async def test_events_that_could_not_be_published_are_dead_letters_also_without_the_broker(
    storage: Storage,
) -> None:
    broker = Broker()
    broker.dead_letters = None
    await storage.added(a_task(), a_task(), a_task())
    async with reading(storage.url, broker) as read:
        assert await read.value("carillon_dead_letters", of="outbox") == 0
        await storage.execute("update outbox set partition = -1 where seq < (select max(seq) from outbox)")
        assert await read.value("carillon_dead_letters", of="outbox") == 2
        assert await read.value("carillon_outbox_events") == 1


async def test_what_is_due_in_a_paused_queue_is_told_apart_and_is_not_late(storage: Storage) -> None:
    await storage.added(due_in(-600, queue="mail"), due_in(-600, queue="mail", concurrency_key="a"), due_in(-5))
    await storage.execute("update tasks set awaits_key = true where concurrency_key = 'a'")
    await storage.queues.change("acme", "mail", QueueEdit(paused=True), 10)
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks_due") == 1
        assert await read.value("carillon_tasks_due_paused") == 2
        assert 5 <= (await read.value("carillon_oldest_due_seconds") or 0) < 60
        await storage.queues.change("acme", "mail", QueueEdit(paused=False), 10)
        assert await read.value("carillon_tasks_due") == 3
        assert await read.value("carillon_tasks_due_paused") == 0
        assert (await read.value("carillon_oldest_due_seconds") or 0) >= 600


async def test_a_queue_of_the_same_name_of_another_tenant_is_not_paused(storage: Storage) -> None:
    await storage.added(due_in(-5, queue="mail", tenant="other"), due_in(-5, queue="mail"))
    await storage.queues.change("acme", "mail", QueueEdit(paused=True), 10)
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks_due") == 1
        assert await read.value("carillon_tasks_due_paused") == 1


async def test_what_waits_for_its_key_is_due_too(storage: Storage) -> None:
    await storage.added(due_in(-60, concurrency_key="a"), due_in(-60, concurrency_key="a"))
    await storage.execute(
        "update tasks set awaits_key = true where id = (select min(id::text)::uuid from tasks)"
    )
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks_due") == 2


async def test_the_largest_queues_have_figures_of_their_own_and_the_rest_one(storage: Storage) -> None:
    await storage.added(*(due_in(60, queue=f"q{number}") for number in range(MOST_QUEUES + 2)))
    await storage.added(*(due_in(60, queue=f"q{number}") for number in range(MOST_QUEUES)))
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks", state="SCHEDULED", queue="q0") == 2
        assert await read.value("carillon_tasks", state="SCHEDULED", queue=f"q{MOST_QUEUES}") is None
        assert await read.value("carillon_tasks", state="SCHEDULED", queue=OTHER) == 2


async def test_a_queue_that_has_nothing_any_more_is_told_no_more(storage: Storage) -> None:
    [id] = await storage.added(due_in(60, queue="mail"))
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks", state="SCHEDULED", queue="mail") == 1
        await storage.tasks.delete("acme", id)
        assert await read.value("carillon_tasks", state="SCHEDULED", queue="mail") is None
        assert await read.value("carillon_tasks", state="SCHEDULED", queue=OTHER) == 0


async def test_tenants_that_are_named_have_figures_of_their_own(storage: Storage) -> None:
    await storage.added(due_in(-60), due_in(-5), due_in(60), due_in(-5, tenant="other"))
    async with reading(storage.url, Broker(), "acme", "idle") as read:
        assert await read.value("carillon_tenant_tasks_due", tenant="acme") == 2
        assert (await read.value("carillon_tenant_oldest_due_seconds", tenant="acme") or 0) >= 60
        assert await read.value("carillon_tenant_tasks_in_flight", tenant="acme") == 0
        assert await read.value("carillon_tenant_tasks_due", tenant="idle") == 0
        assert await read.value("carillon_tenant_tasks_due", tenant="other") is None


async def test_a_snapshot_is_told_while_it_is_held_open(storage: Storage) -> None:
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_oldest_snapshot_seconds") == 0
        holder = await asyncpg.connect(storage.url)
        try:
            await holder.execute(
                "begin isolation level repeatable read; select from tasks; select pg_sleep(0.2)"
            )
            assert (await read.value("carillon_oldest_snapshot_seconds") or 0) >= 0.2
            await holder.execute("commit")
        finally:
            await holder.close()
        assert await read.value("carillon_oldest_snapshot_seconds") == 0


async def test_a_snapshot_of_another_database_is_not_told(storage: Storage, postgres_server: str) -> None:
    holder = await asyncpg.connect(postgres_server)
    try:
        await holder.execute("begin isolation level repeatable read; select 1; select pg_sleep(0.2)")
        async with reading(storage.url, Broker()) as read:
            assert await read.value("carillon_oldest_snapshot_seconds") == 0
    finally:
        await holder.close()


async def test_without_the_broker_its_figures_stay_and_those_of_storage_go_on(storage: Storage) -> None:
    broker = Broker()
    async with reading(storage.url, broker) as read:
        assert await read.value("carillon_dead_letters", of="notifier") == 2
        broker.dead_letters = None
        await storage.added(due_in(-1))
        assert await read.value("carillon_tasks_due") == 1
        assert await read.value("carillon_dead_letters", of="notifier") == 2
        assert await read.value("carillon_dead_letters", of="tasks") == 0


async def test_figures_that_cannot_be_read_again_are_told_no_more_after_a_while(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()
    async with reading(storage.url, broker) as read:
        await storage.added(due_in(-1))
        assert await read.value("carillon_tasks_due") == 1
        broker.dead_letters = None
        await storage.execute("alter table lanes rename to lanes_away")
        assert await read.value("carillon_tasks_due") == 1
        monkeypatch.setattr(gauges, "KEPT_SECONDS", 0.0)
        for name, labels in (
            ("carillon_tasks_due", {}),
            ("carillon_tasks", {"state": "SCHEDULED", "queue": "default"}),
            ("carillon_dead_letters", {"of": "notifier"}),
            ("carillon_dead_letters", {"of": "outbox"}),
        ):
            assert await read.value(name, **labels) is None
        monkeypatch.setattr(gauges, "KEPT_SECONDS", 60.0)
        await storage.execute("alter table lanes_away rename to lanes")
        assert await read.value("carillon_tasks_due") == 1
        assert await read.value("carillon_dead_letters", of="outbox") == 0


async def test_a_scrape_while_a_part_is_gone_is_counted(storage: Storage) -> None:
    broker = Broker()
    async with reading(storage.url, broker) as read:
        page = Starlette(routes=[Route("/metrics", MetricsPage(read.registry, read.refresh).answer)])
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(page), base_url="http://here") as client:
            assert "carillon_gauges_failures_total 0.0" in (await client.get("/metrics")).text
            broker.dead_letters = None
            assert "carillon_gauges_failures_total 1.0" in (await client.get("/metrics")).text
            await storage.execute("alter table lanes rename to lanes_away")
            assert "carillon_gauges_failures_total 2.0" in (await client.get("/metrics")).text


async def test_figures_that_take_long_to_read_are_read_the_less_often(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks_due") == 0
        await storage.added(due_in(-1))
        assert await read.value("carillon_tasks_due") == 1
        monkeypatch.setattr(gauges, "SHARE", 1_000_000)
        assert await read.value("carillon_tasks_due") == 1
        await storage.added(due_in(-1))
        assert await read.value("carillon_tasks_due") == 1


async def test_what_was_given_up_while_it_was_read_is_read_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 60.0)
    broker = Stuck()
    async with reading(storage.url, broker) as read:
        looking = asyncio.create_task(read.value("carillon_tasks_due"))
        await until(lambda: broker.asked == 1)
        looking.cancel()
        await asyncio.wait([looking])
        broker.let.set()
        for _ in range(2):
            assert await read.value("carillon_dead_letters", of="notifier") == 2
        assert broker.asked == 2, "what was read is fresh"


class Stuck(Broker):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.let = asyncio.Event()

    @override
    async def count(self) -> Mapping[str, int]:
        self.asked += 1
        await self.let.wait()
        return await super().count()
