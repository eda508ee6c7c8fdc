"""Tasks that run beside a block of code and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Background:
    """Owns tasks; one that fails ends the block it runs beside."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """An error of the block itself is raised as it is; only one of a task comes as an ExceptionGroup."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        owned = Background(group)
        try:
            yield owned
        except Exception as error:  # noqa: BLE001  raised again below, outside the group that would wrap it
            failure = error
        owned.cancel()
    if failure is not None:
        raise failure


async def stop(task: asyncio.Task[None]) -> None:
    """Returns once the task has ended, whichever way."""
    task.cancel()
    await asyncio.wait([task])
