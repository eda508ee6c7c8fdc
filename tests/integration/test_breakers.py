"""What is gone is left alone after some failures: callers hear so at once, and it is used when it is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from domain.budgets.ports import Rates
from domain.errors import Unavailable
from domain.resilience.breaker import State, Verdict
from infra import breakers
from infra.breakers import Breaker
from infra.postgres.database import Database, DatabaseMetrics, open_database
from infra.postgres.figures import PostgresFigures
from infra.postgres.reading import Reading
from infra.rabbit.bus import RabbitBus, open_rabbit_bus
from infra.redis.buckets import open_redis_buckets
from infra.redis.cache import open_redis_cache
from infra.settings import Settings
from tests.support.breakers import a_breaker
from tests.support.tcp_proxy import TcpProxy, open_proxy
from tests.support.waiting import until

FAILURES = 3
LONG = 600.0
"""Seconds: no test waits for the pause itself."""
AT_ONCE = 0.3
CHANGES = "carillon_breaker_changes_total"
LIMIT = 0.8
LOSSES = pytest.mark.parametrize("loss", ["hang", "refuse"])


def settings(reset: float = LONG, **changes: object) -> Settings:
    return Settings.model_validate({"breaker_failures": FAILURES, "breaker_reset": reset, **changes})


async def lose(proxy: TcpProxy, loss: str) -> None:
    if loss == "hang":
        proxy.hang()
    else:
        await proxy.refuse()


# PostgreSQL


@asynccontextmanager
async def reading(
    url: str, registry: CollectorRegistry, limit: float = LIMIT, reset: float = LONG
) -> AsyncIterator[tuple[Database, Breaker]]:
    """As the services have it, but for the limit."""
    breaker = a_breaker(settings(reset), registry, "PostgreSQL")
    async with (
        open_database(
            url, size=8, limit=limit, metrics=DatabaseMetrics(registry), reading=Reading(breaker)
        ) as database,
        breaker.looked_for(PostgresFigures(database).ping),
    ):
        yield database, breaker


async def read(database: Database, statement: str = "select 1", tenant: str | None = "acme") -> None:
    async with database.read("test", tenant) as connection:
        await connection.execute(statement)


async def fails(database: Database, statement: str = "select 1", tenant: str | None = "acme") -> float:
    """How long it took to be told."""
    began = time.perf_counter()
    with pytest.raises(Unavailable, match="PostgreSQL"):
        await read(database, statement, tenant)
    return time.perf_counter() - began


@asynccontextmanager
async def returning(url: str) -> AsyncIterator[tuple[TcpProxy, Database, Breaker]]:
    """A PostgreSQL that was gone until its breaker opened, and takes connections again."""
    async with open_proxy(url) as proxy, reading(proxy.url, CollectorRegistry()) as (database, breaker):
        await proxy.refuse()
        for _ in range(FAILURES):
            await fails(database)
        await proxy.accept()
        yield proxy, database, breaker


@pytest.mark.postgres
@LOSSES
async def test_who_reads_is_told_at_once_that_postgresql_is_gone_and_reads_soon_after_its_return(
    database_url: str, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "infra.breakers")
    registry = CollectorRegistry()
    async with open_proxy(database_url) as proxy, reading(proxy.url, registry) as (database, breaker):
        await read(database)
        await lose(proxy, loss)
        for _ in range(FAILURES):
            assert breaker.state is State.CLOSED
            waited = await fails(database)
            assert (waited > LIMIT / 2) == (loss == "hang")
        assert breaker.state is State.OPEN
        assert registry.get_sample_value("carillon_breaker_open", {"name": "postgresql"}) == 1
        assert max([await fails(database) for _ in range(20)]) < AT_ONCE
        await proxy.accept()
        await until(lambda: breaker.state is State.CLOSED, 10)
        await read(database)
    changes = {
        state: registry.get_sample_value(CHANGES, {"name": "postgresql", "to": state.value}) for state in State
    }
    assert changes == {State.OPEN: 1, State.HALF_OPEN: 1, State.CLOSED: 1}
    told = [record.getMessage() for record in caplog.records if record.name == "infra.breakers"]
    assert told == [f"the breaker of postgresql is {state}" for state in ("open", "half_open", "closed")]


@pytest.mark.postgres
async def test_a_postgresql_that_is_lost_once_more_as_it_comes_back_is_read_from_soon_after(
    database_url: str,
) -> None:
    async with returning(database_url) as (proxy, database, breaker):
        await until(lambda: breaker.state is State.HALF_OPEN)
        await proxy.refuse()
        await fails(database)
        assert breaker.state is State.OPEN
        await proxy.accept()
        await until(lambda: breaker.state is State.CLOSED, 10)
        await read(database)


@pytest.mark.postgres
async def test_one_reader_tries_after_the_pause_while_the_others_are_still_refused(database_url: str) -> None:
    async with (
        open_proxy(database_url) as proxy,
        reading(proxy.url, CollectorRegistry(), reset=0.05) as (database, breaker),
    ):
        await lose(proxy, "hang")
        await asyncio.gather(*(fails(database) for _ in range(FAILURES)))
        assert breaker.state is State.OPEN
        await asyncio.sleep(0.06)
        waited = sorted(await asyncio.gather(*(fails(database) for _ in range(10))))
        assert waited[-2] < AT_ONCE < LIMIT / 2 < waited[-1]


@pytest.mark.postgres
async def test_questions_that_take_too_long_do_not_stop_the_others_from_being_asked(database_url: str) -> None:
    async with reading(database_url, CollectorRegistry(), limit=1) as (database, breaker):
        for _ in range(2 * FAILURES):
            await fails(database, "select pg_sleep(5)")
        assert breaker.state is State.CLOSED
        await read(database, tenant="other")


@pytest.mark.postgres
@pytest.mark.parametrize("before", [0, 0.3], ids=["which PostgreSQL ends", "which nobody waits for any more"])
async def test_a_tenant_s_slow_statement_is_no_outage_while_others_are_answered(
    database_url: str, before: float, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL gives each statement nine tenths of the time that the whole work has."""
    caplog.set_level(logging.INFO, "infra.postgres.database")
    registry = CollectorRegistry()

    async def ask_slowly() -> None:
        with pytest.raises(Unavailable):
            async with database.read("slow", "acme") as connection:
                await connection.execute(f"select pg_sleep({before})")
                await connection.execute("select pg_advisory_xact_lock(7)")

    async def go_on_reading() -> None:
        while True:
            await read(database, tenant="other")
            await asyncio.sleep(0.01)

    holder = await asyncpg.connect(database_url)
    await holder.execute("select pg_advisory_lock(7)")
    try:
        async with reading(database_url, registry, limit=1) as (database, breaker):
            others = asyncio.create_task(go_on_reading())
            for _ in range(2):
                await asyncio.gather(*(ask_slowly() for _ in range(FAILURES)))
            assert not others.done()
            others.cancel()
            assert breaker.state is State.CLOSED
    finally:
        await holder.close()
    told = [record for record in caplog.records if record.name == "infra.postgres.database"]
    assert [record.getMessage() for record in told] == [
        "PostgreSQL answers, but some work on it comes to nothing"
    ]
    assert (vars(told[0])["work"], vars(told[0])["tenant"]) == ("slow", "acme")
    assert registry.get_sample_value("carillon_sql_failures_total", {"work": "slow"}) == 2 * FAILURES


@pytest.mark.postgres
async def test_those_who_had_to_wait_for_a_connection_do_not_stop_the_others(database_url: str) -> None:
    """More of them than there are connections, none of which is free in time."""
    async with reading(database_url, CollectorRegistry(), limit=1) as (database, breaker):
        dear = [fails(database, "select pg_sleep(5)", f"tenant-{number}") for number in range(10 * FAILURES)]
        await asyncio.gather(*dear, return_exceptions=True)
        assert breaker.state is State.CLOSED
        await read(database, tenant="other")


@pytest.mark.postgres
async def test_a_change_that_postgresql_ends_shows_that_it_is_there(database_url: str) -> None:
    registry = CollectorRegistry()
    known = Reading(a_breaker(settings(), registry, "PostgreSQL"))
    metrics = DatabaseMetrics(registry)
    async with open_database(database_url, size=1, limit=LIMIT, metrics=metrics, reading=known) as database:
        with pytest.raises(Unavailable):
            async with database.work("test") as connection:
                began = time.perf_counter()
                await connection.execute("select pg_sleep(5)")
    assert known.answered_since(began)


@pytest.mark.postgres
async def test_the_engine_s_work_and_changes_go_on_trying(database_url: str) -> None:
    async with returning(database_url) as (_, database, breaker):
        assert breaker.state is not State.CLOSED
        async with database.transaction("test", "acme") as connection:
            await connection.execute("select 1")


# Redis


@pytest.mark.redis
@LOSSES
async def test_budgets_wait_for_a_redis_that_is_gone_a_few_times_and_then_no_more(
    redis_url: str, namespace: str, loss: str
) -> None:
    given = settings(reset=0.2, namespace=namespace, cache_timeout=0.3)
    rates = Rates(limit=1_000_000, refill_per_second=1)
    async with open_proxy(redis_url) as proxy:
        given = given.model_copy(update={"redis_url": proxy.url})
        breaker = a_breaker(given, name="Redis")
        async with open_redis_buckets(given, CollectorRegistry(), breaker) as of:
            buckets = of("budget", rates)
            await buckets.take("acme", 1, 1)
            await lose(proxy, loss)
            for _ in range(FAILURES):
                assert (await buckets.take("acme", 1, 1)).points == 1
            assert breaker.state is State.OPEN
            began = time.perf_counter()
            for _ in range(100):
                await buckets.take("acme", 1, 1)
            assert time.perf_counter() - began < 0.2 + AT_ONCE
            await proxy.accept()

            async def is_asked_again() -> bool:
                await buckets.take("acme", 1, 1)
                return breaker.state is State.CLOSED

            await until(is_asked_again, 10)


@pytest.mark.redis
async def test_the_cache_finds_a_redis_that_is_back_and_closes_its_breaker(
    redis_url: str, namespace: str
) -> None:
    registry = CollectorRegistry()

    def misses() -> float:
        return registry.get_sample_value("carillon_cache_operations_total", {"outcome": "miss"}) or 0

    async with open_proxy(redis_url) as proxy:
        given = settings(redis_url=proxy.url, cache_timeout=0.3)
        breaker = a_breaker(given, registry, "Redis")
        async with open_redis_cache(given, registry, breaker) as cache:
            await proxy.refuse()
            await cache.get([f"{namespace}:a"])
            await until(lambda: breaker.state is State.OPEN, 10)
            assert registry.get_sample_value("carillon_breaker_open", {"name": "redis"}) == 1
            await proxy.accept()
            await until(lambda: breaker.state is State.CLOSED, 10)

            async def is_used() -> bool:
                before = misses()
                await cache.get([f"{namespace}:a"])
                return misses() == before + 1

            await until(is_used, 10)  # once it is told what was owed to it


@pytest.mark.redis
async def test_a_process_that_takes_from_no_budget_any_more_shows_no_trouble_once_redis_answers_again(
    redis_url: str, namespace: str
) -> None:
    given = settings(0.5, redis_url=redis_url, namespace=namespace)
    breaker = a_breaker(given, name="Redis")
    async with open_redis_cache(given, CollectorRegistry(), breaker):
        for _ in range(FAILURES):
            fail(breaker)
        assert breaker.state is State.OPEN
        await until(lambda: breaker.state is State.CLOSED, 10)


# RabbitMQ


@asynccontextmanager
async def publishing(url: str, namespace: str, reset: float = LONG) -> AsyncIterator[tuple[RabbitBus, Breaker]]:
    given = settings(reset, amqp_url=url, namespace=namespace)
    breaker = a_breaker(given, name="RabbitMQ")
    async with open_rabbit_bus(given, CollectorRegistry(), breaker) as bus:
        yield bus, breaker


@pytest.mark.rabbit
@LOSSES
async def test_what_is_published_is_refused_at_once_while_rabbitmq_is_gone_and_goes_out_when_it_is_back(
    amqp_url: str, namespace: str, loss: str
) -> None:
    async with open_proxy(amqp_url) as proxy, publishing(proxy.url, namespace) as (bus, breaker):
        await bus.hand_over.send([[uuid4()]])
        await lose(proxy, loss)
        for _ in range(FAILURES):
            with pytest.raises(Unavailable, match="RabbitMQ"):
                await bus.hand_over.send([[uuid4()]])
        assert breaker.state is State.OPEN
        began = time.perf_counter()
        for _ in range(20):
            with pytest.raises(Unavailable, match="RabbitMQ"):
                await bus.hand_over.send([[uuid4()]])
        assert time.perf_counter() - began < AT_ONCE
        await proxy.accept()
        await until(lambda: breaker.state is State.HALF_OPEN, 15)
        await bus.hand_over.send([[uuid4()]])
        await until(lambda: breaker.state is State.CLOSED)


@pytest.mark.rabbit
async def test_a_process_that_publishes_no_more_shows_no_trouble_once_rabbitmq_answers_again(
    amqp_url: str, namespace: str
) -> None:
    async with open_proxy(amqp_url) as proxy, publishing(proxy.url, namespace, reset=0.5) as (bus, breaker):
        await lose(proxy, "refuse")
        for _ in range(FAILURES):
            with pytest.raises(Unavailable, match="RabbitMQ"):
                await bus.hand_over.send([[uuid4()]])
        assert breaker.state is State.OPEN
        await proxy.accept()
        await until(lambda: breaker.state is State.CLOSED, 15)


# What nobody calls


@asynccontextmanager
async def looked_for(
    reset: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Breaker, list[float]]]:
    """It answers each look, but no call."""
    monkeypatch.setattr(breakers, "LOOK_AGAIN", 0.01)
    breaker, looks = a_breaker(settings(reset)), []

    async def check() -> None:
        looks.append(time.perf_counter())

    async with breaker.looked_for(check, unasked=reset):
        for _ in range(FAILURES):
            fail(breaker)
        yield breaker, looks


def fail(breaker: Breaker) -> None:
    with suppress(Unavailable), breaker.guarding(lambda _: Verdict.FAILS):
        raise Unavailable("Something")


async def test_what_is_asked_for_is_tried_by_those_who_ask_and_not_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with looked_for(0.3, monkeypatch) as (breaker, looks):
        until_then = time.perf_counter() + 1
        while time.perf_counter() < until_then:
            fail(breaker)
            await asyncio.sleep(0.01)
        assert looks == []
        assert breaker.state is State.OPEN
        await until(lambda: breaker.state is State.CLOSED)
        assert len(looks) == 2


async def test_each_sign_of_life_that_misled_has_the_next_be_heard_later_up_to_the_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breakers, "LOOK_AGAIN", 0.02)
    breaker = a_breaker(settings(0.15))

    async def heard(state: State) -> float:
        """After how many seconds a sign has it come to this."""
        began = time.perf_counter()
        while breaker.state is not state:
            breaker.hear()
            await asyncio.sleep(0.001)
        return time.perf_counter() - began

    after = 0.0
    for least in (0, 0.04, 0.08, 0.15, 0.15, 0.15, 0.15):
        while breaker.state is not State.OPEN:
            fail(breaker)
        after = await heard(State.HALF_OPEN)
        assert least <= after + 0.001  # the clock of the loop is another
    assert after < 1, "without an end it were twice as long each time"
    await heard(State.CLOSED)
    for _ in range(FAILURES):
        fail(breaker)
    assert breaker.state is State.OPEN
    breaker.hear()
    assert breaker.admits(), "another outage begins anew"
