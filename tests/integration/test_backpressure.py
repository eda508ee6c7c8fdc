"""A backlog in PostgreSQL has the API refuse to make tasks for that tenant, until it is done."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.main import create_app
from domain.resilience.backlogs import BacklogLimits, Overloaded
from infra.bootstrap import open_api_services
from infra.postgres.backlogs import PostgresBacklogs
from infra.settings import Settings
from infra.telemetry import spells
from tests.support.asking import CREATE
from tests.support.graphql_client import HttpClient, http_client
from tests.support.serving import serving
from tests.support.storage import Storage, a_task, due_in
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

LIMITS = BacklogLimits(tenant_tasks=20, tasks=100, seconds=5)
AGE = "update tasks set scheduled_at = now() - interval '20 s' where tenant = $1"
DRAIN = "update tasks set state = 'SUCCEEDED', finished_at = now() where tenant = $1"


class Looking:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.registry = CollectorRegistry()
        self._looking = PostgresBacklogs(storage.database, LIMITS, self.registry)

    async def add(self, count: int, **changes: Any) -> None:
        await self._storage.tasks.add([due_in(-1, **changes) for _ in range(count)])

    async def refuses(self, tenant: str) -> bool:
        await self._looking.look_once()
        try:
            self._looking.backlogs.check(tenant)
        except Overloaded:
            return True
        return False


async def test_much_that_is_late_is_refused_to_its_tenant_alone_until_it_is_done(storage: Storage) -> None:
    looking = Looking(storage)
    await looking.add(15, tenant="acme")
    await looking.add(10, tenant="acme", queue="mail")
    await looking.add(20, tenant="small")
    assert not await looking.refuses("acme"), "it is not late"
    await storage.execute(AGE, "acme")
    assert await looking.refuses("acme")
    assert looking.registry.get_sample_value("carillon_overloaded_tenants") == 1
    await storage.execute(AGE, "small")
    assert not await looking.refuses("small"), "it is late, but not much"
    await storage.execute(DRAIN, "acme")
    assert not await looking.refuses("acme")


async def test_much_of_one_tenant_is_refused_to_no_other_and_hides_nothing_of_theirs(storage: Storage) -> None:
    looking = Looking(storage)
    for number in range(6):
        await looking.add(30, tenant="a-greedy-one", queue=f"queue-{number}")
    await looking.add(25, tenant="much")
    await looking.add(15, tenant="modest")
    for tenant in ("a-greedy-one", "much", "modest"):
        await storage.execute(AGE, tenant)
    assert await looking.refuses("a-greedy-one")
    assert await looking.refuses("much")
    assert not await looking.refuses("modest")
    assert not await looking.refuses("nobody")


async def test_too_much_of_all_tenants_is_refused_to_everybody(storage: Storage) -> None:
    looking = Looking(storage)
    for number in range(6):
        await looking.add(18, tenant=f"tenant-{number}")
    assert not await looking.refuses("tenant-1")
    await storage.execute(AGE, "tenant-3")
    assert await looking.refuses("tenant-1")
    assert await looking.refuses("nobody")
    assert looking.registry.get_sample_value("carillon_overloaded") == 1


async def test_what_waits_in_a_paused_queue_for_its_key_or_for_later_does_not_count(storage: Storage) -> None:
    looking = Looking(storage)
    await looking.add(30, tenant="acme", queue="paused")
    await storage.execute("insert into queues (tenant, name, paused) values ('acme', 'paused', true)")
    await storage.execute(AGE, "acme")
    await storage.tasks.add([a_task(tenant="acme") for _ in range(5)])
    await storage.tasks.add([due_in(3_600, tenant="acme") for _ in range(30)])
    assert not await looking.refuses("acme")
    await storage.execute("update queues set paused = false")
    assert await looking.refuses("acme")


async def test_what_cannot_be_seen_is_refused_to_nobody(storage: Storage) -> None:
    looking = Looking(storage)
    await looking.add(30, tenant="acme")
    await storage.execute(AGE, "acme")
    assert await looking.refuses("acme")
    await storage.execute("alter table lanes rename to lanes_away")
    assert not await looking.refuses("acme")


# Over HTTP


@asynccontextmanager
async def api(url: str, tenant: str) -> AsyncIterator[HttpClient]:
    settings = Settings.model_validate(
        {"database_url": url, "tenant": tenant, "overload_tenant_tasks": 20, "overload_tasks": 100}
    )
    async with (
        open_api_services(settings) as services,
        serving(create_app(services)) as address,
        http_client(address) as client,
    ):
        yield client


async def is_refused(client: HttpClient) -> bool:
    answer = await client.post(CREATE, input={"title": "Now", "scheduledAt": "2099-01-01T00:00:00Z"})
    return answer.status_code != 200


async def test_a_creation_is_a_503_that_says_when_to_try_again_while_others_and_reading_go_on(
    storage: Storage,
) -> None:
    await storage.tasks.add([due_in(-1, tenant="acme") for _ in range(30)])
    await storage.execute(AGE, "acme")
    async with api(storage.url, "acme") as client, api(storage.url, "other") as other:
        await until(lambda: is_refused(client), 10)
        answer = await client.post(CREATE, input={"title": "Now"})
        assert (answer.status_code, answer.json()["data"]) == (503, None)
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "OVERLOADED"
        wait = error["extensions"]["retryAfter"]
        assert 20 <= wait < 60
        assert wait <= int(answer.headers["retry-after"]) <= wait + 1
        assert len((await client.execute("{ tasks(first: 50) { nodes { id } } }"))["tasks"]["nodes"]) >= 30
        beside = await client.post('mutation { a: createTask(input: {title: "Now"}) { created } }')
        assert beside.status_code == 503
        assert not await is_refused(other)
        await storage.execute(DRAIN, "acme")

        async def is_made() -> bool:
            return not await is_refused(client)

        await until(is_made, 10)


async def test_the_log_tells_once_that_it_begins_and_once_that_it_has_ended_with_how_many(
    storage: Storage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spells, "QUIET", 0.2)
    caplog.set_level("INFO", "infra.postgres.backlogs")
    await storage.tasks.add([due_in(-1, tenant="acme") for _ in range(30)])
    await storage.execute(AGE, "acme")

    def told() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "infra.postgres.backlogs"]

    async with api(storage.url, "acme") as client:
        await until(told, 10)
        for _ in range(3):
            assert await is_refused(client)
        await storage.execute(DRAIN, "acme")
        await until(lambda: len(told()) > 1, 10)
    assert [record.levelname for record in told()] == ["WARNING", "INFO"]
    assert vars(told()[1])["count"] == 3
