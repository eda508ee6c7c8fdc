"""The mutations of tasks."""

from __future__ import annotations

from typing import Annotated, Protocol
from uuid import UUID

import strawberry

from domain.errors import NotFound
from domain.tasks.model import Task
from domain.tenancy.model import Caller
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.backpressure import adds_work
from schema.context import Ask
from schema.ids import read_task_id
from schema.permissions import changes
from schema.task_inputs import CreateTaskInput, CreateTasksInput, TaskIdInput, UpdateTaskInput
from schema.tasks import TaskNode
from schema.user_errors import Refused, UserError, user_errors

_ERRORS = "What was refused; empty when all went well."


@strawberry.type(description="What `createTask` came to.")
class CreateTaskPayload:
    task: TaskNode | None = strawberry.field(
        description="The task, or the one its key already named; null when it was refused."
    )
    created: bool = strawberry.field(description="False when the key already named this task.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="What `createTasks` came to.")
class CreateTasksPayload:
    tasks: list[TaskNode | None] = strawberry.field(
        description="The tasks in the order asked, those their keys already named among them; "
        "empty when any was refused."
    )
    created_count: int = strawberry.field(description="How many of them are new.")
    errors: list[UserError] = strawberry.field(description="What was refused, up to 100 faults.")


@strawberry.type(description="What a change of a task came to.")
class TaskPayload:
    task: TaskNode | None = strawberry.field(description="The task as it is now; null when it was refused.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="What `deleteTask` came to.")
class DeleteTaskPayload:
    deleted_id: strawberry.ID | None = strawberry.field(description="The id it had; null when it was refused.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)


@adds_work
@changes(Permission.CHANGE)
async def create_task(
    info: Ask, input: Annotated[CreateTaskInput, strawberry.argument(description="The task.")]
) -> CreateTaskPayload:
    context, caller = info.context, info.context.acting()
    try:
        added = await context.tasks.create(caller, input.draft(), context.traceparent)
    except Refused as refused:
        return CreateTaskPayload(task=None, created=False, errors=user_errors(refused))
    return CreateTaskPayload(task=_shown(caller, added.task), created=added.created, errors=[])


@adds_work
@changes(Permission.CHANGE)
async def create_tasks(
    info: Ask, input: Annotated[CreateTasksInput, strawberry.argument(description="The tasks.")]
) -> CreateTasksPayload:
    context, caller = info.context, info.context.acting()
    try:
        added = await context.tasks.create_many(
            caller, [each.draft() for each in input.tasks], context.traceparent
        )
    except Refused as refused:
        return CreateTasksPayload(tasks=[], created_count=0, errors=user_errors(refused))
    return CreateTasksPayload(
        tasks=[_shown(caller, each.task) for each in added],
        created_count=sum(each.created for each in added),
        errors=[],
    )


@changes(Permission.CHANGE)
async def update_task(
    info: Ask, input: Annotated[UpdateTaskInput, strawberry.argument(description="The change.")]
) -> TaskPayload:
    context, caller = info.context, info.context.acting()
    try:
        task = await context.tasks.update(caller, _task(input.id), input.edit(), version=given(input.version))
    except Refused as refused:
        return TaskPayload(task=None, errors=user_errors(refused))
    return TaskPayload(task=_shown(caller, task), errors=[])


@changes(Permission.CHANGE)
async def cancel_task(
    info: Ask, input: Annotated[TaskIdInput, strawberry.argument(description="Which one.")]
) -> TaskPayload:
    return await _changed(info, input, info.context.tasks.cancel)


@changes(Permission.CHANGE)
async def run_task_now(
    info: Ask, input: Annotated[TaskIdInput, strawberry.argument(description="Which one.")]
) -> TaskPayload:
    return await _changed(info, input, info.context.tasks.run_now)


@changes(Permission.CHANGE)
async def delete_task(
    info: Ask, input: Annotated[TaskIdInput, strawberry.argument(description="Which one.")]
) -> DeleteTaskPayload:
    context, caller = info.context, info.context.acting()
    try:
        await context.tasks.delete(caller, _task(input.id), version=given(input.version))
    except Refused as refused:
        return DeleteTaskPayload(deleted_id=None, errors=user_errors(refused))
    return DeleteTaskPayload(deleted_id=input.id, errors=[])


class _UseCase(Protocol):
    async def __call__(self, caller: Caller, id: UUID, *, version: int | None) -> Task: ...


async def _changed(info: Ask, input: TaskIdInput, change: _UseCase) -> TaskPayload:
    caller = info.context.acting()
    try:
        task = await change(caller, _task(input.id), version=given(input.version))
    except Refused as refused:
        return TaskPayload(task=None, errors=user_errors(refused))
    return TaskPayload(task=_shown(caller, task), errors=[])


def _task(id: strawberry.ID) -> UUID:
    """Raises NotFound for what is no id of a task, as for one that is of none."""
    uuid = read_task_id(id)
    if uuid is None:
        raise NotFound("There is no such task.", ("id",))
    return uuid


def _shown(caller: Caller, task: Task) -> TaskNode | None:
    """A key may name a task that was given to another owner since."""
    return TaskNode.of(task) if caller.may_see(task.owner) else None
