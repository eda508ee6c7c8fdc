"""The cache hears of the engine's writes soon, together, and of the newest version alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from infra.cache import forgetting
from infra.cache.forgetting import MAX_WAITING, Forgetting, open_forgetting
from infra.cache.ports import TaskVersion
from infra.cache.task_cache import TaskCache
from infra.memory.cache import open_memory_cache
from infra.settings import Settings
from tests.support.storage import a_task, ids
from tests.support.waiting import settle_down, until

TOLD = "carillon_cache_operations_total"


async def test_what_is_written_is_soon_forgotten() -> None:
    registry = CollectorRegistry()
    async with open_memory_cache(Settings(), registry) as memory:
        cache = TaskCache(memory, "test", registry)
        task = a_task()
        await cache.keep([task])
        async with open_forgetting(cache) as telling:
            await telling.changed([TaskVersion(task.tenant, task.id, 2)])
            await until(lambda: not telling.waiting)
        assert await cache.get(task.tenant, [task.id]) == [None]
        await cache.keep([task])
        assert await cache.get(task.tenant, [task.id]) == [None], "an older one is not taken back"
        await cache.keep([replace(task, version=2)])
        assert await cache.get(task.tenant, [task.id]) != [None]


async def test_what_is_written_within_a_moment_is_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "GATHER", 3_600)
    registry = CollectorRegistry()
    one, other = ids.next(), ids.next()
    async with open_memory_cache(Settings(), registry) as memory:
        async with open_forgetting(TaskCache(memory, "test", registry)) as telling:
            for id, version in ((one, 2), (other, 2), (one, 3)):
                await telling.changed([TaskVersion("acme", id, version)])
                await settle_down()
            assert telling.waiting == 2, "the newest version of each"
        assert registry.get_sample_value(TOLD, {"outcome": "invalidate"}) == 2


async def test_of_several_changes_of_a_task_only_the_last_is_told() -> None:
    registry = CollectorRegistry()
    async with open_memory_cache(Settings(), registry) as memory:
        cache = TaskCache(memory, "test", registry)
        one, other = a_task(), a_task()
        changes = [TaskVersion("acme", task.id, version) for version in (2, 3) for task in (one, other)]
        await cache.forget(changes)
        assert registry.get_sample_value("carillon_cache_operations_total", {"outcome": "invalidate"}) == 2
        await cache.keep([replace(one, version=2), replace(other, version=3)])
        assert [task is not None for task in await cache.get("acme", [one.id, other.id])] == [False, True]


async def test_what_waits_at_the_end_is_told() -> None:
    registry = CollectorRegistry()
    async with open_memory_cache(Settings(), registry) as memory:
        cache = TaskCache(memory, "test", registry)
        task = a_task()
        await cache.keep([task])
        async with open_forgetting(cache) as telling:
            await telling.changed([TaskVersion(task.tenant, task.id, version) for version in (2, 3)])
        assert await cache.get(task.tenant, [task.id]) == [None]


async def test_no_more_waits_than_the_bound() -> None:
    registry = CollectorRegistry()
    async with open_memory_cache(Settings(), registry) as memory:
        telling = Forgetting(TaskCache(memory, "test", registry))
        await telling.changed([TaskVersion("acme", ids.next(), 1) for _ in range(MAX_WAITING)])
        assert telling.waiting == MAX_WAITING
        await telling.changed([TaskVersion("acme", ids.next(), 1)])
        assert telling.waiting == 0
