"""Tells the cache of the engine's writes a moment later and together, so that no task waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from infra.background import background
from infra.cache.ports import TaskVersion
from infra.cache.task_cache import TaskCache

GATHER = 0.05
"""Seconds in which versions gather before they are told. The relay tells them too, before anyone hears of
them; this bounds how old the cache may be when there is no relay."""
MAX_WAITING = 10_000
"""Tasks whose new versions may wait; beyond, whoever writes waits for the cache."""


class Forgetting:
    def __init__(self, cache: TaskCache) -> None:
        self._cache = cache
        self._waiting: dict[UUID, TaskVersion] = {}
        self._some = asyncio.Event()

    async def changed(self, versions: Sequence[TaskVersion]) -> None:
        """To be called when a write is committed. Of each task only the newest version is told."""
        for version in versions:
            self._waiting[version.id] = version
        self._some.set()
        if len(self._waiting) > MAX_WAITING:
            await self.tell_once()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def tell_once(self) -> int:
        """How many tasks the cache was told of."""
        waiting, self._waiting = list(self._waiting.values()), {}
        self._some.clear()
        await self._cache.forget(waiting)
        return len(waiting)

    async def tell_forever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER)
            await self.tell_once()


@asynccontextmanager
async def open_forgetting(cache: TaskCache) -> AsyncIterator[Forgetting]:
    forgetting = Forgetting(cache)
    async with background() as tasks:
        tasks.start(forgetting.tell_forever(), "forgetting")
        yield forgetting
    await forgetting.tell_once()
