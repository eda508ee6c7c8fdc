"""What clients register is found by every process, and bounded in each."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from domain.documents.model import hash_of
from infra.cache.metrics import CacheMetrics
from infra.cache.ports import Entry
from infra.cache.registered_documents import CachedDocuments
from infra.memory.cache import MemoryCache

TEXTS = ("{ a }", "{ b }", "{ c }")


def shared() -> MemoryCache:
    return MemoryCache(ttl=60, metrics=CacheMetrics(CollectorRegistry()))


async def test_what_one_process_registers_another_finds() -> None:
    cache = shared()
    one, other, stranger = (CachedDocuments(cache, name) for name in ("x", "x", "y"))
    await one.keep(hash_of(TEXTS[0]), TEXTS[0])
    assert await other.find(hash_of(TEXTS[0])) == TEXTS[0]
    assert await stranger.find(hash_of(TEXTS[0])) is None


async def test_a_process_finds_what_the_shared_cache_forgot_up_to_its_bound() -> None:
    documents = CachedDocuments(MemoryCache(ttl=0, metrics=CacheMetrics(CollectorRegistry())), "x", most=10)
    for text in TEXTS[:2]:
        await documents.keep(hash_of(text), text)
        await documents.keep(hash_of(text), text)
    assert await documents.find(hash_of(TEXTS[0])) == TEXTS[0]
    await documents.keep(hash_of(TEXTS[2]), TEXTS[2])
    assert [await documents.find(hash_of(text)) for text in TEXTS] == [TEXTS[0], None, TEXTS[2]]


async def test_a_text_under_the_hash_of_another_is_not_executed() -> None:
    cache = shared()
    await cache.put([Entry(f"x:document:{hash_of(TEXTS[0])}", 1, TEXTS[1].encode())])
    assert await CachedDocuments(cache, "x").find(hash_of(TEXTS[0])) is None
