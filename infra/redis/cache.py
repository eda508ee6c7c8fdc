"""The cache in Redis: bounded in time, and stepped around while Redis is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.errors import Unavailable
from domain.resilience.breaker import State, Verdict
from infra.background import background
from infra.breakers import Breaker
from infra.cache.metrics import CacheMetrics
from infra.cache.ports import Entry
from infra.redis.connecting import redis_pool
from infra.redis.gathering import Gathered
from infra.redis.outage import Outage
from infra.redis.scripts import LEAD, PUT, SEPARATOR
from infra.settings import Settings

T = TypeVar("T")

ASIDE = 1.0
"""How long Redis is left alone after a failure, in seconds."""
LEAD_MILLISECONDS = 1_000
OWED_BATCH = 500
OWED_TIMEOUT = 1.0


class RedisCache:
    """See `infra.cache.ports.Cache`."""

    def __init__(
        self, redis: Redis, breaker: Breaker, *, ttl: float, limit: float, metrics: CacheMetrics
    ) -> None:
        self._put = redis.register_script(PUT)
        self._lead = redis.register_script(LEAD)
        self._redis = redis
        self._breaker = breaker
        self._ttl = int(ttl * 1_000)
        self._limit = limit
        self._metrics = metrics
        self._outage = Outage(metrics.dropped)
        self._gathered = Gathered(self._get)

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._gathered.get(keys) if keys else []

    async def put(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        if await self._ask(len(entries), lambda: self._tell(entries)) is None:
            self._outage.owe(entries)
            return
        refills = sum(entry.value is not None for entry in entries)
        self._metrics.refills.inc(refills)
        self._metrics.invalidations.inc(len(entries) - refills)

    async def lead(self, keys: Sequence[str]) -> list[bool]:
        if not keys:
            return []
        led = await self._ask(len(keys), lambda: self._lead(keys=keys, args=[LEAD_MILLISECONDS]))
        return [True] * len(keys) if led is None else [answer == 1 for answer in led]

    async def check(self) -> None:
        """Raises Unavailable when Redis does not answer."""
        try:
            async with asyncio.timeout(self._limit):
                await self._redis.ping()
        except (RedisError, OSError) as error:
            raise Unavailable("Redis") from error

    async def return_once(self) -> int:
        """Tell Redis what it is owed, and use it again once its breaker is closed by it. How much was told."""
        told = 0
        try:
            async with asyncio.timeout(OWED_TIMEOUT):
                await self._redis.ping()
            self._breaker.tell(Verdict.WORKS)
            while owed := self._outage.owed(OWED_BATCH):
                await self._tell_owed(owed)
                told += len(owed)
        except (RedisError, OSError):  # the outage goes on; it was logged when it began
            self._breaker.tell(Verdict.FAILS)
            return told
        if self._breaker.state is State.CLOSED:
            self._outage.end()
        return told

    async def return_forever(self) -> None:
        while True:
            await self._outage.began()
            await asyncio.sleep(ASIDE)
            await self.return_once()

    async def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        kept = await self._ask(len(keys), lambda: self._redis.mget(keys))
        if kept is None:
            return [None] * len(keys)
        values = [_value(raw) for raw in kept]
        self._metrics.asked(values)
        return values

    async def _tell(self, entries: Sequence[Entry]) -> int:
        kept = [_kept(entry) for entry in entries]
        told: int = await self._put(keys=[entry.key for entry in entries], args=[self._ttl, *kept])
        return told

    async def _tell_owed(self, owed: list[Entry]) -> None:
        try:
            async with asyncio.timeout(OWED_TIMEOUT):
                await self._tell(owed)
        except BaseException:
            self._outage.owe(owed)
            raise

    async def _ask(self, count: int, call: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answers within the time limit, or None. `count`: how many keys it is about."""
        if not self._outage.on:
            try:
                async with asyncio.timeout(self._limit):
                    answer = await call()
            except (RedisError, OSError) as error:
                # At once, not at the fifth: what it was not told of must not be read from it.
                self._outage.begin(error)
                self._breaker.tell(Verdict.FAILS)
            else:
                self._breaker.tell(Verdict.WORKS)
                return answer
        self._metrics.bypasses.inc(count)
        return None


def _kept(entry: Entry) -> bytes:
    version = str(entry.version).encode()
    return version if entry.value is None else version + SEPARATOR + entry.value


def _value(raw: bytes | str | None) -> bytes | None:
    if not isinstance(raw, bytes):  # never a str: the client is not told to decode
        return None
    _, separator, value = raw.partition(SEPARATOR)
    return value if separator else None


@asynccontextmanager
async def open_redis_cache(
    settings: Settings, registry: CollectorRegistry, breaker: Breaker
) -> AsyncIterator[RedisCache]:
    """Opens also when Redis cannot be reached."""
    redis = Redis.from_pool(redis_pool(settings))
    cache = RedisCache(
        redis, breaker, ttl=settings.cache_ttl, limit=settings.cache_timeout, metrics=CacheMetrics(registry)
    )
    unasked = settings.breaker_reset
    async with redis, background() as tasks, breaker.looked_for(cache.check, unasked=unasked):
        tasks.start(cache.return_forever(), "redis-return")
        yield cache
