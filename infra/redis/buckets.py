"""Buckets in Redis, shared by every process; while Redis is gone each process has buckets of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.budgets.ports import Rates, Taken
from domain.resilience.breaker import Verdict
from infra.breakers import Breaker
from infra.budgets.memory import MemoryBuckets
from infra.redis.connecting import redis_pool
from infra.settings import Settings

log = logging.getLogger(__name__)

TAKE = """
local limit, refill, least, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'points', 'at')
local points, at = tonumber(kept[1] or limit), tonumber(kept[2] or now)
points = math.min(points + math.max(now - at, 0) * refill, limit)
local taken = math.min(math.floor(points), most)
if taken < least then taken = 0 end
points = points - taken
redis.call('HSET', KEYS[1], 'points', string.format('%.6f', points), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((limit - points) / refill * 1000) + 1000)
return {taken, string.format('%.6f', points)}
"""
"""KEYS: the bucket. ARGV: its limit, its refill each second, the least and the most to take.

A bucket that is full again is forgotten.
"""


class RedisBuckets:
    """See `domain.budgets.ports.Buckets`. No call takes longer than `limit` seconds.

    `keys` is what theirs begin with.
    """

    def __init__(
        self,
        redis: Redis,
        rates: Rates,
        breaker: Breaker,
        *,
        keys: str,
        limit: float,
        bypasses: Counter,
    ) -> None:
        self._take = redis.register_script(TAKE)
        self._rates = rates
        self._keys = keys
        self._limit = limit
        self._local = MemoryBuckets(rates)
        self._breaker = breaker
        self._bypasses = bypasses

    async def take(self, tenant: str, least: int, most: int) -> Taken:
        if self._breaker.admits():
            verdict = Verdict.UNKNOWN
            try:
                async with asyncio.timeout(self._limit):
                    taken = await self._ask(tenant, least, most)
                verdict = Verdict.WORKS
                return taken
            except (RedisError, OSError) as error:
                verdict = Verdict.FAILS
                log.debug("a budget steps around Redis: %r", error)
            finally:
                self._breaker.tell(verdict)
        self._bypasses.inc()
        return await self._local.take(tenant, least, most)

    async def _ask(self, tenant: str, least: int, most: int) -> Taken:
        rates = self._rates
        taken, left = await self._take(
            keys=[f"{self._keys}:{tenant}"],
            args=[rates.limit, rates.refill_per_second, least, most],
        )
        return Taken(int(taken), float(left))


@asynccontextmanager
async def open_redis_buckets(
    settings: Settings, registry: CollectorRegistry, breaker: Breaker
) -> AsyncIterator[Callable[[str, Rates], RedisBuckets]]:
    """Buckets by what they are for. Opens also when Redis cannot be reached."""
    bypasses = Counter(
        "carillon_budget_bypasses",
        "Times points were taken from a bucket of this process because Redis could not be asked",
        registry=registry,
    )
    async with Redis.from_pool(redis_pool(settings)) as redis:
        yield lambda purpose, rates: RedisBuckets(
            redis,
            rates,
            breaker,
            keys=f"{settings.namespace}:{purpose}",
            limit=settings.cache_timeout,
            bypasses=bypasses,
        )
