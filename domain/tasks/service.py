"""What callers may do with tasks: each use case checks everything, writes once, then tells who waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from domain.actions.ports import Handlers, Webhooks
from domain.clock import Clock, Ids
from domain.contracts.tasks import TaskEventKind
from domain.errors import Conflict, Invalid, TooMany
from domain.live.ports import Signal, Signals
from domain.paging import Page, PageRequest
from domain.tasks.checking import Checker
from domain.tasks.drafts import TaskDraft, TaskEdit
from domain.tasks.fingerprint import fingerprint
from domain.tasks.listing import COUNT_LIMIT, TaskFilter, TaskOrder, TaskPlace, only_theirs
from domain.tasks.model import Task
from domain.tasks.ports import Added, Change, Tasks
from domain.tasks.states import CLAIMABLE, FINISHED, TaskState
from domain.tenancy.model import Caller
from domain.work.drafts import DEFAULT_TIMEOUT, as_action, retry_policy
from domain.work.refusals import fields_named
from domain.work.validation import Faults

MAX_TOGETHER = 1_000
"""Tasks made at once."""


class TaskService:
    """Raises Refusals for faults of an input, all of them; a single Refusal for anything else it refuses.

    Paths are those of the public inputs, from below `input`. A caller bound to an owner meets NotFound for
    whatever is another's. `poll_interval` is how long a scheduler may sleep without being signalled.
    """

    def __init__(
        self,
        *,
        tasks: Tasks,
        handlers: Handlers,
        webhooks: Webhooks,
        signals: Signals,
        clock: Clock,
        ids: Ids,
        poll_interval: timedelta,
    ) -> None:
        self._tasks = tasks
        self._checker = Checker(handlers, webhooks)
        self._signals = signals
        self._clock = clock
        self._ids = ids
        self._soon = poll_interval + timedelta(seconds=1)

    async def create(self, caller: Caller, draft: TaskDraft, traceparent: str) -> Added:
        """The task, or the one its key already named, which may have been given to another owner since."""
        [added] = await self._add(caller, [(draft, ())], traceparent)
        return added

    async def create_many(self, caller: Caller, drafts: Sequence[TaskDraft], traceparent: str) -> list[Added]:
        """All of them or none. Faults are told up to a hundred."""
        if len(drafts) > MAX_TOGETHER:
            raise TooMany(
                f"At most {MAX_TOGETHER} tasks are made at once; these are {len(drafts)}.", ("tasks",)
            )
        if not drafts:
            raise Invalid("There must be at least one task.", ("tasks",))
        return await self._add(
            caller, [(draft, ("tasks", str(index))) for index, draft in enumerate(drafts)], traceparent
        )

    async def update(self, caller: Caller, id: UUID, edit: TaskEdit, *, version: int | None = None) -> Task:
        """An edit that changes nothing writes nothing."""
        faults = Faults()
        await self._checker.note_edit(caller, edit, self._clock.now(), faults)
        faults.settle()
        given = edit.given()
        if "action" in given:
            given["action"] = as_action(given["action"])

        def edited(task: Task, _now: datetime) -> Task:
            free = task.editable()
            after = replace(free, **given)
            return task if after == free else after

        return await self._change(caller, id, edited, version)

    async def cancel(self, caller: Caller, id: UUID, *, version: int | None = None) -> Task:
        """A running task is asked to stop; for one that has ended nothing changes."""
        task = await self._change(caller, id, Task.cancelled, version)
        if task.state is TaskState.RUNNING:
            self._signals.send(Signal.CANCEL)
        return task

    async def run_now(self, caller: Caller, id: UUID, *, version: int | None = None) -> Task:
        """Due at once; one that has ended runs again."""
        return await self._change(caller, id, Task.run_now, version)

    async def delete(self, caller: Caller, id: UUID, *, version: int | None = None) -> None:
        with fields_named():
            await self._tasks.delete(caller.tenant, id, version=version, owner=caller.owner)
        self._signals.send(Signal.DUE)
        self._signals.send(Signal.OUTBOX)

    async def by_key(self, caller: Caller, key: str) -> Task | None:
        task = await self._tasks.find_by_key(caller.tenant, key)
        return task if task is not None and caller.may_see(task.owner) else None

    async def has(self, caller: Caller, key: str) -> bool:
        """Whether the key names a task, whoever's of the tenant."""
        return await self._tasks.find_by_key(caller.tenant, key) is not None

    async def page(
        self,
        caller: Caller,
        wanted: TaskFilter,
        order: TaskOrder,
        request: PageRequest[TaskPlace],
        reading: frozenset[str] | None = None,
    ) -> Page[Task]:
        """Of tasks that have the attributes named in `reading`: see `Tasks.page`."""
        mine = only_theirs(caller, wanted)
        if mine is None:
            return Page(items=(), has_next=False, has_previous=False)
        return await self._tasks.page(caller.tenant, mine, order, request, reading)

    async def count(self, caller: Caller, wanted: TaskFilter) -> int | None:
        """None when there are more than are counted."""
        mine = only_theirs(caller, wanted)
        return 0 if mine is None else await self._tasks.count(caller.tenant, mine, COUNT_LIMIT)

    async def _add(
        self, caller: Caller, asked: Sequence[tuple[TaskDraft, tuple[str, ...]]], traceparent: str
    ) -> list[Added]:
        now = self._clock.now()
        faults = Faults()
        for draft, path in asked:
            await self._checker.note_draft(caller, draft, now, faults.under(*path))
            if faults.full:
                break
        faults.settle()
        try:
            added = await self._tasks.add([self._task(caller, draft, now, traceparent) for draft, _ in asked])
        except Conflict as conflict:
            index, *field = conflict.path
            conflict.path = (*asked[int(index)][1], *field)
            if caller.owner is not None:  # the task may be another's
                raise Conflict(path=conflict.path) from None
            raise
        self._told([each.task for each in added if each.created])
        return added

    def _task(self, caller: Caller, draft: TaskDraft, now: datetime, traceparent: str) -> Task:
        task = Task(
            id=self._ids.next(),
            tenant=caller.tenant,
            title=draft.title,
            description=draft.description,
            scheduled_at=now if draft.scheduled_at is None else draft.scheduled_at,
            action=as_action(draft.action),
            queue=draft.queue,
            priority=draft.priority,
            key=draft.key,
            owner=caller.owner if draft.owner is None else draft.owner,
            labels=draft.labels,
            concurrency_key=draft.concurrency_key,
            timeout=DEFAULT_TIMEOUT if draft.timeout is None else draft.timeout,
            retry=retry_policy(draft.retry),
            created_at=now,
            updated_at=now,
            traceparent=traceparent,
        )
        if task.key is None:
            return task  # no other create is ever compared with it
        return replace(task, fingerprint=fingerprint(task, at_once=draft.scheduled_at is None))

    async def _change(self, caller: Caller, id: UUID, change: Change, version: int | None) -> Task:
        with fields_named():
            task = await self._tasks.change(
                caller.tenant, id, change, TaskEventKind.UPDATED, version=version, owner=caller.owner
            )
        self._told([task])
        return task

    def _told(self, written: Sequence[Task]) -> None:
        if not written:
            return
        soon = self._clock.now() + self._soon
        # One that ended may have kept others waiting: of its concurrency key, or of its queue.
        if any(
            task.state in FINISHED or (task.state in CLAIMABLE and task.scheduled_at <= soon)
            for task in written
        ):
            self._signals.send(Signal.DUE)
        self._signals.send(Signal.OUTBOX)
