"""The mutation of notifications."""

from __future__ import annotations

from typing import Annotated

import strawberry

from domain.errors import Invalid
from domain.tenancy.model import Caller
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.context import Ask, Context
from schema.ids import read_notification_id
from schema.paging import read_stream_cursor
from schema.permissions import changes
from schema.scalars import Cursor
from schema.user_errors import Refused, UserError, user_errors


@strawberry.input(one_of=True, description="Either these ids, or everything up to a cursor.")
class MarkNotificationsReadInput:
    ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET, description="Up to 1,000 notifications."
    )
    up_to: Cursor | None = strawberry.field(
        default=strawberry.UNSET, description="Everything up to this place, itself included."
    )


@strawberry.type(description="What `markNotificationsRead` came to.")
class MarkNotificationsReadPayload:
    count: int = strawberry.field(description="How many were unread before.")
    unread_count: int = strawberry.field(description="How many still are.")
    errors: list[UserError] = strawberry.field(description="What was refused; empty when all went well.")


@changes(Permission.CHANGE)
async def mark_notifications_read(
    info: Ask,
    input: Annotated[MarkNotificationsReadInput, strawberry.argument(description="Which of them.")],
) -> MarkNotificationsReadPayload:
    context, caller = info.context, info.context.acting()
    count, errors = 0, list[UserError]()
    try:
        count = await _marked(context, caller, input)
    except Refused as refused:
        errors = user_errors(refused)
    unread = await context.notifications.unread_count(caller)
    return MarkNotificationsReadPayload(count=count, unread_count=unread, errors=errors)


async def _marked(context: Context, caller: Caller, input: MarkNotificationsReadInput) -> int:
    ids, up_to = given(input.ids), given(input.up_to)
    if up_to is None:
        return await context.notifications.mark_read(caller, [read_notification_id(id) for id in ids or []])
    seq = read_stream_cursor(up_to)
    if seq is None:
        raise Invalid("It is no cursor of a notification.", ("upTo",))
    return await context.notifications.mark_read_up_to(caller, seq)
