"""The failed tasks of a tenant as dead letters."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

from domain.actions.credentials import shown
from domain.actions.model import Action, Http, Notify, Run
from domain.contracts.tasks import TaskEventKind
from domain.dead_letters.model import LOOKED_AT, Chosen, DeadLetter, LetterPlace, Letters
from domain.errors import IllegalState, NotFound, StaleVersion
from domain.ids import read_uuid
from domain.paging import Page, PageRequest
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace
from domain.tasks.model import Task
from domain.tasks.ports import Tasks
from domain.tasks.states import TaskState

KIND = "task"
_FAILED = TaskFilter(states=(TaskState.FAILED,))


class FailedTasks:
    """Implements DeadLetters for one tenant: whoever asks for another's finds nothing."""

    def __init__(self, tasks: Tasks, tenant: str) -> None:
        self._tasks = tasks
        self._tenant = tenant

    async def listed(self, tenant: str | None = None, after: LetterPlace | None = None) -> Letters:
        """Of the LOOKED_AT that were due first."""
        if tenant not in (None, self._tenant):
            return Letters(items=[])
        found = await self._failed()
        return Letters.behind(after, map(_letter, found.items), unseen=found.has_next)

    async def replay(self, chosen: Chosen) -> int:
        return await self._settle(chosen, self._replay)

    async def purge(self, chosen: Chosen) -> int:
        return await self._settle(chosen, self._purge)

    async def _settle(self, chosen: Chosen, settle: Callable[[Task], Awaitable[None]]) -> int:
        found = (await self._failed()).items if chosen.keys is None else await self._named(chosen.keys)
        done = 0
        for task in found:
            if task.state is TaskState.FAILED and chosen.takes(_letter(task)):
                with suppress(NotFound, StaleVersion, IllegalState):  # somebody else was there first
                    await settle(task)
                    done += 1
        return done

    async def _replay(self, task: Task) -> None:
        await self._tasks.change(
            task.tenant, task.id, Task.run_now, TaskEventKind.UPDATED, version=task.version
        )

    async def _purge(self, task: Task) -> None:
        await self._tasks.delete(task.tenant, task.id, version=task.version)

    async def _failed(self) -> Page[Task]:
        request: PageRequest[TaskPlace] = PageRequest(size=LOOKED_AT)
        return await self._tasks.page(self._tenant, _FAILED, TaskOrder.SCHEDULED_AT_ASC, request)

    async def _named(self, keys: frozenset[str]) -> list[Task]:
        ids = [id for key in sorted(keys) if (id := read_uuid(key)) is not None]
        return [task for task in await self._tasks.find(self._tenant, ids) if task is not None]


def _letter(task: Task) -> DeadLetter:
    return DeadLetter(
        of=KIND,
        key=str(task.id),
        tenant=task.tenant,
        at=task.finished_at,
        what=task.error.type if task.error else "failed",
        body=json.dumps(_told(task)),
    )


def _told(task: Task) -> dict[str, object]:
    return {
        "title": task.title,
        "owner": task.owner,
        "queue": task.queue,
        "scheduled_at": task.scheduled_at.isoformat(),
        "attempt": task.attempt,
        "error": None if task.error is None else {"type": task.error.type, "message": task.error.message},
        "action": {"kind": task.action.kind.value} | _asked(task.action),
    }


def _asked(action: Action) -> dict[str, object]:
    match action:
        case Http():
            return {"url": action.url, "headers": shown(action.headers or {}), "body": action.body}
        case Run():
            return {"handler": action.handler, "payload": action.payload}
        case Notify():
            return {"body": action.body}
