"""The cache hears of the engine's writes soon, together, and of the newest version alone."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from infra.cache.forgetting import MAX_WAITING, Forgetting, open_forgetting
from infra.cache.ports import TaskVersion
from infra.cache.task_cache import TaskCache
from infra.memory.cache import open_memory_cache
from infra.settings import Settings
from tests.support.storage import a_task, ids
from tests.support.waiting import until


async def test_what_is_written_is_soon_forgotten() -> None:
    registry = CollectorRegistry()
    async with open_memory_cache(Settings(), registry) as memory:
        cache = TaskCache(memory, "test", registry)
        task = a_task()
        await cache.keep([task])
        async with open_forgetting(cache) as forgetting:
            await forgetting.changed([TaskVersion(task.tenant, task.id, 2)])
            await until(lambda: not forgetting.waiting)
        assert await cache.get(task.tenant, [task.id]) == [None]
        await cache.keep([task])
        assert await cache.get(task.tenant, [task.id]) == [None], "an older one is not taken back"
        await cache.keep([replace(task, version=2)])
        assert await cache.get(task.tenant, [task.id]) != [None]


async def test_what_waits_at_the_end_is_told() -> None:
    registry = CollectorRegistry()
    async with open_memory_cache(Settings(), registry) as memory:
        cache = TaskCache(memory, "test", registry)
        task = a_task()
        await cache.keep([task])
        async with open_forgetting(cache) as forgetting:
            await forgetting.changed([TaskVersion(task.tenant, task.id, version) for version in (2, 3)])
        assert await cache.get(task.tenant, [task.id]) == [None]


async def test_no_more_waits_than_the_bound() -> None:
    registry = CollectorRegistry()
    async with open_memory_cache(Settings(), registry) as memory:
        forgetting = Forgetting(TaskCache(memory, "test", registry))
        await forgetting.changed([TaskVersion("acme", ids.next(), 1) for _ in range(MAX_WAITING)])
        assert forgetting.waiting == MAX_WAITING
        await forgetting.changed([TaskVersion("acme", ids.next(), 1)])
        assert forgetting.waiting == 0
