"""Queues as GraphQL sees them, and their mutations."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta
from typing import Annotated

import strawberry
from strawberry.types.nodes import SelectedField, Selection

from domain.queues.model import Queue as DomainQueue
from domain.queues.model import QueueEdit
from domain.queues.service import MAX_NAMES
from domain.tenancy.permissions import Permission
from domain.work.drafts import KEEP
from schema.absent import given
from schema.context import Ask, Context
from schema.filters import read_line
from schema.marks import points
from schema.permissions import changes, needs
from schema.refusals import invalid
from schema.user_errors import Refused, UserError, user_errors

SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(minutes=1)
FIGURES = frozenset({"depth", "running", "oldestDueSeconds", "finishedPerSecond"})
"""Fields for which what waits and runs is looked at."""
COUNTED = points(1)
Name = Annotated[str, strawberry.argument(description="Of the queue.")]
Names = Annotated[
    list[str] | None,
    strawberry.argument(description=f"Of these alone, up to {MAX_NAMES}; one that is not there is left out."),
]


@strawberry.type(description="A queue: it is there as soon as a task names it, or something is set for it.")
class Queue:
    name: str = strawberry.field(description="What tasks name it by.")
    paused: bool = strawberry.field(description="Whether none of its tasks are handed over.")
    depth: int = strawberry.field(
        metadata=COUNTED, description="Due and not yet started, counted up to 100,000 of each priority."
    )
    running: int = strawberry.field(metadata=COUNTED, description="Tasks whose attempt runs now.")
    oldest_due_seconds: float = strawberry.field(
        metadata=COUNTED, description="How long the oldest of those due has been; 0 when there is none."
    )
    concurrency: int | None = strawberry.field(
        description="How many may be handed over and running at once; null is any number."
    )
    rate_per_second: float | None = strawberry.field(
        description="How many may be handed over in a second, on average; null is any number."
    )
    finished_per_second: float = strawberry.field(
        metadata=COUNTED, description="Tasks finished per second, over the last minute."
    )

    @staticmethod
    def of(queue: DomainQueue) -> Queue:
        return Queue(
            name=queue.name,
            paused=queue.paused,
            depth=queue.depth,
            running=queue.running,
            oldest_due_seconds=queue.oldest_due_seconds,
            concurrency=queue.concurrency,
            rate_per_second=queue.rate_per_second,
            finished_per_second=queue.finished_per_second,
        )


@strawberry.input(description="What to set. An absent limit stays as it is; null removes it.")
class UpdateQueueInput:
    name: str = strawberry.field(description="Of the queue; it need not have any tasks yet.")
    concurrency: int | None = strawberry.field(
        default=strawberry.UNSET, description="At least 1: to have nothing run, pause the queue."
    )
    rate_per_second: float | None = strawberry.field(
        default=strawberry.UNSET, description="More than zero; up to a second's worth may come at once."
    )

    def edit(self) -> QueueEdit:
        return QueueEdit(
            concurrency=KEEP if self.concurrency is strawberry.UNSET else self.concurrency,
            rate_per_second=KEEP if self.rate_per_second is strawberry.UNSET else self.rate_per_second,
        )


@strawberry.type(description="What a change of a queue came to.")
class QueuePayload:
    queue: Queue | None = strawberry.field(description="The queue as it is now; null when it was refused.")
    errors: list[UserError] = strawberry.field(description="What was refused; empty when all went well.")


@needs(Permission.READ_QUEUES)
async def queues(info: Ask, names: Names = strawberry.UNSET) -> list[Queue]:
    wanted = given(names)
    if wanted is not None and len(wanted) > MAX_NAMES:
        raise invalid(f"`names` takes at most {MAX_NAMES}; there are {len(wanted)}.", "names")
    for index, name in enumerate(wanted or ()):
        read_line(f"names.{index}", name)
    distinct = None if wanted is None else frozenset(wanted)
    found = await info.context.loaders.queues(distinct, figures=_reads_figures(info))
    return [Queue.of(each) for each in found]


@needs(Permission.READ_QUEUES)
async def queue_stats(
    info: Ask,
    interval: Annotated[
        timedelta | None, strawberry.argument(description="From a second to a minute.")
    ] = SHORTEST_INTERVAL,
) -> AsyncGenerator[list[Queue], None]:
    pause = SHORTEST_INTERVAL if interval is None else interval
    if not SHORTEST_INTERVAL <= pause <= LONGEST_INTERVAL:
        raise invalid("`interval` must be from PT1S to PT1M.", "interval")
    seconds = pause.total_seconds()
    async with info.context.queue_readings.followed(info.context.caller.tenant) as followed:
        while True:
            yield [Queue.of(each) for each in await followed.recent(seconds)]
            await sleep(seconds)


def _reads_figures(info: Ask) -> bool:
    return any(_selects_figures(each.selections) for each in info.selected_fields)


def _selects_figures(selections: Iterable[Selection]) -> bool:
    return any(
        each.name in FIGURES if isinstance(each, SelectedField) else _selects_figures(each.selections)
        for each in selections
    )


@changes(Permission.CHANGE_QUEUES)
async def pause_queue(info: Ask, name: Name) -> QueuePayload:
    return await _changed(info.context, name, QueueEdit(paused=True), ())


@changes(Permission.CHANGE_QUEUES)
async def resume_queue(info: Ask, name: Name) -> QueuePayload:
    return await _changed(info.context, name, QueueEdit(paused=False), ())


@changes(Permission.CHANGE_QUEUES)
async def update_queue(
    info: Ask, input: Annotated[UpdateQueueInput, strawberry.argument(description="The change.")]
) -> QueuePayload:
    return await _changed(info.context, input.name, input.edit(), ("input",))


async def _changed(context: Context, name: str, edit: QueueEdit, below: tuple[str, ...]) -> QueuePayload:
    caller = context.acting()
    try:
        queue = await context.queues.change(caller, name, edit)
    except Refused as refused:
        return QueuePayload(queue=None, errors=user_errors(refused, below))
    return QueuePayload(queue=Queue.of(queue), errors=[])
