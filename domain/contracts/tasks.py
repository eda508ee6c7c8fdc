"""Facts about tasks. Written by PostgreSQL with each change, read by every consumer of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID


class TaskEventKind(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    QUEUED = "QUEUED"
    STARTED = "STARTED"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RESCUED = "RESCUED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChangedV1:
    """A task changed. `version` orders the facts of one task."""

    type: ClassVar[str] = "task.changed.v1"

    kind: TaskEventKind
    tenant: str
    task_id: UUID
    version: int
    state: str
    attempt: int
    at: datetime
    scheduled_at: datetime
    title: str
    owner: str | None
    queue: str
    labels: tuple[tuple[str, str], ...]
    action_kind: str
    body: str | None
    """What a reminder says."""
    error_type: str | None
    error_message: str | None
    traceparent: str
    schedule_id: UUID | None = None
    """Of the schedule that made it. Facts written before there were schedules do not say."""

    @property
    def event_id(self) -> str:
        """The same however often it is delivered: one change makes one version."""
        return f"{self.task_id}:{self.version}"

    def to_wire(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "tenant": self.tenant,
            "task_id": str(self.task_id),
            "version": self.version,
            "state": self.state,
            "attempt": self.attempt,
            "at": self.at.isoformat(),
            "scheduled_at": self.scheduled_at.isoformat(),
            "title": self.title,
            "owner": self.owner,
            "queue": self.queue,
            "labels": [list(label) for label in self.labels],
            "action_kind": self.action_kind,
            "body": self.body,
            "error_type": self.error_type,
            "error_message": self.error_message,
            "traceparent": self.traceparent,
            "schedule_id": None if self.schedule_id is None else str(self.schedule_id),
        }
