"""Adds single tasks together: what comes while one statement is under way goes into the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from domain.tasks.model import Task
from domain.tasks.ports import Added, Tasks
from infra.background import Background, background
from infra.together import Together

MOST = 200
"""Tasks of one statement."""


class TasksAddedTogether:
    """See `domain.tasks.ports.Tasks`.

    A statement is of one tenant. Tasks with a key go by themselves: one may be refused, or have to wait for
    another transaction.
    """

    def __init__(self, tasks: Tasks, writers: Background) -> None:
        self._tasks = tasks
        self.find, self.find_by_key = tasks.find, tasks.find_by_key
        self.page, self.count = tasks.page, tasks.count
        self.change, self.delete = tasks.change, tasks.delete
        self._together: Together[str, Task, Added] = Together(self._add_of_tenant, writers, most=MOST)

    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        """As the port says."""
        if len(tasks) != 1 or tasks[0].key is not None:
            return await self._tasks.add(tasks)
        return [await self._together.ask(tasks[0].tenant, tasks[0])]

    async def _add_of_tenant(self, _: str, tasks: Sequence[Task]) -> list[Added]:
        return await self._tasks.add(tasks)


@asynccontextmanager
async def open_adding(tasks: Tasks) -> AsyncIterator[TasksAddedTogether]:
    async with background() as writers:
        yield TasksAddedTogether(tasks, writers)
