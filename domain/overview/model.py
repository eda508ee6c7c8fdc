"""What is shown of an installation at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSeen:
    """What is told per second is of the last minute, and so is the lateness."""

    tenant: str
    name: str
    paused: bool
    due: int
    """Due and not yet started, counted up to 10,000 of each priority."""
    more_due: bool
    """Whether there may be more of them than were counted."""
    oldest_due_seconds: float
    running: int
    succeeded_per_second: float
    failed_per_second: float
    lateness_median: float | None
    """Seconds from being due to being started; None when nothing ended."""
    lateness_p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    name: str
    slots: int
    running: int
    draining: bool
    lease_seconds: float
    """Until its lease ends; below 0 it has ended, and its tasks are about to be rescued."""
    up_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    queues: list[QueueSeen]
    """The fullest first."""
    workers: list[WorkerSeen]
    outbox_events: int
    """Not yet published, counted up to 100,000."""
    more_outbox_events: bool
    """Whether there may be more of them than were counted."""
    outbox_oldest_seconds: float
