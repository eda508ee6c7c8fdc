"""One batched read for each level of an answer, however many of its parts ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from aiodataloader import DataLoader

from domain.attempts.activity import LogLine
from domain.attempts.model import Attempt, Progress
from domain.attempts.ports import Activity, Attempts
from domain.notifications.model import Notification
from domain.notifications.ports import Notifications
from domain.queues.model import Queue
from domain.queues.ports import Queues
from domain.queues.service import MAX_QUEUES
from domain.schedules.model import Schedule
from domain.schedules.ports import Schedules
from domain.tasks.model import Task
from domain.tasks.ports import Tasks
from domain.tenancy.model import Caller
from schema.ids import AttemptKey
from schema.refusals import too_many
from schema.tally import (
    Tally,
    large_of_attempts,
    large_of_notifications,
    large_of_schedules,
    large_of_tasks,
)

MAX_BATCH = 1_000
MAX_TASKS = 200
"""That are read at once, whole; they may be large."""
MAX_ROWS = 2_000
"""Rows that are read at once of what there is several of with each task."""
MAX_LINES = 10_000
"""Lines of logs that are read at once."""

K = TypeVar("K")
V = TypeVar("V")


class Loaders:
    """For one operation, or one event of a subscription. What is another owner's is not found."""

    def __init__(
        self,
        caller: Caller,
        tally: Tally,
        *,
        tasks: Tasks,
        attempts: Attempts,
        activity: Activity,
        schedules: Schedules,
        notifications: Notifications,
        queues: Queues,
    ) -> None:
        self._caller = caller
        self._tally = tally
        self._tasks = tasks
        self._attempts = attempts
        self._activity = activity
        self._schedules = schedules
        self._notifications = notifications
        self._queues = queues
        self._open: dict[Hashable, DataLoader[Any, Any]] = {}

    def forget(self) -> None:
        """What was read so far may have changed."""
        self._open.clear()

    async def task(self, id: UUID) -> Task | None:
        async def find(ids: list[UUID]) -> list[Task | None]:
            return await self._tally.read(lambda: self._tasks.find(self._caller.tenant, ids), large_of_tasks)

        task = await self._load("task", find, id, MAX_TASKS)
        return task if task is not None and self._caller.may_see(task.owner) else None

    async def attempt(self, key: AttemptKey) -> Attempt | None:
        async def find(keys: list[AttemptKey]) -> list[Attempt | None]:
            return await self._tally.read(
                lambda: self._attempts.find(self._caller.tenant, keys), large_of_attempts
            )

        if await self.task(key[0]) is None:
            return None
        return await self._load("attempt", find, key)

    async def schedule(self, id: UUID) -> Schedule | None:
        async def find(ids: list[UUID]) -> list[Schedule | None]:
            return await self._tally.read(
                lambda: self._schedules.find(self._caller.tenant, ids), large_of_schedules
            )

        schedule = await self._load("schedule", find, id, MAX_TASKS)
        return schedule if schedule is not None and self._caller.may_see(schedule.owner) else None

    async def notification(self, id: UUID) -> Notification | None:
        async def find(ids: list[UUID]) -> list[Notification | None]:
            return await self._tally.read(
                lambda: self._notifications.find(self._caller.tenant, ids), large_of_notifications
            )

        found = await self._load("notification", find, id)
        return found if found is not None and self._caller.may_see(found.owner) else None

    async def progress(self, task: UUID) -> Progress | None:
        async def latest(tasks: list[UUID]) -> list[Progress | None]:
            return await self._activity.progress(self._caller.tenant, tasks)

        return await self._load("progress", latest, task)

    async def log(self, task: UUID, last: int) -> list[LogLine]:
        async def lines(tasks: list[UUID]) -> list[list[LogLine]]:
            if len(tasks) * last > MAX_LINES:
                raise too_many(
                    f"That is the log of {len(tasks)} tasks; at most {MAX_LINES // last} with `last: {last}`.",
                    "last",
                )
            return await self._tally.read(
                lambda: self._activity.log(self._caller.tenant, tasks, last),
                lambda logs: [line.message for line in chain.from_iterable(logs)],
            )

        return await self._load(("log", last), lines, task)

    async def attempts(self, task: UUID, first: int, after: int) -> list[Attempt]:
        async def history(tasks: list[UUID]) -> list[list[Attempt]]:
            return await self._tally.read(
                lambda: self._attempts.history(self._caller.tenant, tasks, first, after),
                lambda histories: large_of_attempts(chain.from_iterable(histories)),
            )

        return await self._load(("attempts", first, after), history, task, MAX_ROWS // first)

    async def notifications(self, task: UUID, first: int, after: int) -> list[Notification]:
        async def of_tasks(tasks: list[UUID]) -> list[list[Notification]]:
            return await self._tally.read(
                lambda: self._notifications.of_tasks(self._caller.tenant, tasks, first, after),
                lambda told: large_of_notifications(chain.from_iterable(told)),
            )

        found = await self._load(("notifications", first, after), of_tasks, task, MAX_ROWS // first)
        return [each for each in found if self._caller.may_see(each.owner)]

    async def queues(self, names: frozenset[str] | None, *, figures: bool) -> list[Queue]:
        """All of the tenant, or those of these names."""

        async def read(asked: list[tuple[frozenset[str] | None, bool]]) -> list[list[Queue]]:
            wanted = None if names is None else sorted({name for each, _ in asked for name in each or ()})
            most = max(MAX_QUEUES, len(wanted or ()))
            counted = any(figures for _, figures in asked)
            found = await self._queues.all(self._caller.tenant, most, wanted, figures=counted)
            return [[queue for queue in found if each is None or queue.name in each] for each, _ in asked]

        return await self._load(("queues", names is None), read, (names, figures))

    async def _load(
        self,
        name: Hashable,
        batch: Callable[[list[K]], Coroutine[Any, Any, list[V]]],
        key: K,
        most: int = MAX_BATCH,
    ) -> V:
        loader: DataLoader[K, V] | None = self._open.get(name)
        if loader is None:
            loader = self._open[name] = DataLoader(batch, max_batch_size=most)
        # Shielded: when one field is cancelled, the others that wait for the same row must not be.
        loaded = loader.load(key)
        try:
            return await asyncio.shield(loaded)
        except asyncio.CancelledError:
            loaded.add_done_callback(_heard)
            raise


def _heard(abandoned: asyncio.Future[Any]) -> None:
    """Whoever asked is gone: a fault that comes now has nobody to be told to, and is none to be warned of."""
    if not abandoned.cancelled():
        abandoned.exception()
