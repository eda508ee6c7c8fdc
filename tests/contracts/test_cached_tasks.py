"""Every promise of stored tasks holds with a cache before them, and one reader refills it for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from pydantic import RedisDsn
from typing_extensions import override

from domain.actions.model import Notify
from domain.contracts.tasks import TaskEventKind
from domain.tasks.model import Task
from domain.tasks.states import TaskState
from infra.cache.cached_tasks import MOST_KEPT, CachedTasks
from infra.cache.ports import Cache, Entry, TaskVersion
from infra.cache.task_cache import TaskCache
from infra.memory.cache import open_memory_cache
from infra.postgres.attempts import PostgresAttempts
from infra.postgres.due_tasks import PostgresDueTasks
from infra.postgres.rescue import PostgresRescue
from infra.redis.cache import open_redis_cache
from infra.settings import Settings
from tests.contracts.test_tasks import *  # noqa: F403  the whole suite runs here once more, on this `storage`
from tests.support.breakers import a_breaker
from tests.support.services import REDIS
from tests.support.storage import Storage, a_task, clock, due_in, ids, open_storage
from tests.support.stores import StoredTasks
from tests.support.waiting import until

UPDATED = TaskEventKind.UPDATED


@asynccontextmanager
async def open_cache(kind: str) -> AsyncIterator[Cache]:
    if kind == "memory":
        async with open_memory_cache(Settings(), CollectorRegistry()) as memory:
            yield memory
        return
    settings = Settings(redis_url=RedisDsn(REDIS.url), cache_timeout=5)
    async with open_redis_cache(settings, CollectorRegistry(), a_breaker()) as redis:
        yield redis


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def task_cache(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[TaskCache]:
    async with open_cache(request.param) as cache:
        yield TaskCache(cache, namespace, CollectorRegistry())


@pytest.fixture
async def storage(database_url: str, task_cache: TaskCache) -> AsyncIterator[Storage]:
    async with open_storage(database_url) as plain:
        cached: Any = CachedTasks(plain.tasks, task_cache)
        yield replace(
            plain,
            tasks=cached,
            due_tasks=PostgresDueTasks(plain.engine, plain.engine, task_cache.forget),
            attempts=PostgresAttempts(plain.database, task_cache.forget),
            rescue=PostgresRescue(plain.database, task_cache.forget),
        )


async def test_the_engines_changes_are_seen_at_once(storage: Storage) -> None:
    (id,) = await storage.added(a_task())
    worker = await storage.a_worker()
    assert (await storage.task(id)).state is TaskState.SCHEDULED
    await storage.claimed(1)
    assert (await storage.task(id)).state is TaskState.QUEUED
    await storage.attempts.start(worker, [id])
    running = await storage.task(id)
    assert (running.state, running.worker) == (TaskState.RUNNING, worker)
    await storage.lapse(worker)
    await storage.rescue.lost_attempts(10)
    assert (await storage.task(id)).state is TaskState.RETRYING


def longer(task: Task, _: datetime) -> Task:
    return replace(task, title=task.title + "!")


async def test_a_reader_among_writers_never_goes_back_in_time(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60))
    writing = True

    async def write() -> None:
        nonlocal writing
        for _ in range(60):
            await storage.tasks.change("acme", id, longer, UPDATED)
        writing = False

    async def read() -> None:
        last = 0
        while writing:
            version = (await storage.task(id)).version
            assert version >= last
            last = version
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for _ in range(5):
            group.create_task(read())


# How often PostgreSQL is asked


@dataclass
class SlowTasks(StoredTasks):
    """Holds each `find` until told otherwise."""

    asked: list[list[UUID]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @override
    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        self.asked.append(list(ids))
        await self.gate.wait()
        return await super().find(tenant, ids)


@pytest.fixture
def slow() -> SlowTasks:
    tasks = SlowTasks(clock)
    tasks.gate.set()
    return tasks


def stored(slow: SlowTasks, count: int, **changes: Any) -> list[UUID]:
    """Put there behind the cache's back."""
    tasks = [a_task(**changes) for _ in range(count)]
    slow.rows |= {task.id: task for task in tasks}
    return [task.id for task in tasks]


async def test_tasks_just_made_are_kept_unless_they_are_a_large_batch(
    slow: SlowTasks, task_cache: TaskCache
) -> None:
    tasks, few = CachedTasks(slow, task_cache), [a_task() for _ in range(MOST_KEPT)]
    many = [a_task() for _ in range(MOST_KEPT + 1)]
    for batch in (few, many):
        await tasks.add(batch)
    assert await tasks.find("acme", [few[0].id]) == [few[0]]
    assert slow.asked == []
    assert await tasks.find("acme", [many[0].id]) == [many[0]]
    assert slow.asked == [[many[0].id]]


async def test_what_was_found_once_is_answered_by_the_cache(slow: SlowTasks, task_cache: TaskCache) -> None:
    tasks, [one, two, three] = CachedTasks(slow, task_cache), stored(slow, 3)
    await tasks.find("acme", [one, two])
    found = await tasks.find("acme", [three, two, one, two])
    assert [task and task.id for task in found] == [three, two, one, two]
    assert slow.asked == [[one, two], [three]]


async def test_what_was_added_changed_or_named_needs_not_be_found(
    slow: SlowTasks, task_cache: TaskCache
) -> None:
    tasks = CachedTasks(slow, task_cache)
    added = a_task()
    await tasks.add([added])
    await tasks.change("acme", added.id, lambda task, _: replace(task, title="New"), UPDATED)
    assert [task and task.title for task in await tasks.find("acme", [added.id])] == ["New"]
    (named,) = stored(slow, 1, key="monday")
    await tasks.find_by_key("acme", "monday")
    assert None not in await tasks.find("acme", [named])
    assert slow.asked == []


async def test_many_who_miss_the_same_task_at_once_ask_once(slow: SlowTasks, task_cache: TaskCache) -> None:
    tasks, [one, two] = CachedTasks(slow, task_cache), stored(slow, 2)
    slow.gate.clear()
    async with asyncio.TaskGroup() as group:
        finding = [group.create_task(tasks.find("acme", [one, two])) for _ in range(50)]
        await until(lambda: len(slow.asked) == 1)
        slow.gate.set()
    assert all([task and task.id for task in found.result()] == [one, two] for found in finding)
    assert slow.asked == [[one, two]]


async def test_those_who_wait_for_another_reader_do_not_wait_long(
    slow: SlowTasks, task_cache: TaskCache
) -> None:
    tasks, [one] = CachedTasks(slow, task_cache), stored(slow, 1)
    assert await task_cache.lead("acme", [one]) == [True]  # by someone who will never put it
    began = asyncio.get_running_loop().time()
    assert None not in await tasks.find("acme", [one])
    assert asyncio.get_running_loop().time() - began < 1


async def test_a_task_that_is_not_there_is_looked_for_by_everyone_without_waiting(
    slow: SlowTasks, task_cache: TaskCache
) -> None:
    tasks, absent = CachedTasks(slow, task_cache), ids.next()
    assert await tasks.find("acme", [absent]) == [None]
    assert await task_cache.lead("acme", [absent]) == [True]
    await task_cache.release("acme", [absent])
    slow.rows[absent] = a_task(id=absent)
    assert None not in await tasks.find("acme", [absent])
    assert None not in await tasks.find("acme", [absent])
    assert slow.asked == [[absent], [absent]]


async def test_a_read_that_was_overtaken_by_a_change_is_not_kept(
    slow: SlowTasks, task_cache: TaskCache
) -> None:
    tasks, [one] = CachedTasks(slow, task_cache), stored(slow, 1)
    slow.gate.clear()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(CachedTasks(Before(slow), task_cache).find("acme", [one]))
        await until(lambda: len(slow.asked) == 1)
        slow.rows[one] = replace(slow.rows[one], title="New", version=2)
        await task_cache.forget([TaskVersion("acme", one, 2)])
        slow.gate.set()
    assert [task and task.version for task in reading.result()] == [1]
    assert [task and task.version for task in await tasks.find("acme", [one])] == [2]


class Before(StoredTasks):
    """Answers with the rows as they were when it was asked."""

    def __init__(self, slow: SlowTasks) -> None:
        super().__init__(clock)
        self._slow = slow

    @override
    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        rows = dict(self._slow.rows)
        await self._slow.find(tenant, ids)
        return [rows.get(id) for id in ids]


async def test_a_deleted_task_is_gone_whatever_is_read_of_it_later(
    slow: SlowTasks, task_cache: TaskCache
) -> None:
    tasks, [one] = CachedTasks(slow, task_cache), stored(slow, 1)
    (task,) = await tasks.find("acme", [one])
    await tasks.delete("acme", one)
    assert await tasks.find("acme", [one]) == [None]
    assert task is not None
    await task_cache.keep([replace(task, version=7)])
    assert await tasks.find("acme", [one]) == [None]


async def test_another_tenants_task_is_not_there(slow: SlowTasks, task_cache: TaskCache) -> None:
    tasks, [one] = CachedTasks(slow, task_cache), stored(slow, 1)
    assert None not in await tasks.find("acme", [one])
    assert await tasks.find("other", [one]) == [None]


async def test_what_is_kept_in_another_format_is_read_anew(slow: SlowTasks, namespace: str) -> None:
    registry = CollectorRegistry()
    async with open_cache("memory") as cache:
        tasks = CachedTasks(slow, TaskCache(cache, namespace, registry))
        (one,) = stored(slow, 1, action=Notify())
        await cache.put([Entry(f"{namespace}:task:acme:{one}", 1, b'{"format":0}')])
        assert None not in await tasks.find("acme", [one])
        assert None not in await tasks.find("acme", [one])
    assert slow.asked == [[one]]
    assert registry.get_sample_value("carillon_cache_unreadable_total") == 2
