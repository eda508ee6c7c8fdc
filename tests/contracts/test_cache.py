"""What every cache promises, and what the one in Redis promises while Redis is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import RedisDsn

from domain.errors import Unavailable
from infra.cache.ports import Cache, Entry
from infra.cache.traced import TracedCache
from infra.memory.cache import open_memory_cache
from infra.redis.cache import RedisCache, open_redis_cache
from infra.settings import Settings
from tests.support.breakers import a_breaker
from tests.support.tcp_proxy import TcpProxy, open_proxy
from tests.support.waiting import until

PATIENT = 5.0
"""Where Redis is there, a slow machine shall not look like an outage."""

Opener = Callable[..., AbstractAsyncContextManager[Cache]]


@pytest.fixture(params=["memory", "traced", pytest.param("redis", marks=pytest.mark.redis)])
def open_cache(request: pytest.FixtureRequest) -> Opener:
    if request.param == "memory":
        return lambda **changes: open_memory_cache(Settings(**changes), CollectorRegistry())
    if request.param == "traced":
        return _open_traced
    url = RedisDsn(request.getfixturevalue("redis_url"))
    return lambda **changes: open_redis_cache(
        Settings(redis_url=url, cache_timeout=PATIENT, **changes), CollectorRegistry(), a_breaker()
    )


@asynccontextmanager
async def _open_traced(**changes: Any) -> AsyncIterator[Cache]:
    async with open_memory_cache(Settings(**changes), CollectorRegistry()) as cache:
        yield TracedCache(cache, "memory")


@pytest.fixture
async def cache(open_cache: Opener) -> AsyncIterator[Cache]:
    async with open_cache() as opened:
        yield opened


async def test_what_was_put_is_answered_in_the_order_asked(cache: Cache, namespace: str) -> None:
    await cache.put([Entry(f"{namespace}:a", 1, b"a"), Entry(f"{namespace}:b", 1, b"with\nlines\n")])
    answers = await cache.get([f"{namespace}:b", f"{namespace}:none", f"{namespace}:a"])
    assert answers == [b"with\nlines\n", None, b"a"]


async def test_asking_for_nothing_is_answered_with_nothing(cache: Cache) -> None:
    assert await cache.get([]) == []
    assert await cache.lead([]) == []
    await cache.put([])


async def test_empty_bytes_are_bytes(cache: Cache, namespace: str) -> None:
    await cache.put([Entry(f"{namespace}:a", 1, b"")])
    assert await cache.get([f"{namespace}:a"]) == [b""]


async def test_an_older_version_does_not_replace_a_newer_one(cache: Cache, namespace: str) -> None:
    await cache.put([Entry(f"{namespace}:a", 10, b"new")])
    await cache.put([Entry(f"{namespace}:a", 9, b"old")])
    assert await cache.get([f"{namespace}:a"]) == [b"new"]


async def test_the_newest_of_one_put_stays(cache: Cache, namespace: str) -> None:
    key = f"{namespace}:a"
    await cache.put([Entry(key, 2, b"two"), Entry(key, 3, b"three"), Entry(key, 1, b"one")])
    assert await cache.get([key]) == [b"three"]


async def test_a_version_without_bytes_hides_older_ones_until_it_is_filled(
    cache: Cache, namespace: str
) -> None:
    key = f"{namespace}:a"
    await cache.put([Entry(key, 1, b"one")])
    await cache.put([Entry(key, 2, None)])
    await cache.put([Entry(key, 1, b"one, read before the change")])
    assert await cache.get([key]) == [None]
    await cache.put([Entry(key, 2, b"two")])
    assert await cache.get([key]) == [b"two"]
    await cache.put([Entry(key, 2, None)])
    assert await cache.get([key]) == [b"two"]


async def test_versions_are_compared_as_numbers_up_to_2_to_the_53(cache: Cache, namespace: str) -> None:
    key, top = f"{namespace}:a", 2**53 - 1
    await cache.put([Entry(key, top, None)])
    await cache.put([Entry(key, top - 1, b"just below")])
    assert await cache.get([key]) == [None]


async def test_entries_are_forgotten_after_their_time(open_cache: Opener, namespace: str) -> None:
    key = f"{namespace}:a"
    async with open_cache(cache_ttl=0.05) as cache:
        await cache.put([Entry(key, 1, b"one")])
        await until(lambda: _is_empty(cache, key))


async def test_one_caller_leads_until_the_key_is_put(cache: Cache, namespace: str) -> None:
    a, b = f"{namespace}:a", f"{namespace}:b"
    assert await cache.lead([a]) == [True]
    assert await cache.lead([a, b]) == [False, True]
    await cache.put([Entry(a, 1, None)])
    assert await cache.lead([a, b]) == [True, False]


async def test_bytes_of_the_same_version_are_replaced(cache: Cache, namespace: str) -> None:
    key = f"{namespace}:a"
    await cache.put([Entry(key, 1, b"as an older release wrote it")])
    await cache.put([Entry(key, 1, b"as this one does")])
    assert await cache.get([key]) == [b"as this one does"]


async def test_a_lead_lapses_after_a_second(cache: Cache, namespace: str) -> None:
    key = f"{namespace}:a"
    assert await cache.lead([key]) == [True]
    taken = time.monotonic()

    async def led_again() -> bool:
        return await cache.lead([key]) == [True]

    await until(led_again)
    assert 0.8 < time.monotonic() - taken < 10


VERSIONS = st.integers(1, 4)
STEPS = st.lists(st.tuples(st.sampled_from("ab"), VERSIONS, st.booleans()), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_a_cache_never_answers_with_less_than_it_was_told(
    cache: Cache, namespace: str, steps: list[tuple[str, int, bool]]
) -> None:
    example = time.perf_counter_ns()  # keys of this example's own
    told: dict[str, tuple[int, bool]] = {}
    for name, version, filled in steps:
        key = f"{namespace}:{example}:{name}"
        await cache.put([Entry(key, version, b"%d" % version if filled else None)])
        told[key] = max(told.get(key, (0, False)), (version, filled))
        newest, has_bytes = told[key]
        assert await cache.get([key]) == [b"%d" % newest if has_bytes else None]


# Redis may be gone


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[TcpProxy]:
    async with open_proxy(redis_url) as opened:
        yield opened


@asynccontextmanager
async def through(
    proxy: TcpProxy, limit: float = PATIENT, **changes: float
) -> AsyncIterator[tuple[RedisCache, CollectorRegistry]]:
    registry = CollectorRegistry()
    settings = Settings.model_validate({"redis_url": proxy.url, "cache_timeout": limit, **changes})
    async with open_redis_cache(settings, registry, a_breaker(settings, registry, "Redis")) as cache:
        yield cache, registry


def count(registry: CollectorRegistry, outcome: str) -> float:
    return registry.get_sample_value("carillon_cache_operations_total", {"outcome": outcome}) or 0


@pytest.mark.redis
@pytest.mark.parametrize("loss", ["hang", "refuse"])
async def test_no_call_waits_for_a_lost_redis_and_it_is_used_again_when_it_is_back(
    proxy: TcpProxy, namespace: str, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = f"{namespace}:a"
    async with through(proxy, limit=0.3) as (cache, registry):
        await cache.put([Entry(key, 1, b"one")])
        if loss == "hang":
            proxy.hang()
        else:
            await proxy.refuse()

        began = time.monotonic()
        assert await cache.get([key]) == [None]
        await cache.put([Entry(key, 2, b"two")])
        assert await cache.lead([key, key]) == [True, True]
        for _ in range(100):
            assert await cache.get([key]) == [None]
        assert time.monotonic() - began < 3  # one time limit, not a hundred
        assert count(registry, "bypass") == 104
        assert count(registry, "miss") == 0

        await proxy.accept()
        await until(lambda: _is_answered(cache, f"{namespace}:other"), 5)
    assert len([record for record in caplog.records if record.name.startswith("infra.redis")]) == 1


@pytest.mark.redis
async def test_what_changed_while_redis_was_gone_is_not_served_from_it_afterwards(
    proxy: TcpProxy, redis_url: str, namespace: str
) -> None:
    changed, same = f"{namespace}:changed", f"{namespace}:same"
    settings = Settings(redis_url=RedisDsn(redis_url), cache_timeout=PATIENT)
    other_process = open_redis_cache(settings, CollectorRegistry(), a_breaker())
    async with through(proxy) as (cache, _), other_process as other:
        await cache.put([Entry(changed, 1, b"one"), Entry(same, 1, b"one")])
        await proxy.refuse()
        await cache.put([Entry(changed, 2, b"two")])
        assert await other.get([changed]) == [b"one"]
        await proxy.accept()
        await until(lambda: _is_answered(cache, f"{namespace}:other"), 5)
        assert await other.get([changed, same]) == [None, b"one"]


@pytest.mark.redis
async def test_dead_connections_left_by_a_restart_are_replaced_without_an_outage(
    proxy: TcpProxy, namespace: str
) -> None:
    key = f"{namespace}:a"
    async with through(proxy) as (cache, registry):
        await asyncio.gather(*(cache.put([Entry(key, 1, b"one")]) for _ in range(8)))
        proxy.cut()
        await until(lambda: proxy.open_connections == 0)
        assert await cache.get([key]) == [b"one"]
        assert count(registry, "bypass") == 0


@pytest.mark.redis
async def test_a_cache_opens_without_redis_and_says_so_when_asked(proxy: TcpProxy) -> None:
    await proxy.refuse()
    async with through(proxy, limit=0.3) as (cache, _):
        with pytest.raises(Unavailable, match="Redis"):
            await cache.check()
        await proxy.accept()
        await cache.check()


async def _is_empty(cache: Cache, key: str) -> bool:
    return await cache.get([key]) == [None]


async def _is_answered(cache: Cache, key: str) -> bool:
    """Whether the cache keeps what it is told."""
    await cache.put([Entry(key, 1, b"kept")])
    return await cache.get([key]) == [b"kept"]
