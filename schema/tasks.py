"""Tasks as GraphQL sees them: what they are, and how they are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.types import get_object_definition

from domain.attempts.activity import LINES_KEPT
from domain.paging import Page
from domain.tasks.listing import TaskFilter
from domain.tasks.model import Task
from domain.tenancy.permissions import Permission
from domain.work.validation import MAX_LABELS
from schema.absent import given
from schema.actions import Action
from schema.activity import LogLine, Progress
from schema.attempts import AttemptConnection, TaskError
from schema.context import Ask
from schema.enums import TaskOrder, TaskState
from schema.filters import TaskFilterInput, read_filter, read_line
from schema.ids import read_task_id, task_id
from schema.labels import Label
from schema.marks import items
from schema.node import Node
from schema.notifications import NotificationConnection, notifications_of_task
from schema.paging import (
    After,
    Before,
    First,
    Last,
    PageInfo,
    page_info,
    page_request,
    read_attempt_cursor,
    read_task_cursor,
    task_cursor,
)
from schema.permissions import needs
from schema.refusals import invalid
from schema.scalars import Json
from schema.tally import LARGE_OF_TASKS, large_of_tasks

if TYPE_CHECKING:
    from schema.schedules import ScheduleNode

LINES_SHOWN = 100
"""Of a log, when nothing is said."""


@strawberry.type(name="Task", description="One unit of work, due at one instant.")
class TaskNode(Node):
    title: str = strawberry.field(description="What it is called, in one line.")
    description: str | None = strawberry.field(description="What it is about.")
    state: TaskState = strawberry.field(description="Where it is in its life.")
    scheduled_at: datetime = strawberry.field(
        description="When it is due: as asked for, then as its retries and snoozes move it."
    )
    action: Action = strawberry.field(description="What it does.")
    queue: str = strawberry.field(description="The queue it is worked off in.")
    priority: int = strawberry.field(description="0 is the most urgent, 9 the least.")
    key: str | None = strawberry.field(description="The caller's name for it, unique within the tenant.")
    concurrency_key: str | None = strawberry.field(
        description="What it shares with the tasks of which one at a time runs."
    )
    owner: str | None = strawberry.field(
        description="The person it is for, as the caller's application names them; "
        "null when it is for the whole tenant."
    )
    labels: list[Label] = strawberry.field(
        metadata=items(MAX_LABELS),
        description="The caller's own references (an order, a customer), to find tasks by.",
    )
    attempt: int = strawberry.field(description="How many attempts have started.")
    max_attempts: int = strawberry.field(
        description="How many there may be, those before it was run again and snoozed ones not counted."
    )
    timeout: timedelta = strawberry.field(description="How long one attempt may take.")

    async def _progress(self, info: Ask) -> Progress | None:
        found = await info.context.loaders.progress(self.task.id)
        return None if found is None else Progress.of(found)

    progress: Progress | None = strawberry.field(
        resolver=_progress, description="0 to 1, as the running handler last reported it."
    )
    result: Json | None = strawberry.field(description="What it came to, when it succeeded.")
    error: TaskError | None = strawberry.field(description="Why its latest attempt did not succeed.")
    created_at: datetime = strawberry.field(description="When it was made.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    started_at: datetime | None = strawberry.field(description="When its latest attempt started.")
    finished_at: datetime | None = strawberry.field(description="When it ended; null until then.")
    version: int = strawberry.field(
        description="Grows with every change; pass it to a mutation to refuse a lost update."
    )
    trace_id: str | None = strawberry.field(description="W3C trace id of the request that made this task.")
    fire_time: datetime | None = strawberry.field(
        description="What its schedule made it for; with jitter it is due later. Null when no schedule made it."
    )
    task: strawberry.Private[Task]

    def __init__(self, task: Task) -> None:
        """Its fields are read from the task when they are asked for: of a list, few are."""
        self.task = task

    async def _schedule(self, info: Ask) -> Annotated[ScheduleNode, strawberry.lazy("schema.schedules")] | None:
        from schema.schedules import ScheduleNode  # noqa: PLC0415  tasks and schedules refer to each other

        if self.task.schedule_id is None:
            return None
        found = await info.context.loaders.schedule(self.task.schedule_id)
        return None if found is None else ScheduleNode.of(found)

    schedule: Annotated[ScheduleNode, strawberry.lazy("schema.schedules")] | None = strawberry.field(
        resolver=_schedule, description="The schedule that made it; null when none did, or it is gone."
    )

    async def _attempts(
        self, info: Ask, first: First = 20, after: After = strawberry.UNSET
    ) -> AttemptConnection:
        place = partial(read_attempt_cursor, task=self.task.id)
        request = page_request(place, first=first, after=given(after))
        start = request.after or 0
        # One more than the page tells that there is more.
        found = await info.context.loaders.attempts(self.task.id, request.size + 1, start)
        return AttemptConnection.of(self.task.id, found, request.size, start)

    attempts: AttemptConnection = strawberry.field(
        resolver=_attempts, description="Its attempts, in the order they started."
    )

    async def _notifications(
        self, info: Ask, first: First = 20, after: After = strawberry.UNSET
    ) -> NotificationConnection:
        return await notifications_of_task(info, self.task.id, first, given(after))

    notifications: NotificationConnection = strawberry.field(
        resolver=_notifications, description="What people were told of it."
    )

    async def _log(
        self,
        info: Ask,
        last: Annotated[int | None, strawberry.argument(description=f"From 1 to {LINES_KEPT}.")] = LINES_SHOWN,
    ) -> list[LogLine]:
        size = LINES_SHOWN if last is None else last
        if not 1 <= size <= LINES_KEPT:
            raise invalid(f"`last` is from 1 to {LINES_KEPT}.", "last")
        return [LogLine.of(each) for each in await info.context.loaders.log(self.task.id, size)]

    log: list[LogLine] = strawberry.field(
        resolver=_log,
        description=f"The last lines its handler wrote, oldest first; {LINES_KEPT} of them are kept.",
    )

    @staticmethod
    def of(task: Task) -> TaskNode:
        return TaskNode(task)


def _read_error(node: TaskNode) -> TaskError | None:
    error = node.task.error
    return None if error is None else TaskError(type=error.type, message=error.message, attempt=error.attempt)


def _read_result(node: TaskNode) -> Json | None:
    return None if node.task.result is None else Json(node.task.result)


_MADE: dict[str, Callable[[Any], object]] = {
    "id": lambda node: task_id(node.task.id),
    "action": lambda node: Action.of(node.task.action),
    "labels": lambda node: [Label(name=name, value=value) for name, value in node.task.labels],
    "max_attempts": attrgetter("task.retry.max_attempts"),
    "result": _read_result,
    "error": _read_error,
}
"""Fields that are not as the task has them."""

for _field in get_object_definition(TaskNode, strict=True).fields:
    _name = _field.python_name
    if _field.is_basic_field and _name != "task":
        setattr(TaskNode, _name, property(_MADE.get(_name) or attrgetter(f"task.{_name}")))


@strawberry.type(description="A task and its place in the list.")
class TaskEdge:
    cursor: str = strawberry.field(description="Its place, for `after` and `before` in the same order.")
    node: TaskNode = strawberry.field(description="The task.")


@strawberry.type(description="A page of a list of tasks.")
class TaskConnection:
    def _edges(self) -> list[TaskEdge]:
        cursors = _cursors(self.items, self.order)
        return [TaskEdge(cursor=cursor, node=node) for cursor, node in zip(cursors, self.nodes, strict=True)]

    edges: list[TaskEdge] = strawberry.field(resolver=_edges, description="The tasks with their cursors.")
    nodes: list[TaskNode] = strawberry.field(description="The tasks.")
    page_info: PageInfo = strawberry.field(description="Whether there are more.")
    items: strawberry.Private[Sequence[Task]]
    wanted: strawberry.Private[TaskFilter]
    order: strawberry.Private[TaskOrder]

    async def _total_count(self, info: Ask) -> int | None:
        return await info.context.tasks.count(info.context.caller, self.wanted)

    total_count: int | None = strawberry.field(
        resolver=_total_count, description="Counted only when asked for, up to 10,000; null means more."
    )

    @staticmethod
    def of(page: Page[Task], wanted: TaskFilter, order: TaskOrder) -> TaskConnection:
        ends = list(_cursors((*page.items[:1], *page.items[-1:]), order))
        return TaskConnection(
            nodes=[TaskNode.of(each) for each in page.items],
            page_info=page_info(ends, has_next=page.has_next, has_previous=page.has_previous),
            items=page.items,
            wanted=wanted,
            order=order,
        )


_ORDERED_BY: dict[TaskOrder, Callable[[Task], datetime]] = {
    TaskOrder.SCHEDULED_AT_ASC: attrgetter("scheduled_at"),
    TaskOrder.SCHEDULED_AT_DESC: attrgetter("scheduled_at"),
    TaskOrder.CREATED_AT_DESC: attrgetter("created_at"),
    TaskOrder.UPDATED_AT_DESC: attrgetter("updated_at"),
}


def _cursors(tasks: Iterable[Task], order: TaskOrder) -> Iterator[str]:
    at = _ORDERED_BY[order]
    return (task_cursor(at(task), task.id, order) for task in tasks)


@needs(Permission.READ)
async def task(
    info: Ask,
    id: Annotated[
        strawberry.ID | None, strawberry.argument(description="Its global id; this or `key`.")
    ] = strawberry.UNSET,
    key: Annotated[
        str | None, strawberry.argument(description="The caller's name for it; this or `id`.")
    ] = strawberry.UNSET,
) -> TaskNode | None:
    id, key = given(id), read_line("key", given(key))
    context = info.context
    if (id is None) == (key is None):
        raise invalid("Ask by `id` or by `key`.", "id")
    if id is not None:
        uuid = read_task_id(id)
        found = None if uuid is None else await context.loaders.task(uuid)
    else:
        found = await context.tally.read(
            lambda: context.tasks.by_key(context.caller, key or ""), lambda task: large_of_tasks([task])
        )
    return None if found is None else TaskNode.of(found)


@needs(Permission.READ)
async def tasks(
    info: Ask,
    *,
    first: First = strawberry.UNSET,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
    filter: Annotated[
        TaskFilterInput | None, strawberry.argument(description="Which of them; absent means all.")
    ] = strawberry.UNSET,
    order_by: Annotated[
        TaskOrder | None, strawberry.argument(description="In which order.")
    ] = TaskOrder.SCHEDULED_AT_ASC,
) -> TaskConnection:
    order = order_by or TaskOrder.SCHEDULED_AT_ASC
    return await list_tasks(
        info,
        read_filter(given(filter)),
        order,
        first=given(first),
        after=given(after),
        last=given(last),
        before=given(before),
    )


async def list_tasks(
    info: Ask,
    wanted: TaskFilter,
    order: TaskOrder,
    *,
    first: int | None,
    after: str | None,
    last: int | None = None,
    before: str | None = None,
) -> TaskConnection:
    """A page of those the caller may see."""
    place = partial(read_task_cursor, order=order)
    request = page_request(place, first=first, after=after, last=last, before=before)
    context, reading = info.context, info.reading
    small = reading is not None and reading.isdisjoint(LARGE_OF_TASKS)
    page = await context.tally.read(
        lambda: context.tasks.page(context.caller, wanted, order, request, reading),
        lambda page: None if small else large_of_tasks(page.items),
    )
    return TaskConnection.of(page, wanted, order)
