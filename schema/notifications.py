"""Notifications as GraphQL sees them: read, and marked as read. They are followed in schema.live."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from domain.notifications.model import Notification
from domain.paging import MAX_PAGE, Page
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.context import Ask
from schema.enums import NotificationKind
from schema.filters import read_line
from schema.ids import notification_id
from schema.node import Node
from schema.paging import (
    After,
    Before,
    First,
    Last,
    PageInfo,
    page_info,
    page_request,
    read_stream_cursor,
    stream_cursor,
)
from schema.permissions import needs
from schema.scalars import Cursor
from schema.tally import large_of_notifications

if TYPE_CHECKING:
    from schema.tasks import TaskNode

Owner = Annotated[str | None, strawberry.argument(description="Only this owner's.")]
UnreadOnly = Annotated[bool | None, strawberry.argument(description="Leave out those marked as read.")]


@strawberry.type(name="Notification", description="Something a person is told.")
class NotificationNode(Node):
    cursor: Cursor = strawberry.field(
        description="Its place in the tenant's stream; the same value as its edge's cursor, "
        "good for `after` in both."
    )
    kind: NotificationKind = strawberry.field(description="What it tells.")
    title: str = strawberry.field(description="The title of the task, as it was then.")
    body: str | None = strawberry.field(description="What the reminder says, or what went wrong.")
    owner: str | None = strawberry.field(description="The owner of the task it tells of.")
    task_id: strawberry.Private[UUID | None]
    traceparent: strawberry.Private[str]

    async def _task(self, info: Ask) -> Annotated[TaskNode, strawberry.lazy("schema.tasks")] | None:
        from schema.tasks import TaskNode  # noqa: PLC0415  tasks and notifications refer to each other

        if self.task_id is None:
            return None
        found = await info.context.loaders.task(self.task_id)
        return None if found is None else TaskNode.of(found)

    task: Annotated[TaskNode, strawberry.lazy("schema.tasks")] | None = strawberry.field(
        resolver=_task, description="The task it tells of, as it is now; null when it is gone."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    read_at: datetime | None = strawberry.field(
        description="When it was marked as read; null while it is unread."
    )

    @staticmethod
    def of(notification: Notification) -> NotificationNode:
        return NotificationNode(
            id=notification_id(notification.id),
            cursor=Cursor(stream_cursor(notification.seq)),
            kind=notification.kind,
            title=notification.title,
            body=notification.body,
            owner=notification.owner,
            task_id=notification.task_id,
            traceparent=notification.traceparent,
            created_at=notification.created_at,
            read_at=notification.read_at,
        )


@strawberry.type(description="A notification and its place in the stream.")
class NotificationEdge:
    cursor: str = strawberry.field(description="Its place, for `after` and `before`.")
    node: NotificationNode = strawberry.field(description="The notification.")


@strawberry.type(description="A page of notifications, in the order of the tenant's stream.")
class NotificationConnection:
    edges: list[NotificationEdge] = strawberry.field(description="The notifications with their cursors.")
    nodes: list[NotificationNode] = strawberry.field(description="The notifications.")
    page_info: PageInfo = strawberry.field(description="Whether there are more.")
    of_owner: strawberry.Private[str | None] = None
    of_task: strawberry.Private[UUID | None] = None

    async def _unread_count(self, info: Ask) -> int:
        context = info.context
        if self.of_task is None:
            return await context.notifications.unread_count(context.caller, self.of_owner)
        found = await context.loaders.notifications(self.of_task, MAX_PAGE, 0)
        return sum(each.read_at is None for each in found)

    unread_count: int = strawberry.field(
        resolver=_unread_count,
        description="How many of the list are unread, whatever page this is; of a task's notifications, "
        f"among the first {MAX_PAGE}.",
    )

    @staticmethod
    def of(
        page: Page[Notification], *, owner: str | None = None, task: UUID | None = None
    ) -> NotificationConnection:
        """The tenant's, those of an owner, or those of a task."""
        nodes = [NotificationNode.of(each) for each in page.items]
        return NotificationConnection(
            edges=[NotificationEdge(cursor=each.cursor, node=each) for each in nodes],
            nodes=nodes,
            page_info=page_info(
                [each.cursor for each in nodes], has_next=page.has_next, has_previous=page.has_previous
            ),
            of_owner=owner,
            of_task=task,
        )


@needs(Permission.READ)
async def notifications(
    info: Ask,
    *,
    first: First = strawberry.UNSET,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
    unread_only: UnreadOnly = False,
    owner: Owner = strawberry.UNSET,
) -> NotificationConnection:
    request = page_request(
        read_stream_cursor, first=given(first), after=given(after), last=given(last), before=given(before)
    )
    context, of_owner = info.context, read_line("owner", given(owner))
    page = await context.tally.read(
        lambda: context.notifications.page(
            context.caller, request, owner=of_owner, unread_only=bool(unread_only)
        ),
        lambda page: large_of_notifications(page.items),
    )
    return NotificationConnection.of(page, owner=of_owner)


async def notifications_of_task(
    info: Ask, task: UUID, first: int | None, after: str | None
) -> NotificationConnection:
    request = page_request(read_stream_cursor, first=first, after=after)
    # One more than the page tells that there is more.
    found = await info.context.loaders.notifications(task, request.size + 1, request.after or 0)
    page = Page(
        items=tuple(found[: request.size]),
        has_next=len(found) > request.size,
        has_previous=request.after is not None,
    )
    return NotificationConnection.of(page, task=task)
