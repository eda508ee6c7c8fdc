"""An attempt, and what its outcome makes of its task."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.actions.model import Action, Cancelled, Failed, Outcome, Snoozed, Succeeded, TimedOut
from domain.attempts.retry import RetryPolicy
from domain.tasks.states import TaskState


class AttemptState(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"
    SNOOZED = "SNOOZED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a task, as its history keeps it."""

    task_id: UUID
    number: int
    state: AttemptState
    due_at: datetime
    started_at: datetime
    finished_at: datetime | None
    worker: str
    error_type: str | None = None
    error_message: str | None = None

    @property
    def lateness(self) -> timedelta:
        return self.started_at - self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the latest attempt of a task says it is, from 0 to 1."""

    fraction: float
    message: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An attempt a worker holds the lease of, with all it needs to run it."""

    task_id: UUID
    tenant: str
    number: int
    counted: int
    """How many attempts count against the policy, this one included."""
    fence: int
    action: Action
    retry: RetryPolicy
    timeout: timedelta
    due_at: datetime
    started_at: datetime
    traceparent: str
    queued_at: datetime | None = field(default=None, compare=False)
    """When it was handed over; None for an attempt that is named again."""
    fire_time: datetime | None = None
    limited: bool = False
    """Whether others may be held back until it ends: by its concurrency key, or its queue's concurrency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How an attempt ended, and where that puts its task."""

    task_id: UUID
    fence: int
    attempt_state: AttemptState
    task_state: TaskState
    due_in: timedelta | None = None
    """For RETRYING: from the instant it is recorded. Excludes `due_at`."""
    due_at: datetime | None = None
    result: Any = None
    error_type: str | None = None
    error_message: str | None = None
    counts: bool = True


def settle(started: Started, outcome: Outcome, draw: float) -> Settled:
    """What `outcome` makes of the task; `draw`, from 0 to 1, is the jitter of a retry."""
    match outcome:
        case Succeeded(result=result):
            return _settled(started, AttemptState.SUCCEEDED, TaskState.SUCCEEDED, result=result)
        case Cancelled():
            return _settled(started, AttemptState.CANCELLED, TaskState.CANCELLED)
        case Snoozed(until=until, because=because):
            why = {} if because is None else _error(because)
            return _settled(
                started, AttemptState.SNOOZED, TaskState.RETRYING, due_at=until, counts=False, **why
            )
        case TimedOut(seconds=seconds):
            failed = Failed(type="TimedOut", message=f"It took longer than {seconds:g} s.")
            return _failed(started, AttemptState.TIMED_OUT, failed, draw)
        case Failed():
            return _failed(started, AttemptState.FAILED, outcome, draw)


def is_last(started: Started, outcome: Outcome) -> bool:
    """Whether the task has failed with it: it is not tried again."""
    match outcome:
        case Failed(retryable=False):
            return True
        case Failed() | TimedOut():
            return started.counted >= started.retry.max_attempts
        case _:
            return False


def _failed(started: Started, state: AttemptState, failed: Failed, draw: float) -> Settled:
    error = _error(failed)
    if is_last(started, failed):
        return _settled(started, state, TaskState.FAILED, **error)
    delay = started.retry.delay(started.counted, draw)
    if failed.after is not None:
        delay = timedelta(seconds=failed.after)
    return _settled(started, state, TaskState.RETRYING, due_in=delay, **error)


def _error(failed: Failed) -> dict[str, str]:
    return {"error_type": failed.type, "error_message": failed.message}


def _settled(
    started: Started,
    attempt_state: AttemptState,
    task_state: TaskState,
    **rest: Any,  # noqa: ANN401  the remaining fields of Settled
) -> Settled:
    return Settled(
        task_id=started.task_id,
        fence=started.fence,
        attempt_state=attempt_state,
        task_state=task_state,
        **rest,
    )
