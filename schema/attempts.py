"""Attempts as GraphQL sees them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import strawberry

from domain.attempts.model import Attempt
from schema.enums import AttemptState
from schema.ids import attempt_id
from schema.node import Node
from schema.paging import PageInfo, attempt_cursor, page_info


@strawberry.type(description="Why an attempt did not succeed.")
class TaskError:
    type: str = strawberry.field(
        description="What kind of error it was: for a handler, the class of what it raised."
    )
    message: str = strawberry.field(description="What it said.")
    attempt: int = strawberry.field(description="The number of that attempt.")


@strawberry.type(name="Attempt", description="One run of a task.")
class AttemptNode(Node):
    number: int = strawberry.field(description="From 1; a task that runs again goes on counting.")
    state: AttemptState = strawberry.field(description="Where it is, or how it ended.")
    started_at: datetime = strawberry.field(description="When it started.")
    finished_at: datetime | None = strawberry.field(description="When it ended; null while it runs.")
    lateness: timedelta = strawberry.field(
        description="How late the attempt started, from the instant it was due."
    )
    worker: str = strawberry.field(description="The worker that ran it.")
    error: TaskError | None = strawberry.field(
        description="Why it did not succeed; null when it did, or still runs."
    )

    @staticmethod
    def of(attempt: Attempt) -> AttemptNode:
        error = None
        if attempt.error_type is not None:
            error = TaskError(
                type=attempt.error_type, message=attempt.error_message or "", attempt=attempt.number
            )
        return AttemptNode(
            id=attempt_id(attempt.task_id, attempt.number),
            number=attempt.number,
            state=attempt.state,
            started_at=attempt.started_at,
            finished_at=attempt.finished_at,
            lateness=attempt.lateness,
            worker=attempt.worker,
            error=error,
        )


@strawberry.type(description="An attempt and its place in the list.")
class AttemptEdge:
    cursor: str = strawberry.field(description="Its place, for `after`.")
    node: AttemptNode = strawberry.field(description="The attempt.")


@strawberry.type(description="A page of the attempts of a task, in the order they started.")
class AttemptConnection:
    edges: list[AttemptEdge] = strawberry.field(description="The attempts with their cursors.")
    nodes: list[AttemptNode] = strawberry.field(description="The attempts.")
    page_info: PageInfo = strawberry.field(description="Whether there are more.")

    @staticmethod
    def of(task: UUID, attempts: list[Attempt], size: int, after: int) -> AttemptConnection:
        """Of up to one attempt more than `size`, which tells that there is more."""
        nodes = [AttemptNode.of(each) for each in attempts[:size]]
        edges = [AttemptEdge(cursor=attempt_cursor(task, each.number), node=each) for each in nodes]
        info = page_info([edge.cursor for edge in edges], has_next=len(attempts) > size, has_previous=after > 0)
        return AttemptConnection(edges=edges, nodes=nodes, page_info=info)
