"""The task, and what its callers may do to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.actions.model import Action
from domain.attempts.retry import RetryPolicy
from domain.errors import IllegalState
from domain.tasks.states import CLAIMABLE, FINISHED, TaskState, move


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Why the attempt with this number did not succeed."""

    type: str
    message: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    id: UUID
    tenant: str
    title: str
    description: str | None = None
    state: TaskState = TaskState.SCHEDULED
    scheduled_at: datetime
    """When it is due: as asked for, then as its retries and snoozes move it."""
    action: Action
    queue: str = "default"
    priority: int = 5
    key: str | None = None
    owner: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    concurrency_key: str | None = None
    timeout: timedelta
    retry: RetryPolicy
    attempt: int = 0
    """How many attempts have started."""
    uncounted_attempts: int = 0
    """Those that do not count against `retry.max_attempts`: before a replay, and snoozed ones."""
    fence: int = 0
    version: int = 1
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    worker: UUID | None = None
    result: Any = None
    error: TaskError | None = None
    traceparent: str
    schedule_id: UUID | None = None
    """Of the schedule that made it; it stays when the schedule is deleted."""
    schedule_revision: int | None = None
    fire_time: datetime | None = None
    """Of that schedule: what it was made for. With jitter it is due later."""
    fingerprint: bytes = b""
    """Of what the caller asked for: tells a create that is repeated from another one with its key.

    Empty without a key.
    """

    @property
    def trace_id(self) -> str:
        return self.traceparent.split("-")[1]

    def cancelled(self, now: datetime) -> Task:
        """Ended, or, when running, asked to stop. Itself when it has already ended or been asked."""
        if self.state in FINISHED or self.cancel_requested_at is not None:
            return self
        if self.state is TaskState.RUNNING:
            return replace(self, cancel_requested_at=now)
        return replace(self, state=move(self.state, TaskState.CANCELLED), finished_at=now)

    def run_now(self, now: datetime) -> Task:
        """Due at once: for the first time, or again when it has ended."""
        if self.state is TaskState.RUNNING:
            raise IllegalState("A running task cannot be run: it is running.")
        if self.state in FINISHED:
            return self._again(now)
        if self.state in CLAIMABLE and self.scheduled_at > now:
            return replace(self, scheduled_at=now)
        return self

    def editable(self) -> Task:
        """As it may be edited: a queued one is taken back first. Raises IllegalState."""
        if self.state in CLAIMABLE:
            return self
        if self.state is TaskState.QUEUED:
            return replace(self, state=move(self.state, TaskState.SCHEDULED))
        raise IllegalState(f"A task that is {self.state} cannot be changed.")

    def deletable(self) -> Task:
        if self.state is TaskState.RUNNING:
            raise IllegalState("A running task cannot be deleted: cancel it first.")
        return self

    def _again(self, now: datetime) -> Task:
        return replace(
            self,
            state=move(self.state, TaskState.SCHEDULED),
            scheduled_at=now,
            uncounted_attempts=self.attempt,
            started_at=None,
            finished_at=None,
            cancel_requested_at=None,
            result=None,
            error=None,
        )
