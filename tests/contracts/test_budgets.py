"""What every bucket promises, and what budgets over it do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from pydantic import RedisDsn
from typing_extensions import override

from domain.budgets.ports import Buckets, BudgetExceeded, RateLimited, Rates, Taken
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from infra.redis.buckets import open_redis_buckets
from infra.settings import Settings
from tests.support.breakers import a_breaker
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

SLOW = Rates(limit=1_000, refill_per_second=1)
FAST = Rates(limit=1_000, refill_per_second=1_000_000)

Opener = Callable[[Rates], AbstractAsyncContextManager[Buckets]]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def open_buckets(request: pytest.FixtureRequest, namespace: str) -> Opener:
    @asynccontextmanager
    async def memory(rates: Rates) -> AsyncIterator[Buckets]:
        yield MemoryBuckets(rates)

    if request.param == "memory":
        return memory
    url = RedisDsn(request.getfixturevalue("redis_url"))
    settings = Settings(redis_url=url, namespace=namespace, cache_timeout=5)

    @asynccontextmanager
    async def redis(rates: Rates) -> AsyncIterator[Buckets]:
        async with open_redis_buckets(settings, CollectorRegistry(), a_breaker()) as buckets:
            yield buckets("budget", rates)

    return redis


async def test_a_tenant_nothing_is_known_of_has_a_full_bucket(open_buckets: Opener) -> None:
    async with open_buckets(SLOW) as buckets:
        taken = await buckets.take("acme", 1, 2_000)
    assert (taken.points, taken.left) == (1_000, 0)


async def test_less_than_the_least_is_not_taken(open_buckets: Opener) -> None:
    async with open_buckets(SLOW) as buckets:
        await buckets.take("acme", 900, 900)
        refused = await buckets.take("acme", 500, 600)
        assert refused.points == 0
        assert 100 <= refused.left < 500
        assert (await buckets.take("acme", 50, 60)).points == 60


async def test_tenants_have_buckets_of_their_own(open_buckets: Opener) -> None:
    async with open_buckets(SLOW) as buckets:
        await buckets.take("acme", 1_000, 1_000)
        assert (await buckets.take("other", 1_000, 1_000)).points == 1_000


async def test_a_bucket_refills_up_to_its_limit(open_buckets: Opener) -> None:
    async with open_buckets(FAST) as buckets:
        await buckets.take("acme", 1_000, 1_000)

        async def refilled() -> bool:
            return (await buckets.take("acme", 1_000, 5_000)).points == 1_000

        await until(refilled)


async def test_what_is_taken_at_the_same_time_is_never_more_than_there_is(open_buckets: Opener) -> None:
    async with open_buckets(SLOW) as buckets:
        taken = await asyncio.gather(*(buckets.take("acme", 90, 90) for _ in range(30)))
    # A slow machine may see a few come back.
    assert 11 <= sum(each.points == 90 for each in taken) <= 12


class CountedBuckets(MemoryBuckets):
    takes = 0

    @override
    async def take(self, tenant: str, least: int, most: int) -> Taken:
        self.takes += 1
        await asyncio.sleep(0)
        return await super().take(tenant, least, most)


async def test_few_operations_ask_the_bucket() -> None:
    buckets = CountedBuckets(SLOW, lambda: 0.0)
    budgets = LeasedBudgets(buckets, SLOW, lambda: 0.0)
    for _ in range(99):
        await budgets.spend("acme", 1)
    balance = await budgets.spend("acme", 1)
    assert buckets.takes == 10, "a batch is a hundredth of the limit"
    assert balance.remaining == 900


async def test_those_who_ask_together_wait_for_one_batch_and_none_spends_what_another_did() -> None:
    buckets = CountedBuckets(SLOW, lambda: 0.0)
    budgets = LeasedBudgets(buckets, SLOW, lambda: 0.0)
    outcomes = await asyncio.gather(*(budgets.spend("acme", 7) for _ in range(200)), return_exceptions=True)
    assert sum(isinstance(each, BudgetExceeded) for each in outcomes) == 200 - 1_000 // 7


async def test_what_is_refused_is_not_spent() -> None:
    budgets = LeasedBudgets(MemoryBuckets(SLOW, lambda: 0.0), SLOW, lambda: 0.0)
    await budgets.spend("acme", 500)
    with pytest.raises(BudgetExceeded) as told:
        await budgets.spend("acme", 600)
    assert told.value.retry_after == 100
    assert (await budgets.spend("acme", 500)).remaining == 0


async def test_whoever_is_refused_does_not_ask_the_bucket_for_what_cannot_be_there() -> None:
    now = [0.0]
    buckets = CountedBuckets(SLOW, lambda: now[0])
    budgets = LeasedBudgets(buckets, SLOW, lambda: now[0], RateLimited)
    await budgets.spend("acme", 1_000)
    for _ in range(100):
        with pytest.raises(RateLimited):
            await budgets.spend("acme", 1)
    assert buckets.takes == 1
    now[0] = 1
    await budgets.spend("acme", 1)


@pytest.mark.redis
async def test_buckets_for_another_purpose_are_others(redis_url: str, namespace: str) -> None:
    settings = Settings(redis_url=RedisDsn(redis_url), namespace=namespace, cache_timeout=5)
    async with open_redis_buckets(settings, CollectorRegistry(), a_breaker()) as of:
        await of("budget", SLOW).take("acme", 1_000, 1_000)
        assert (await of("rate", SLOW).take("acme", 1_000, 1_000)).points == 1_000


@pytest.mark.redis
async def test_processes_together_stay_within_one_rate(redis_url: str, namespace: str) -> None:
    spenders = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", SPENDER, redis_url, namespace, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    spent = [int((await each.communicate())[0]) for each in spenders]
    assert all(spent), "each had its part"
    assert 1_000 - 3 * 10 <= sum(spent) <= 1_000 + 30, "but for a batch of each, and what came back meanwhile"


SPENDER = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from domain.budgets.ports import RateLimited, Rates
from infra.budgets.leased import LeasedBudgets
from infra.redis.buckets import open_redis_buckets
from infra.settings import Settings
from tests.support.breakers import a_breaker

async def main():
    url, namespace = sys.argv[1:]
    settings = Settings(redis_url=url, namespace=namespace, cache_timeout=5)
    rates = Rates(limit=1_000, refill_per_second=1)
    async with open_redis_buckets(settings, CollectorRegistry(), a_breaker()) as of:
        budgets, spent = LeasedBudgets(of("rate", rates), rates, exceeded=RateLimited), 0
        try:
            while spent < 400:
                await budgets.spend("acme", 1)
                spent += 1
        except RateLimited:
            pass
    print(spent)

asyncio.run(main())
"""


@pytest.mark.redis
async def test_without_redis_each_process_has_buckets_of_its_own(redis_url: str, namespace: str) -> None:
    registry = CollectorRegistry()
    async with open_proxy(redis_url) as proxy:
        settings = Settings(redis_url=RedisDsn(proxy.url), namespace=namespace, cache_timeout=1)
        async with open_redis_buckets(settings, registry, a_breaker()) as of:
            buckets = of("budget", SLOW)
            assert (await buckets.take("acme", 600, 600)).points == 600
            await proxy.refuse()
            assert (await buckets.take("acme", 600, 600)).points == 600, "of its own"
            assert (await buckets.take("acme", 600, 600)).points == 0, "which is bounded too"
            assert registry.get_sample_value("carillon_budget_bypasses_total") == 2
