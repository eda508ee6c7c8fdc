"""Figures that are read from storage and the broker: true when they are read, and kept when a part is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable
from infra.postgres import gauges
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.figures import PostgresFigures
from infra.postgres.gauges import StorageGauges
from infra.postgres.outbox import PostgresOutbox
from infra.postgres.set_aside import PostgresSetAside
from tests.support.storage import Storage, a_task, due_in

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
        self._gauges = gauges
        self._registry = registry

    async def value(self, name: str, **labels: str) -> float | None:
        await self._gauges.refresh()
        return self._registry.get_sample_value(name, labels)


@asynccontextmanager
async def reading(url: str, broker: Broker) -> AsyncIterator[Read]:
    registry = CollectorRegistry()
    async with open_database(url, size=2, limit=5, metrics=DatabaseMetrics(registry)) as database:
        outbox = PostgresOutbox(url, database, 5)
        figures, set_aside = PostgresFigures(database), PostgresSetAside(database)
        yield Read(StorageGauges(figures, outbox, broker.count, set_aside.count, registry), registry)


@pytest.fixture(autouse=True)
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 0.0)


async def test_what_is_due_and_what_waits_to_be_published_is_told(storage: Storage) -> None:
    await storage.added(due_in(-60), due_in(-5), due_in(3600))
    async with reading(storage.url, Broker()) as read:
        assert await read.value("carillon_tasks_due") == 2
        assert 60 <= (await read.value("carillon_oldest_due_seconds") or 0) < 120
        assert await read.value("carillon_tasks", state="SCHEDULED") == 3
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
