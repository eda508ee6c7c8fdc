"""The mutations of schedules."""

from __future__ import annotations

from typing import Annotated, Protocol
from uuid import UUID

import strawberry

from domain.errors import NotFound
from domain.schedules.model import Schedule
from domain.tenancy.model import Caller
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.context import Ask
from schema.ids import read_schedule_id
from schema.permissions import changes
from schema.schedule_inputs import CreateScheduleInput, ScheduleIdInput, UpdateScheduleInput
from schema.schedules import ScheduleNode
from schema.user_errors import Refused, UserError, user_errors

_ERRORS = "What was refused; empty when all went well."


@strawberry.type(description="What a change of a schedule came to.")
class SchedulePayload:
    schedule: ScheduleNode | None = strawberry.field(
        description="The schedule as it is now; null when it was refused."
    )
    errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="What `deleteSchedule` came to.")
class DeleteSchedulePayload:
    deleted_id: strawberry.ID | None = strawberry.field(description="The id it had; null when it was refused.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)


@changes(Permission.CHANGE)
async def create_schedule(
    info: Ask, input: Annotated[CreateScheduleInput, strawberry.argument(description="The schedule.")]
) -> SchedulePayload:
    context, caller = info.context, info.context.acting()
    try:
        made = await context.schedules.create(caller, input.draft())
    except Refused as refused:
        return SchedulePayload(schedule=None, errors=user_errors(refused))
    return SchedulePayload(schedule=ScheduleNode.of(made), errors=[])


@changes(Permission.CHANGE)
async def update_schedule(
    info: Ask, input: Annotated[UpdateScheduleInput, strawberry.argument(description="The change.")]
) -> SchedulePayload:
    context, caller = info.context, info.context.acting()
    try:
        changed = await context.schedules.update(
            caller, _schedule(input.id), input.edit(), version=given(input.version)
        )
    except Refused as refused:
        return SchedulePayload(schedule=None, errors=user_errors(refused))
    return SchedulePayload(schedule=ScheduleNode.of(changed), errors=[])


@changes(Permission.CHANGE)
async def pause_schedule(
    info: Ask, input: Annotated[ScheduleIdInput, strawberry.argument(description="Which one.")]
) -> SchedulePayload:
    return await _changed(info, input, info.context.schedules.pause)


@changes(Permission.CHANGE)
async def resume_schedule(
    info: Ask, input: Annotated[ScheduleIdInput, strawberry.argument(description="Which one.")]
) -> SchedulePayload:
    return await _changed(info, input, info.context.schedules.resume)


@changes(Permission.CHANGE)
async def delete_schedule(
    info: Ask, input: Annotated[ScheduleIdInput, strawberry.argument(description="Which one.")]
) -> DeleteSchedulePayload:
    context, caller = info.context, info.context.acting()
    try:
        await context.schedules.delete(caller, _schedule(input.id), version=given(input.version))
    except Refused as refused:
        return DeleteSchedulePayload(deleted_id=None, errors=user_errors(refused))
    return DeleteSchedulePayload(deleted_id=input.id, errors=[])


class _UseCase(Protocol):
    async def __call__(self, caller: Caller, id: UUID, *, version: int | None) -> Schedule: ...


async def _changed(info: Ask, input: ScheduleIdInput, change: _UseCase) -> SchedulePayload:
    caller = info.context.acting()
    try:
        changed = await change(caller, _schedule(input.id), version=given(input.version))
    except Refused as refused:
        return SchedulePayload(schedule=None, errors=user_errors(refused))
    return SchedulePayload(schedule=ScheduleNode.of(changed), errors=[])


def _schedule(id: strawberry.ID) -> UUID:
    """Raises NotFound for what is no id of a schedule, as for one that is of none."""
    uuid = read_schedule_id(id)
    if uuid is None:
        raise NotFound("There is no such schedule.", ("id",))
    return uuid
