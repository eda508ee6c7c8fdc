"""Schedules as GraphQL sees them: what they are, when they fire, and how they are listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from domain.paging import Page
from domain.schedules.model import Schedule, TaskTemplate
from domain.tasks.listing import TaskFilter, TaskOrder
from domain.tenancy.permissions import Permission
from domain.work.validation import MAX_LABELS
from schema.absent import given
from schema.actions import Action
from schema.context import Ask
from schema.enums import MisfirePolicy, OverlapPolicy
from schema.filters import TaskFilterInput, read_filter, read_line
from schema.ids import read_schedule_id, schedule_id
from schema.labels import Label
from schema.marks import items
from schema.node import Node
from schema.paging import (
    After,
    First,
    PageInfo,
    page_info,
    page_request,
    page_size,
    read_schedule_cursor,
    schedule_cursor,
)
from schema.permissions import needs
from schema.recurrences import Recurrence
from schema.scalars import TimeZone
from schema.tally import large_of_schedules
from schema.tasks import TaskConnection, list_tasks


@strawberry.type(description="What each task of a schedule will be.")
class ScheduledTask:
    title: str = strawberry.field(description="What it will be called.")
    description: str | None = strawberry.field(description="What it will be about.")
    owner: str | None = strawberry.field(
        description="The person it will be for; null when it is for the whole tenant."
    )
    labels: list[Label] = strawberry.field(metadata=items(MAX_LABELS), description="The labels it will have.")
    action: Action = strawberry.field(description="What it will do.")
    queue: str = strawberry.field(description="The queue it will be worked off in.")
    priority: int = strawberry.field(description="0 is the most urgent, 9 the least.")
    concurrency_key: str | None = strawberry.field(
        description="What it will share with the tasks of which one at a time runs."
    )
    max_attempts: int = strawberry.field(description="How many attempts it will have.")
    timeout: timedelta = strawberry.field(description="How long one attempt may take.")

    @staticmethod
    def of(template: TaskTemplate) -> ScheduledTask:
        return ScheduledTask(
            title=template.title,
            description=template.description,
            owner=template.owner,
            labels=[Label(name=name, value=value) for name, value in template.labels],
            action=Action.of(template.action),
            queue=template.queue,
            priority=template.priority,
            concurrency_key=template.concurrency_key,
            max_attempts=template.retry.max_attempts,
            timeout=template.timeout,
        )


@strawberry.type(name="Schedule", description="A recurrence in a time zone, which makes tasks.")
class ScheduleNode(Node):
    name: str = strawberry.field(description="What it is called.")
    recurrence: Recurrence = strawberry.field(description="How often it fires.")
    time_zone: TimeZone = strawberry.field(description="The zone its times of day are in.")
    starts_at: datetime | None = strawberry.field(description="It does not fire before.")
    ends_at: datetime | None = strawberry.field(description="It does not fire after.")
    jitter: timedelta | None = strawberry.field(
        description="How far the tasks are spread after their fire times; null when they are not."
    )
    misfire_policy: MisfirePolicy = strawberry.field(
        description="What becomes of fire times that passed while nothing ran."
    )
    catch_up_window: timedelta = strawberry.field(description="How late a missed fire time may still fire.")
    overlap_policy: OverlapPolicy = strawberry.field(
        description="What a fire time does while the previous task has not ended."
    )
    paused: bool = strawberry.field(description="While it is, it does not fire.")
    fault: str | None = strawberry.field(
        description="Why Carillon paused it: a recurrence that this version does not understand any more."
    )
    owner: str | None = strawberry.field(description="The owner of its tasks.")
    task: ScheduledTask = strawberry.field(description="What each of its tasks will be.")
    held_fire_time: datetime | None = strawberry.field(
        description="The fire time that waits for the previous task to end."
    )
    version: int = strawberry.field(
        description="Grows with every change by a caller; pass it to a mutation to refuse a lost update."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    updated_at: datetime = strawberry.field(description="When it was last changed by a caller.")
    schedule: strawberry.Private[Schedule]

    async def _next_fire_times(
        self,
        info: Ask,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 5,
    ) -> list[datetime]:
        return await info.context.fire_times.of_schedule(self.schedule, page_size(first, "first"))

    next_fire_times: list[datetime] = strawberry.field(
        resolver=_next_fire_times,
        description="The next fire times, in order; none while it is paused, and once it has ended.",
    )

    async def _tasks(
        self,
        info: Ask,
        first: First = 20,
        after: After = strawberry.UNSET,
        filter: Annotated[
            TaskFilterInput | None, strawberry.argument(description="Which of them; absent means all.")
        ] = strawberry.UNSET,
    ) -> TaskConnection:
        wanted = read_filter(given(filter))
        if wanted.schedule not in (None, self.schedule.id):
            return TaskConnection.of(Page(items=(), has_next=False, has_previous=False), TaskFilter(), ORDER)
        return await list_tasks(
            info, replace(wanted, schedule=self.schedule.id), ORDER, first=first, after=given(after)
        )

    tasks: TaskConnection = strawberry.field(
        resolver=_tasks, description="The tasks it made, the one due first first."
    )

    @staticmethod
    def of(schedule: Schedule) -> ScheduleNode:
        return ScheduleNode(
            id=schedule_id(schedule.id),
            name=schedule.name,
            recurrence=Recurrence.of(schedule.recurrence),
            time_zone=TimeZone(schedule.zone),
            starts_at=schedule.starts_at,
            ends_at=schedule.ends_at,
            jitter=schedule.jitter or None,
            misfire_policy=schedule.misfire_policy,
            catch_up_window=schedule.catch_up_window,
            overlap_policy=schedule.overlap_policy,
            paused=schedule.paused,
            fault=schedule.fault,
            owner=schedule.owner,
            task=ScheduledTask.of(schedule.task),
            held_fire_time=schedule.held_fire_time,
            version=schedule.version,
            created_at=schedule.created_at,
            updated_at=schedule.updated_at,
            schedule=schedule,
        )


ORDER = TaskOrder.SCHEDULED_AT_ASC
"""Of the tasks of a schedule."""


@strawberry.type(description="A schedule and its place in the list.")
class ScheduleEdge:
    cursor: str = strawberry.field(description="Its place, for `after`.")
    node: ScheduleNode = strawberry.field(description="The schedule.")


@strawberry.type(description="A page of a list of schedules.")
class ScheduleConnection:
    edges: list[ScheduleEdge] = strawberry.field(description="The schedules with their cursors.")
    nodes: list[ScheduleNode] = strawberry.field(description="The schedules.")
    page_info: PageInfo = strawberry.field(description="Whether there are more.")

    @staticmethod
    def of(page: Page[Schedule]) -> ScheduleConnection:
        nodes = [ScheduleNode.of(each) for each in page.items]
        cursors = [schedule_cursor(each.id) for each in page.items]
        return ScheduleConnection(
            edges=[ScheduleEdge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)],
            nodes=nodes,
            page_info=page_info(cursors, has_next=page.has_next, has_previous=page.has_previous),
        )


@needs(Permission.READ)
async def schedule(
    info: Ask, id: Annotated[strawberry.ID, strawberry.argument(description="Its global id.")]
) -> ScheduleNode | None:
    uuid = read_schedule_id(id)
    found = None if uuid is None else await info.context.loaders.schedule(uuid)
    return None if found is None else ScheduleNode.of(found)


@needs(Permission.READ)
async def schedules(
    info: Ask,
    first: First = strawberry.UNSET,
    after: After = strawberry.UNSET,
    owner: Annotated[str | None, strawberry.argument(description="Only this owner's.")] = strawberry.UNSET,
) -> ScheduleConnection:
    request = page_request(read_schedule_cursor, first=given(first), after=given(after))
    context, of_owner = info.context, read_line("owner", given(owner))
    page = await context.tally.read(
        lambda: context.schedules.page(context.caller, request, owner=of_owner),
        lambda page: large_of_schedules(page.items),
    )
    return ScheduleConnection.of(page)
