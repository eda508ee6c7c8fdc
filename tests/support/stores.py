"""Plain stand-ins for the stores, for tests of what stands above them: they keep lists, and note each call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from domain.attempts.activity import LogLine, LogPlace, NewLine, ProgressReport, Recent
from domain.attempts.model import Attempt, Progress, Settled, Started
from domain.audit.model import AuditEntry, Begun, Ended
from domain.clock import Clock
from domain.contracts.tasks import TaskEventKind
from domain.errors import Conflict, NotFound, StaleVersion, Unavailable
from domain.notifications.model import Draft, Notification
from domain.paging import Page, PageRequest, page_of
from domain.queues.model import Queue, QueueEdit
from domain.schedules.model import Schedule
from domain.schedules.ports import Change as ScheduleChange
from domain.schedules.ports import Make
from domain.tasks.bulk import Batch, BulkChange
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace
from domain.tasks.model import Task
from domain.tasks.ports import Added, Change
from domain.tasks.states import TaskState
from domain.webhooks.model import Made, SigningKey, WebhookSecret


def _with(task: Task, attributes: frozenset[str]) -> Task:
    """The same with these attributes alone."""
    part = object.__new__(Task)
    for name in attributes:
        object.__setattr__(part, name, getattr(task, name))
    return part


@dataclass
class StoredTasks:
    clock: Clock
    calls: list[str] = field(default_factory=list)
    rows: dict[UUID, Task] = field(default_factory=dict)
    kinds: list[TaskEventKind] = field(default_factory=list)
    readings: list[frozenset[str] | None] = field(default_factory=list)
    """What was to be read of the tasks of each page."""

    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        self.calls.append("add")
        added = []
        for index, task in enumerate(tasks):
            named = await self._named(task.tenant, task.key)
            if named is not None and named.fingerprint != task.fingerprint:
                raise Conflict(path=(str(index), "key"), task_id=named.id)
            added.append(Added(named or task, created=named is None))
        self.rows |= {each.task.id: each.task for each in added}
        return added

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        self.calls.append("find")
        found = [self.rows.get(id) for id in ids]
        return [each if each is not None and each.tenant == tenant else None for each in found]

    async def find_by_key(self, tenant: str, key: str) -> Task | None:
        self.calls.append("find_by_key")
        return await self._named(tenant, key)

    async def page(
        self,
        tenant: str,
        wanted: TaskFilter,
        order: TaskOrder,
        request: PageRequest[TaskPlace],
        reading: frozenset[str] | None = None,
    ) -> Page[Task]:
        self.calls.append("page")
        self.readings.append(reading)
        column, _, direction = order.value.lower().rpartition("_")

        def place(task: Task) -> tuple[datetime, UUID]:
            return getattr(task, column), task.id

        listed = sorted(self.matching(tenant, wanted), key=place, reverse=direction == "desc")
        places = [place(task) for task in listed]
        start, end = 0, len(listed)
        if request.after is not None:
            start = places.index((request.after.at, request.after.id)) + 1
        if request.before is not None:
            end = places.index((request.before.at, request.before.id))
        low, high = start, min(end, start + request.size)
        if request.backwards:
            low, high = max(start, end - request.size), end
        items = listed[low:high]
        if reading is not None:
            items = [_with(task, reading | {"id", column}) for task in items]
        return Page(items=tuple(items), has_next=high < len(listed), has_previous=low > 0)

    async def count(self, tenant: str, wanted: TaskFilter, limit: int) -> int | None:
        self.calls.append("count")
        number = len(self.matching(tenant, wanted))
        return number if number <= limit else None

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
        self.calls.append("change")
        task = self._locked(tenant, id, version, owner)
        now = self.clock.now()
        after = change(task, now)
        if after != task:
            after = replace(after, version=task.version + 1, updated_at=now)
            self.rows[id] = after
            self.kinds.append(kind)
        return after

    async def delete(
        self, tenant: str, id: UUID, *, version: int | None = None, owner: str | None = None
    ) -> None:
        self.calls.append("delete")
        self._locked(tenant, id, version, owner).deletable()
        del self.rows[id]

    async def _named(self, tenant: str, key: str | None) -> Task | None:
        named = (task for task in self.rows.values() if (task.tenant, task.key) == (tenant, key))
        return None if key is None else next(named, None)

    def matching(self, tenant: str, wanted: TaskFilter) -> list[Task]:
        return [
            task
            for task in self.rows.values()
            if task.tenant == tenant
            and (wanted.owner is None or task.owner == wanted.owner)
            and (wanted.states is None or task.state in wanted.states)
            and (wanted.queues is None or task.queue in wanted.queues)
            and (wanted.schedule is None or task.schedule_id == wanted.schedule)
        ]

    def _locked(self, tenant: str, id: UUID, version: int | None, owner: str | None) -> Task:
        task = self.rows.get(id)
        if task is None or task.tenant != tenant or (owner is not None and task.owner != owner):
            raise NotFound
        if version is not None and task.version != version:
            raise StaleVersion
        return task


@dataclass
class StoredBulkTasks:
    """Those of `tasks`. `batches` notes what was asked for, `outage` after how many of them storage is gone."""

    tasks: StoredTasks
    batches: list[tuple[BulkChange, int]] = field(default_factory=list)
    outage: int | None = None

    async def change(self, tenant: str, change: BulkChange, wanted: TaskFilter, limit: int) -> Batch:
        if self.outage == len(self.batches):
            raise Unavailable("PostgreSQL")
        picked = self._matching(tenant, change, wanted)[:limit]
        if picked:
            self.batches.append((change, limit))
        now = self.tasks.clock.now()
        for task in picked:
            after = task.cancelled(now) if change is BulkChange.CANCEL else task.run_now(now)
            self.tasks.rows[task.id] = replace(after, version=task.version + 1)
        asked = sum(self.tasks.rows[task.id].state is TaskState.RUNNING for task in picked)
        return Batch(len(picked), len(picked), asked)

    async def count(self, tenant: str, change: BulkChange, wanted: TaskFilter, limit: int) -> int:
        return len(self._matching(tenant, change, wanted)[:limit])

    def _matching(self, tenant: str, change: BulkChange, wanted: TaskFilter) -> list[Task]:
        return [
            task
            for task in self.tasks.matching(tenant, wanted)
            if change is BulkChange.REPLAY or task.cancel_requested_at is None
        ]


@dataclass
class StoredQueues:
    calls: list[str] = field(default_factory=list)
    rows: dict[tuple[str, str], Queue] = field(default_factory=dict)

    async def all(
        self, tenant: str, limit: int, names: Sequence[str] | None = None, *, figures: bool = True
    ) -> list[Queue]:
        self.calls.append("queues" if figures else "queue_settings")
        found = [row for (of, name), row in self.rows.items() if of == tenant]
        found = [row for row in found if names is None or row.name in names]
        return sorted(found, key=lambda row: row.name)[:limit]

    async def find(self, tenant: str, name: str) -> Queue:
        return self.rows.get((tenant, name), Queue(name=name))

    async def change(self, tenant: str, name: str, edit: QueueEdit, limit: int) -> None:
        self.calls.append("change_queue")
        self.rows[tenant, name] = replace(await self.find(tenant, name), **edit.given())


@dataclass
class StoredAttempts:
    calls: list[str] = field(default_factory=list)
    rows: list[Attempt] = field(default_factory=list)

    async def history(
        self, tenant: str, task_ids: Sequence[UUID], first: int, after: int = 0
    ) -> list[list[Attempt]]:
        self.calls.append("history")
        return [
            [each for each in self.rows if each.task_id == id and each.number > after][:first]
            for id in task_ids
        ]

    async def find(self, tenant: str, keys: Sequence[tuple[UUID, int]]) -> list[Attempt | None]:
        self.calls.append("find_attempts")
        known = {(each.task_id, each.number): each for each in self.rows}
        return [known.get(key) for key in keys]

    async def start(self, worker: UUID, ids: Sequence[UUID]) -> list[Started]:
        raise NotImplementedError

    async def finish(self, worker: UUID, settled: Sequence[Settled]) -> frozenset[UUID]:
        raise NotImplementedError

    async def hand_back(self, worker: UUID, fences: Sequence[tuple[UUID, int]]) -> None:
        raise NotImplementedError


@dataclass
class StoredActivity:
    calls: list[str] = field(default_factory=list)
    latest: dict[UUID, Progress] = field(default_factory=dict)
    lines: dict[UUID, list[LogLine]] = field(default_factory=dict)

    async def progress(self, tenant: str, task_ids: Sequence[UUID]) -> list[Progress | None]:
        self.calls.append("progress")
        return [self.latest.get(id) for id in task_ids]

    async def log(self, tenant: str, task_ids: Sequence[UUID], last: int) -> list[list[LogLine]]:
        self.calls.append("log")
        return [self.lines.get(id, [])[-last:] for id in task_ids]

    async def write_progress(self, worker: UUID, reports: Sequence[ProgressReport]) -> None:
        raise NotImplementedError

    async def write_log(self, lines: Sequence[NewLine]) -> int:
        raise NotImplementedError

    async def recent(self, tenant: str, task_id: UUID, after: LogPlace | None) -> Recent | None:
        raise NotImplementedError


@dataclass
class StoredWebhookSecrets:
    clock: Clock
    calls: list[str] = field(default_factory=list)
    rows: dict[UUID, WebhookSecret] = field(default_factory=dict)

    async def add(self, tenant: str, id: UUID, origin: str | None, most: int) -> Made:
        self.calls.append("add_webhook_secret")
        if any(each.origin == origin and each.retires_at is None for each in await self.valid(tenant)):
            raise Conflict("There is already one.")
        return self._made(tenant, id, origin)

    async def rotate(self, tenant: str, id: UUID, fresh: UUID, overlap: timedelta) -> Made:
        self.calls.append("rotate_webhook_secret")
        old = await self.find(tenant, id)
        if old is None:
            raise NotFound
        self.rows[id] = replace(old, retires_at=self.clock.now() + overlap)
        return self._made(tenant, fresh, old.origin)

    async def delete(self, tenant: str, id: UUID) -> None:
        self.calls.append("delete_webhook_secret")
        if await self.find(tenant, id) is None:
            raise NotFound
        del self.rows[id]

    async def valid(self, tenant: str) -> list[WebhookSecret]:
        now = self.clock.now()
        kept = [each for each in self.rows.values() if each.tenant == tenant]
        return [each for each in kept if each.retires_at is None or each.retires_at > now]

    async def find(self, tenant: str, id: UUID) -> WebhookSecret | None:
        return next((each for each in await self.valid(tenant) if each.id == id), None)

    async def signing(self, tenant: str, origin: str) -> Sequence[SigningKey]:
        raise NotImplementedError

    def _made(self, tenant: str, id: UUID, origin: str | None) -> Made:
        now = self.clock.now()
        self.rows[id] = WebhookSecret(id=id, tenant=tenant, origin=origin, prefix="whsec_AbCd", created_at=now)
        return Made(self.rows[id], "whsec_AbCdEf==")


@dataclass
class StoredNotifications:
    clock: Clock
    calls: list[str] = field(default_factory=list)
    rows: list[Notification] = field(default_factory=list)

    async def add(self, drafts: Sequence[Draft]) -> frozenset[str]:
        raise NotImplementedError

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Notification | None]:
        self.calls.append("find_notifications")
        known = {each.id: each for each in self._of(tenant, None)}
        return [known.get(id) for id in ids]

    async def page(
        self,
        tenant: str,
        request: PageRequest[int],
        *,
        owner: str | None = None,
        unread_only: bool = False,
    ) -> Page[Notification]:
        self.calls.append("page_notifications")
        listed = [each for each in self._of(tenant, owner) if not (unread_only and each.read_at)]
        ahead = [each for each in listed if request.after is None or each.seq > request.after]
        asked = [each for each in ahead if request.before is None or each.seq < request.before]
        page = asked[-request.size :] if request.backwards else asked[: request.size]
        return Page(
            items=tuple(page),
            has_next=bool(page) and page[-1] != listed[-1],
            has_previous=bool(page) and page[0] != listed[0],
        )

    async def of_tasks(
        self, tenant: str, task_ids: Sequence[UUID], first: int, after: int = 0
    ) -> list[list[Notification]]:
        self.calls.append("of_tasks")
        listed = self._of(tenant, None)
        return [[each for each in listed if each.task_id == id and each.seq > after][:first] for id in task_ids]

    async def after(self, tenant: str, seq: int, limit: int) -> list[Notification]:
        return [each for each in self._of(tenant, None) if each.seq > seq][:limit]

    async def last_seq(self, tenant: str) -> int:
        return max((each.seq for each in self._of(tenant, None)), default=0)

    async def unread_count(self, tenant: str, owner: str | None = None) -> int:
        self.calls.append("unread_count")
        return sum(each.read_at is None for each in self._of(tenant, owner))

    async def mark_read(
        self,
        tenant: str,
        *,
        ids: Sequence[UUID] | None = None,
        up_to: int | None = None,
        owner: str | None = None,
    ) -> int:
        self.calls.append("mark_read")
        marked = [
            each
            for each in self._of(tenant, owner)
            if each.read_at is None and (each.id in (ids or ()) or (up_to is not None and each.seq <= up_to))
        ]
        now = self.clock.now()
        self.rows = [replace(each, read_at=now) if each in marked else each for each in self.rows]
        return len(marked)

    def _of(self, tenant: str, owner: str | None) -> list[Notification]:
        return [each for each in self.rows if each.tenant == tenant and (owner is None or each.owner == owner)]


@dataclass
class StoredSchedules:
    clock: Clock
    calls: list[str] = field(default_factory=list)
    rows: dict[UUID, Schedule] = field(default_factory=dict)

    async def add(self, tenant: str, make: Make) -> Schedule:
        self.calls.append("add_schedule")
        made = make(self.clock.now())
        self.rows[made.id] = made
        return made

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Schedule | None]:
        self.calls.append("find_schedules")
        found = [self.rows.get(id) for id in ids]
        return [each if each is not None and each.tenant == tenant else None for each in found]

    async def page(
        self, tenant: str, request: PageRequest[UUID], *, owner: str | None = None
    ) -> Page[Schedule]:
        self.calls.append("page_schedules")
        listed = [
            each
            for _, each in sorted(self.rows.items())
            if each.tenant == tenant
            and owner in (None, each.owner)
            and (request.after is None or each.id > request.after)
            and (request.before is None or each.id < request.before)
        ]
        read = listed[::-1] if request.backwards else listed
        return page_of(read[: request.size + 1], request)

    async def change(
        self,
        tenant: str,
        id: UUID,
        change: ScheduleChange,
        *,
        version: int | None = None,
        owner: str | None = None,
    ) -> Schedule:
        self.calls.append("change_schedule")
        before = self._locked(tenant, id, version, owner)
        after = change(before, self.clock.now())
        if after != before:
            after = replace(after, version=before.version + 1, updated_at=self.clock.now())
            self.rows[id] = after
        return after

    async def delete(
        self, tenant: str, id: UUID, *, version: int | None = None, owner: str | None = None
    ) -> None:
        self.calls.append("delete_schedule")
        del self.rows[self._locked(tenant, id, version, owner).id]

    def _locked(self, tenant: str, id: UUID, version: int | None, owner: str | None) -> Schedule:
        schedule = self.rows.get(id)
        if schedule is None or schedule.tenant != tenant or owner not in (None, schedule.owner):
            raise NotFound
        if version is not None and schedule.version != version:
            raise StaleVersion
        return schedule


@dataclass
class StoredAuditLog:
    """Not among the calls: every mutation is noted."""

    clock: Clock
    rows: dict[UUID, tuple[Begun, Ended | None]] = field(default_factory=dict)
    fault: Exception | None = None

    async def begin(self, begun: Begun) -> None:
        if self.fault is not None:
            raise self.fault
        self.rows[begun.id] = (begun, None)

    def end(self, begun: Begun, ended: Ended) -> None:
        self.rows[begun.id] = (begun, ended)

    async def page(self, tenant: str, request: PageRequest[UUID]) -> Page[AuditEntry]:
        listed = [
            self._entry(begun, ended)
            for begun, ended in reversed(self.rows.values())
            if begun.caller.tenant == tenant and (request.after is None or begun.id < request.after)
        ]
        return page_of(listed[: request.size + 1], request)

    def _entry(self, begun: Begun, ended: Ended | None) -> AuditEntry:
        caller = begun.caller
        return AuditEntry(
            id=begun.id,
            at=self.clock.now(),
            operation=begun.operation,
            credential=caller.credential,
            role=caller.role,
            owner=caller.owner,
            trace_id=begun.trace_id,
            ended=ended,
        )
