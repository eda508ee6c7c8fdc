"""Which tasks a list shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.tasks.states import TaskState
from domain.tenancy.model import Caller

COUNT_LIMIT = 10_000


class TaskOrder(StrEnum):
    SCHEDULED_AT_ASC = "SCHEDULED_AT_ASC"
    SCHEDULED_AT_DESC = "SCHEDULED_AT_DESC"
    CREATED_AT_DESC = "CREATED_AT_DESC"
    UPDATED_AT_DESC = "UPDATED_AT_DESC"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Every condition that is set must hold; None means any."""

    states: tuple[TaskState, ...] | None = None
    queues: tuple[str, ...] | None = None
    schedule: UUID | None = None
    """The id of the schedule that made them."""
    owner: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    due_after: datetime | None = None
    due_before: datetime | None = None
    search: str | None = None
    """Words of the title and description, each by prefix."""


def only_theirs(caller: Caller, wanted: TaskFilter) -> TaskFilter | None:
    """What of `wanted` the caller may see; None when nothing."""
    if caller.owner is None:
        return wanted
    return None if wanted.owner not in (None, caller.owner) else replace(wanted, owner=caller.owner)


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """A task's place in an order: the instant it is ordered by, then its id."""

    at: datetime
    id: UUID
