"""The domain's enums as GraphQL sees them, each value described."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from domain.actions.model import ActionKind
from domain.attempts.model import AttemptState
from domain.attempts.retry import Backoff
from domain.audit.model import Outcome as AuditOutcome
from domain.contracts.tasks import TaskEventKind
from domain.notifications.model import NotificationKind
from domain.schedules.misfire import MisfirePolicy
from domain.schedules.overlap import OverlapPolicy
from domain.tasks.listing import TaskOrder
from domain.tasks.states import TaskState
from domain.tenancy.model import Role

__all__ = [
    "ActionKind",
    "AttemptState",
    "AuditOutcome",
    "Backoff",
    "MisfirePolicy",
    "NotificationKind",
    "OverlapPolicy",
    "Role",
    "TaskEventKind",
    "TaskOrder",
    "TaskState",
]

E = TypeVar("E", bound=Enum)


def _describe(enum: type[E], description: str, values: dict[E, str], name: str | None = None) -> None:
    strawberry.enum(enum, name=name, description=description)
    definition: StrawberryEnumDefinition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # set above
    for value in definition.values:
        value.description = values[enum(value.value)]


_describe(
    TaskState,
    "Where a task is in its life.",
    {
        TaskState.SCHEDULED: "It waits for the instant it is due.",
        TaskState.QUEUED: "It is handed over to the workers, and about to start.",
        TaskState.RUNNING: "An attempt runs.",
        TaskState.RETRYING: "An attempt failed or was put off; it waits for the next one.",
        TaskState.SUCCEEDED: "It is done.",
        TaskState.FAILED: "Its attempts are used up, or it was discarded; it can be run again.",
        TaskState.CANCELLED: "It was called off.",
    },
)
_describe(
    AttemptState,
    "Where an attempt is, or how it ended.",
    {
        AttemptState.RUNNING: "It runs.",
        AttemptState.SUCCEEDED: "It did what it was for.",
        AttemptState.FAILED: "It raised an error, or the webhook's answer was one.",
        AttemptState.TIMED_OUT: "It took longer than the task's timeout.",
        AttemptState.CANCELLED: "It was asked to stop, and did.",
        AttemptState.LOST: "Its worker was not heard of any more.",
        AttemptState.SNOOZED: "It was put off by its handler, or because its host is down; uses no attempt.",
    },
)
_describe(
    ActionKind,
    "What a task does.",
    {
        ActionKind.NOTIFY: "It reminds: a notification when it is due.",
        ActionKind.HTTP: "It calls a webhook.",
        ActionKind.RUN: "It runs a registered handler.",
    },
)
_describe(
    TaskOrder,
    "The order of a list of tasks; equal instants by id.",
    {
        TaskOrder.SCHEDULED_AT_ASC: "Due first, first.",
        TaskOrder.SCHEDULED_AT_DESC: "Due last, first.",
        TaskOrder.CREATED_AT_DESC: "Made last, first.",
        TaskOrder.UPDATED_AT_DESC: "Changed last, first.",
    },
)
_describe(
    Backoff,
    "How the wait between attempts grows.",
    {
        Backoff.EXPONENTIAL: "It doubles, up to the cap, with full jitter.",
        Backoff.FIXED: "It is always the base.",
    },
    name="BackoffKind",
)
_describe(
    MisfirePolicy,
    "What becomes of fire times that passed while nothing ran.",
    {
        MisfirePolicy.SKIP: "They are dropped.",
        MisfirePolicy.FIRE_ONCE: "The latest of them fires; the others are dropped.",
        MisfirePolicy.FIRE_ALL: "All of them fire, the hundred latest at most.",
    },
)
_describe(
    OverlapPolicy,
    "What a fire time does while the schedule's previous task has not ended.",
    {
        OverlapPolicy.ALLOW: "It makes its task all the same.",
        OverlapPolicy.SKIP: "It makes no task.",
        OverlapPolicy.BUFFER_ONE: "It makes its task when the other has ended; "
        "while one waits so, others make none.",
        OverlapPolicy.CANCEL_RUNNING: "It has the other cancelled, and makes its task at once.",
    },
)
_describe(
    NotificationKind,
    "What a notification tells.",
    {
        NotificationKind.TASK_DUE: "A reminder came due: "
        "the one notification of a task whose action is notify.",
        NotificationKind.TASK_SUCCEEDED: "A task with another action succeeded.",
        NotificationKind.TASK_FAILED: "A task used up its attempts, or was discarded.",
        NotificationKind.TASK_CANCELLED: "A task was cancelled.",
        NotificationKind.SCHEDULE_MISFIRED: "Fire times of a schedule were dropped by its misfire policy.",
    },
)
_describe(
    TaskEventKind,
    "What happened to a task.",
    {
        TaskEventKind.CREATED: "It was made.",
        TaskEventKind.UPDATED: "It was changed, asked to stop, or made due now.",
        TaskEventKind.QUEUED: "It was handed over to the workers.",
        TaskEventKind.STARTED: "An attempt started.",
        TaskEventKind.RETRYING: "An attempt ended, and another will follow.",
        TaskEventKind.SUCCEEDED: "It is done.",
        TaskEventKind.FAILED: "Its attempts are used up, or it was discarded.",
        TaskEventKind.CANCELLED: "It was called off.",
        TaskEventKind.RESCUED: "Its worker or its hand-over was lost, and it was put back.",
        TaskEventKind.DELETED: "It was deleted.",
    },
)
_describe(
    Role,
    "What a caller may do.",
    {
        Role.VIEWER: "Look, and change nothing.",
        Role.EDITOR: "Make and change tasks and schedules, and mark notifications.",
        Role.ADMIN: "Everything, also queues and the secrets of webhooks.",
    },
)
_describe(
    AuditOutcome,
    "How a mutation ended.",
    {
        AuditOutcome.DONE: "It was carried out.",
        AuditOutcome.REFUSED: "Its caller may not, or can put it right: nothing was changed.",
        AuditOutcome.FAILED: "A fault of the service; whether something was changed is not known.",
    },
    name="AuditOutcome",
)
