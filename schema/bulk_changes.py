"""The mutations of many tasks at once."""

from __future__ import annotations

from typing import Annotated

import strawberry
from graphql import GraphQLError

from domain.errors import Invalid
from domain.tasks.bulk import DEFAULT_LIMIT, MAX_LIMIT
from domain.tasks.listing import TaskFilter
from domain.tenancy.permissions import Permission
from schema.backpressure import adds_work
from schema.context import Ask
from schema.filters import TaskFilterInput, read_filter
from schema.permissions import changes
from schema.user_errors import Refused, UserError, user_errors

_FILTER = "Which of them; it must have a condition at least."
_LIMIT = f"How many at most, from 1 to {MAX_LIMIT:,}. Repeat it for the rest."
_DRY_RUN = "Change nothing: only count, up to the limit."
_COUNT = "How many were changed, or with `dryRun` would have been."
_ERRORS = "What was refused; empty when all went well."


@strawberry.input(description="Tasks to run again.")
class ReplayTasksInput:
    filter: TaskFilterInput = strawberry.field(
        description=f"{_FILTER} Without `states`, those that FAILED; "
        "those may be SUCCEEDED, FAILED and CANCELLED."
    )
    limit: int | None = strawberry.field(default=DEFAULT_LIMIT, description=_LIMIT)
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)


@strawberry.input(description="Tasks to call off.")
class CancelTasksInput:
    filter: TaskFilterInput = strawberry.field(description=_FILTER)
    limit: int | None = strawberry.field(default=DEFAULT_LIMIT, description=_LIMIT)
    dry_run: bool | None = strawberry.field(default=False, description=_DRY_RUN)


@strawberry.type(description="What `replayTasks` came to.")
class ReplayTasksPayload:
    count: int = strawberry.field(description=_COUNT)
    errors: list[UserError] = strawberry.field(description=_ERRORS)


@strawberry.type(description="What `cancelTasks` came to.")
class CancelTasksPayload:
    count: int = strawberry.field(description=f"{_COUNT} Running ones were asked to stop.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)


@adds_work
@changes(Permission.CHANGE)
async def replay_tasks(
    info: Ask, input: Annotated[ReplayTasksInput, strawberry.argument(description="Which ones.")]
) -> ReplayTasksPayload:
    context, caller = info.context, info.context.acting()
    try:
        count = await context.bulk.replay(
            caller, _filter(input.filter), _limit(input.limit), dry_run=bool(input.dry_run)
        )
    except Refused as refused:
        return ReplayTasksPayload(count=0, errors=user_errors(refused))
    return ReplayTasksPayload(count=count, errors=[])


@changes(Permission.CHANGE)
async def cancel_tasks(
    info: Ask, input: Annotated[CancelTasksInput, strawberry.argument(description="Which ones.")]
) -> CancelTasksPayload:
    context, caller = info.context, info.context.acting()
    try:
        count = await context.bulk.cancel(
            caller, _filter(input.filter), _limit(input.limit), dry_run=bool(input.dry_run)
        )
    except Refused as refused:
        return CancelTasksPayload(count=0, errors=user_errors(refused))
    return CancelTasksPayload(count=count, errors=[])


def _filter(wanted: TaskFilterInput) -> TaskFilter:
    """Raises Invalid where a query would have a GraphQL error: a mutation says it in its payload."""
    try:
        return read_filter(wanted)
    except GraphQLError as fault:
        argument = str((fault.extensions or {}).get("argument", "filter"))
        raise Invalid(fault.message, tuple(argument.split("."))) from fault


def _limit(limit: int | None) -> int:
    return DEFAULT_LIMIT if limit is None else limit
