"""What clients follow live."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from domain.attempts import activity
from domain.attempts import model as attempts
from domain.contracts.tasks import TaskChangedV1
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.activity import LogLine, Progress
from schema.context import Ask, Context
from schema.enums import TaskEventKind, TaskState
from schema.filters import TaskFilterInput, matches, read_filter, read_line
from schema.ids import event_id, read_task_id, task_id
from schema.notifications import NotificationNode, Owner
from schema.paging import read_stream_cursor
from schema.permissions import needs
from schema.refusals import invalid, not_found, refused
from schema.scalars import Cursor
from schema.tasks import TaskNode


@strawberry.type(description="A change of a task.")
class TaskEvent:
    id: strawberry.ID = strawberry.field(description="The same when the event comes a second time.")
    kind: TaskEventKind = strawberry.field(description="What happened.")
    at: datetime = strawberry.field(description="When.")
    attempt: int = strawberry.field(description="How many attempts of the task had started.")
    state: TaskState = strawberry.field(description="The state it brought the task to.")
    task_id: strawberry.ID = strawberry.field(description="The task's, which is gone after DELETED.")
    of_task: strawberry.Private[UUID]
    traceparent: strawberry.Private[str]

    async def _task(self, info: Ask) -> TaskNode | None:
        found = await info.context.loaders.task(self.of_task)
        return None if found is None else TaskNode.of(found)

    task: TaskNode | None = strawberry.field(
        resolver=_task,
        description="The task as it is when the event is delivered, never older than the event; "
        "null when it is gone.",
    )

    @staticmethod
    def of(event: TaskChangedV1) -> TaskEvent:
        return TaskEvent(
            id=event_id(event.task_id, event.version),
            kind=event.kind,
            at=event.at,
            attempt=event.attempt,
            state=TaskState(event.state),
            task_id=task_id(event.task_id),
            of_task=event.task_id,
            traceparent=event.traceparent,
        )


TaskActivity = Annotated[
    Progress | LogLine | TaskEvent,
    strawberry.union("TaskActivity", description="What a task does while it is followed."),
]


@needs(Permission.READ)
async def follow_notifications(
    info: Ask,
    after: Annotated[
        Cursor | None,
        strawberry.argument(description="The last cursor you saw; absent means from now on."),
    ] = strawberry.UNSET,
    owner: Owner = strawberry.UNSET,
) -> AsyncGenerator[NotificationNode, None]:
    context = info.context
    # A client that reconnects by itself repeats the operation as it was, and only this is new.
    remembered = context.resume_after
    seq = _seq(given(after)) if remembered is None else _resumed_seq(remembered)
    following = context.notifications.follow(context.caller, after=seq, owner=read_line("owner", given(owner)))
    async with aclosing(following):
        async for notification in following:
            yield NotificationNode.of(notification)


@needs(Permission.READ)
async def task_events(
    info: Ask,
    filter: Annotated[
        TaskFilterInput | None,
        strawberry.argument(description="Which tasks, judged by the event; absent means all."),
    ] = strawberry.UNSET,
    task_id: Annotated[
        strawberry.ID | None, strawberry.argument(description="This task alone.")
    ] = strawberry.UNSET,
) -> AsyncGenerator[TaskEvent, None]:
    context = info.context
    wanted = read_filter(given(filter))
    async with context.task_feed.watch(context.caller.tenant) as events:
        # Looked up while already watching: what happens meanwhile is not missed.
        task = await _known(context, given(task_id))
        async for event in events:
            if task not in (None, event.task_id) or not context.caller.may_see(event.owner):
                continue
            if matches(event, wanted):
                yield TaskEvent.of(event)


def _seq(cursor: Cursor | None) -> int | None:
    if cursor is None:
        return None
    seq = read_stream_cursor(cursor)
    if seq is None:
        raise invalid("`after` is no cursor of a notification.", "after")
    return seq


def _resumed_seq(remembered: str) -> int:
    seq = read_stream_cursor(remembered)
    if seq is None:
        raise refused("INVALID", "The header `Last-Event-ID` holds no cursor of a notification.")
    return seq


@needs(Permission.READ)
async def task_activity(
    info: Ask, task_id: Annotated[strawberry.ID, strawberry.argument(description="Which one.")]
) -> AsyncGenerator[TaskActivity, None]:
    context = info.context
    task = await _known(context, task_id)
    assert task is not None, "an id was given"
    caller = context.caller
    async with context.activity_feed.follow(caller.tenant, task, owner=caller.owner) as items:
        async for item in items:
            yield _activity(item)


def _activity(item: activity.LogLine | attempts.Progress | TaskChangedV1) -> Progress | LogLine | TaskEvent:
    match item:
        case activity.LogLine():
            return LogLine.of(item)
        case attempts.Progress():
            return Progress.of(item)
        case TaskChangedV1():
            return TaskEvent.of(item)


async def _known(context: Context, id: strawberry.ID | None) -> UUID | None:
    if id is None:
        return None
    task = read_task_id(id)
    if task is None or await context.loaders.task(task) is None:
        raise not_found("There is no such task.")
    return task
