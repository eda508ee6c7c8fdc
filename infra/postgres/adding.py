"""Adds single tasks together: what comes while one statement is under way goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from domain.errors import Unavailable
from domain.tasks.model import Task
from domain.tasks.ports import Added, Tasks
from infra.background import Background, background

MOST = 200
"""Tasks of one statement."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    task: Task
    answer: asyncio.Future[Added]


class TasksAddedTogether:
    """See `domain.tasks.ports.Tasks`.

    For each tenant one statement at a time; a task that comes alone waits for nothing. Tasks with a key go by
    themselves: one may be refused, or have to wait for another transaction.
    """

    def __init__(self, tasks: Tasks, writers: Background) -> None:
        self._tasks = tasks
        self.find, self.find_by_key = tasks.find, tasks.find_by_key
        self.page, self.count = tasks.page, tasks.count
        self.change, self.delete = tasks.change, tasks.delete
        self._writers = writers
        self._waiting: dict[str, list[_Asked]] = {}
        """By tenant, while there is one who writes for it."""

    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        """As the port says."""
        if len(tasks) > 1 or tasks[0].key is not None:
            return await self._tasks.add(tasks)
        asked = _Asked(tasks[0], asyncio.get_running_loop().create_future())
        tenant = asked.task.tenant
        if tenant in self._waiting:
            self._waiting[tenant].append(asked)
        else:
            self._waiting[tenant] = [asked]
            self._writers.start(self._write_for(tenant), "add_tasks")
        return [await asked.answer]

    async def _write_for(self, tenant: str) -> None:
        """Until nobody waits. Not interrupted by who asked: a statement is of others too."""
        together: list[_Asked] = []
        try:
            while waiting := self._waiting[tenant]:
                together, self._waiting[tenant] = waiting[:MOST], waiting[MOST:]
                await self._write(together)
        finally:
            for asked in (*together, *self._waiting.pop(tenant)):
                asked.answer.cancel()  # those that have no answer: we are being stopped

    async def _write(self, together: Sequence[_Asked]) -> None:
        try:
            added = await self._tasks.add([asked.task for asked in together])
        except Unavailable as fault:
            _fail(together, fault)
        except Exception as fault:  # noqa: BLE001  what cannot be stored must not hold back the others
            if len(together) == 1:
                _fail(together, fault)
                return
            for asked in together:
                await self._write([asked])
        else:
            for asked, one in zip(together, added, strict=True):
                if not asked.answer.done():  # who asked may be gone
                    asked.answer.set_result(one)


def _fail(together: Sequence[_Asked], fault: Exception) -> None:
    for asked in together:
        if not asked.answer.done():
            asked.answer.set_exception(fault)


@asynccontextmanager
async def open_adding(tasks: Tasks) -> AsyncIterator[TasksAddedTogether]:
    async with background() as writers:
        yield TasksAddedTogether(tasks, writers)
