"""The cache inside the process is bounded, and forgets what was not used for longest."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from infra.cache.metrics import CacheMetrics
from infra.cache.ports import Entry
from infra.memory import cache as module
from infra.memory.cache import OVERHEAD, MemoryCache

KILOBYTE = b"x" * 1_000


def small_cache(registry: CollectorRegistry, entries: int = 3) -> MemoryCache:
    return MemoryCache(
        ttl=60, metrics=CacheMetrics(registry), max_bytes=entries * (OVERHEAD + len(KILOBYTE)), now=lambda: 0.0
    )


async def test_the_one_not_used_for_longest_makes_room() -> None:
    registry = CollectorRegistry()
    cache = small_cache(registry)
    await cache.put([Entry(key, 1, KILOBYTE) for key in "abc"])
    await cache.get(["a"])
    await cache.put([Entry("d", 1, KILOBYTE)])
    assert await cache.get(["a", "b", "c", "d"]) == [KILOBYTE, None, KILOBYTE, KILOBYTE]
    assert registry.get_sample_value("carillon_cache_dropped_total") == 1


async def test_entries_without_bytes_take_room_too() -> None:
    registry = CollectorRegistry()
    cache = small_cache(registry, entries=1)
    await cache.put([Entry(str(number), 1, None) for number in range(100)])
    assert registry.get_sample_value("carillon_cache_dropped_total") == 100 - (OVERHEAD + 1_000) // OVERHEAD


async def test_what_is_replaced_or_expired_gives_its_room_back() -> None:
    time, registry = 0.0, CollectorRegistry()
    metrics = CacheMetrics(registry)
    cache = MemoryCache(ttl=1, metrics=metrics, max_bytes=2 * (OVERHEAD + 1_000), now=lambda: time)
    for version in range(1, 10):
        await cache.put([Entry("a", version, KILOBYTE)])
    time = 2.0
    assert await cache.get(["a"]) == [None]
    await cache.put([Entry("b", 1, KILOBYTE), Entry("c", 1, KILOBYTE)])
    assert registry.get_sample_value("carillon_cache_dropped_total") == 0


async def test_leads_are_bounded() -> None:
    cache = small_cache(CollectorRegistry())
    await cache.lead([str(number) for number in range(module.MAX_LEADS + 1)])
    assert await cache.lead(["0", str(module.MAX_LEADS)]) == [True, False]


async def test_hits_and_misses_are_counted() -> None:
    registry = CollectorRegistry()
    cache = small_cache(registry)
    await cache.put([Entry("a", 1, b"a"), Entry("b", 1, None)])
    await cache.get(["a", "b", "c", "a"])
    counted = {
        outcome: registry.get_sample_value("carillon_cache_operations_total", {"outcome": outcome})
        for outcome in ("hit", "miss", "refill", "invalidate", "bypass")
    }
    assert counted == {"hit": 2, "miss": 2, "refill": 1, "invalidate": 1, "bypass": 0}
