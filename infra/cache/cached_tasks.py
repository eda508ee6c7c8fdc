"""The stored tasks with a cache before them: looked up there first, and told to it after each write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from domain.contracts.tasks import TaskEventKind
from domain.paging import Page, PageRequest
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace
from domain.tasks.model import Task
from domain.tasks.ports import Added, Change, Tasks
from infra.cache.task_cache import TaskCache

PATIENCE = 0.1
"""How long to wait for another caller's refill, in seconds, before reading PostgreSQL oneself."""
LOOK_AGAIN = 0.005
MOST_KEPT = 100
"""Of tasks just made: nobody reads back a thousand of them one by one, and each costs what is kept of it."""


class CachedTasks:
    """See `domain.tasks.ports.Tasks`."""

    def __init__(self, tasks: Tasks, cache: TaskCache) -> None:
        self._tasks = tasks
        self._cache = cache

    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        added = await self._tasks.add(tasks)
        if len(added) <= MOST_KEPT:
            await self._cache.keep([one.task for one in added])
        return added

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        found = await self._known(tenant, ids)
        missing = [id for id in dict.fromkeys(ids) if id not in found]
        if missing:
            led = await self._cache.lead(tenant, missing)
            found |= await self._lead(tenant, [id for id, leads in zip(missing, led, strict=True) if leads])
            await self._join(tenant, [id for id in missing if id not in found], found)
        return [found.get(id) for id in ids]

    async def find_by_key(self, tenant: str, key: str) -> Task | None:
        task = await self._tasks.find_by_key(tenant, key)
        await self._cache.keep([] if task is None else [task])
        return task

    async def page(
        self,
        tenant: str,
        wanted: TaskFilter,
        order: TaskOrder,
        request: PageRequest[TaskPlace],
        reading: frozenset[str] | None = None,
    ) -> Page[Task]:
        # Not kept: that takes longer than the page itself, and few of its tasks are asked for next.
        return await self._tasks.page(tenant, wanted, order, request, reading)

    async def count(self, tenant: str, wanted: TaskFilter, limit: int) -> int | None:
        return await self._tasks.count(tenant, wanted, limit)

    async def change(
        self,
        tenant: str,
        id: UUID,
        change: Change,
        kind: TaskEventKind,
        *,
        version: int | None = None,
        owner: str | None = None,
    ) -> Task:
        task = await self._tasks.change(tenant, id, change, kind, version=version, owner=owner)
        await self._cache.keep([task])
        return task

    async def delete(
        self, tenant: str, id: UUID, *, version: int | None = None, owner: str | None = None
    ) -> None:
        await self._tasks.delete(tenant, id, version=version, owner=owner)
        await self._cache.forget_deleted(tenant, id)

    async def _known(self, tenant: str, ids: Sequence[UUID]) -> dict[UUID, Task | None]:
        kept = await self._cache.get(tenant, ids)
        return {id: task for id, task in zip(ids, kept, strict=True) if task is not None}

    async def _lead(self, tenant: str, ids: Sequence[UUID]) -> dict[UUID, Task | None]:
        """Refill those that are still missing: who led before may have just put them."""
        found = await self._known(tenant, ids)
        return found | await self._refill(tenant, [id for id in ids if id not in found])

    async def _refill(self, tenant: str, ids: Sequence[UUID]) -> dict[UUID, Task | None]:
        """Read them from PostgreSQL; None for those that are not there."""
        if not ids:
            return {}
        stored = await self._tasks.find(tenant, ids)
        absent = [id for id, task in zip(ids, stored, strict=True) if task is None]
        await self._cache.keep([task for task in stored if task is not None])
        await self._cache.release(tenant, absent)
        return dict(zip(ids, stored, strict=True))

    async def _join(self, tenant: str, ids: Sequence[UUID], found: dict[UUID, Task | None]) -> None:
        """Wait a little for those that another caller reads; read what is still missing then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        waiting = list(ids)
        while waiting:
            found |= await self._known(tenant, waiting)
            waiting = [id for id in waiting if id not in found]
            if not waiting or loop.time() > deadline:
                break
            await asyncio.sleep(LOOK_AGAIN)
        found |= await self._refill(tenant, waiting)
