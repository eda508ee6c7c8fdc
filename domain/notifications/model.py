"""A notification, and which facts make one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.actions.model import ActionKind
from domain.contracts.events import Event
from domain.contracts.schedules import ScheduleMisfiredV1
from domain.contracts.tasks import TaskChangedV1, TaskEventKind


class NotificationKind(StrEnum):
    TASK_DUE = "TASK_DUE"
    TASK_SUCCEEDED = "TASK_SUCCEEDED"
    TASK_FAILED = "TASK_FAILED"
    TASK_CANCELLED = "TASK_CANCELLED"
    SCHEDULE_MISFIRED = "SCHEDULE_MISFIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    id: UUID
    tenant: str
    seq: int
    """Its place in the tenant's stream: without gaps, and in the order of commits."""
    kind: NotificationKind
    title: str
    body: str | None
    owner: str | None
    task_id: UUID | None
    created_at: datetime
    read_at: datetime | None = None
    traceparent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A notification that has no place in the stream yet. One event makes at most one."""

    id: UUID
    event_id: str
    tenant: str
    kind: NotificationKind
    title: str
    body: str | None
    owner: str | None
    task_id: UUID | None
    traceparent: str


TOLD = frozenset({TaskEventKind.SUCCEEDED, TaskEventKind.FAILED, TaskEventKind.CANCELLED})
"""The kinds of changes that `kind_for` makes something of: the others need not reach a notifier."""


def kind_for(event: TaskChangedV1) -> NotificationKind | None:
    """What people are told of this fact; None when nothing."""
    match event.kind:
        case TaskEventKind.SUCCEEDED if event.action_kind == ActionKind.NOTIFY:
            return NotificationKind.TASK_DUE
        case TaskEventKind.SUCCEEDED:
            return NotificationKind.TASK_SUCCEEDED
        case TaskEventKind.FAILED:
            return NotificationKind.TASK_FAILED
        case TaskEventKind.CANCELLED:
            return NotificationKind.TASK_CANCELLED
        case _:
            return None


def draft_for(event: Event, id: UUID) -> Draft | None:
    return _of_a_schedule(event, id) if isinstance(event, ScheduleMisfiredV1) else _of_a_task(event, id)


def _of_a_task(event: TaskChangedV1, id: UUID) -> Draft | None:
    kind = kind_for(event)
    if kind is None:
        return None
    return Draft(
        id=id,
        event_id=event.event_id,
        tenant=event.tenant,
        kind=kind,
        title=event.title,
        body=event.body if kind is NotificationKind.TASK_DUE else event.error_message,
        owner=event.owner,
        task_id=event.task_id,
        traceparent=event.traceparent,
    )


def _of_a_schedule(event: ScheduleMisfiredV1, id: UUID) -> Draft:
    return Draft(
        id=id,
        event_id=event.event_id,
        tenant=event.tenant,
        kind=NotificationKind.SCHEDULE_MISFIRED,
        title=event.name,
        body=_dropped(event),
        owner=event.owner,
        task_id=None,
        traceparent=event.traceparent,
    )


def _dropped(event: ScheduleMisfiredV1) -> str:
    number = f"{event.dropped}" if event.exact else f"At least {event.dropped}"
    return f"{number} fire time was dropped." if event.dropped == 1 else f"{number} fire times were dropped."
