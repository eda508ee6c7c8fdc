"""What running tasks needs from storage. Every time in here is the database's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from domain.attempts.activity import LogLine, LogPlace, NewLine, ProgressReport, Recent
from domain.attempts.model import Attempt, Progress, Settled, Started
from domain.contracts.tasks import TaskChangedV1


@dataclass(frozen=True, slots=True)
class Claimed:
    ids: Sequence[UUID]
    room: int
    """How many more tasks than these the live workers can take."""
    workers: int
    """How many of these there are."""
    idle_for: timedelta = timedelta(0)
    """No other task falls due before; zero or less when the claim cannot tell."""
    traceparents: Sequence[str] = ()
    """Of the tasks, in the order of their ids."""


class DueTasks(Protocol):
    """The scheduler's side: from due to handed over."""

    async def room(self) -> int:
        """How many more tasks the live workers can take, those handed over already counted."""
        ...

    async def claim(self, limit: int) -> Claimed:
        """Due tasks made QUEUED, the most urgent of a tenant first, then the longest due. Never early.

        The tenant with the fewest tasks in flight comes first. No more than there is room for, and than the
        concurrency and the rate of a queue allow, however many schedulers claim at once; none of a paused
        queue; of those with one concurrency key, one at a time.
        """
        ...

    async def take_back(self, ids: Sequence[UUID]) -> None:
        """Those still QUEUED become SCHEDULED: their hand-over did not get through."""
        ...

    async def next_due_in(self) -> timedelta | None:
        """Until the next task is due; zero or less when one is; None when none waits.

        Tasks that a limit holds back do not count, but for a rate: then it is until the rate allows more.
        """
        ...

    async def tend(self) -> int:
        """Have everything that waits found by claims, were it ever lost sight of. How much was not."""
        ...


class Attempts(Protocol):
    """The worker's side: attempts under its lease. A write with an old fence changes nothing."""

    async def start(self, worker: UUID, ids: Sequence[UUID]) -> list[Started]:
        """Start those still QUEUED, if the worker's lease is live; the rest was not there to start.

        Names those the worker runs already as well: whoever did not get the answer may ask again.
        """
        ...

    async def finish(self, worker: UUID, settled: Sequence[Settled]) -> frozenset[UUID]:
        """Record outcomes; the ids of those recorded. The others were no longer this worker's."""
        ...

    async def hand_back(self, worker: UUID, fences: Sequence[tuple[UUID, int]]) -> None:
        """Running attempts given up by a stopping worker: due at once, and they do not count."""
        ...

    async def history(
        self, tenant: str, task_ids: Sequence[UUID], first: int, after: int = 0
    ) -> list[list[Attempt]]:
        """For each task, up to `first` attempts with a number above `after`, in order."""
        ...

    async def find(self, tenant: str, keys: Sequence[tuple[UUID, int]]) -> list[Attempt | None]:
        """By task and number; one answer for each, in the order asked."""
        ...


class Activity(Protocol):
    """What attempts tell while they run. What is told under an old fence is not stored."""

    async def write_progress(self, worker: UUID, reports: Sequence[ProgressReport]) -> None:
        """The newest of each task, while that runs under this worker's lease."""
        ...

    async def write_log(self, lines: Sequence[NewLine]) -> int:
        """How many were stored, each once however often it is given. Of each task the last 200 are kept."""
        ...

    async def progress(self, tenant: str, task_ids: Sequence[UUID]) -> list[Progress | None]:
        """What the latest attempt of each task reported, in the order asked."""
        ...

    async def log(self, tenant: str, task_ids: Sequence[UUID], last: int) -> list[list[LogLine]]:
        """The `last` lines of each task, oldest first."""
        ...

    async def recent(self, tenant: str, task_id: UUID, after: LogPlace | None) -> Recent | None:
        """A part of what followed that place, from its beginning; None when there is no such task.

        All that an ending attempt told is there when its end is. Without a place it brings no line, and says
        where the log ends.
        """
        ...


class ActivityFeed(Protocol):
    def follow(
        self, tenant: str, task_id: UUID, *, owner: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[LogLine | Progress | TaskChangedV1]]:
        """What a task does from now on, in its order, until it ends; at once when it has ended or is gone.

        With `owner`, until it is another's. The iterator raises Resync when the follower falls behind.
        """
        ...


@dataclass(frozen=True, slots=True)
class Beat:
    alive: bool
    """False when the lease had lapsed: the worker's attempts may be another's by now."""
    cancel_requested: frozenset[UUID]
    """Its running tasks that were asked to stop."""


class Workers(Protocol):
    """The leases of the live workers, one row each."""

    async def enter(self, worker: UUID, name: str, slots: int, lease: timedelta) -> None: ...

    async def beat(self, worker: UUID, lease: timedelta, *, draining: bool = False) -> Beat:
        """Prolong the lease to now plus `lease`. A draining worker gets no more hand-overs."""
        ...

    async def leave(self, worker: UUID) -> None:
        """Only when nothing of it runs any more; else its lease lapses and the rescuer comes."""
        ...


class Rescue(Protocol):
    """Puts back what was lost. Each call does a bounded part and says how many it moved."""

    async def lost_attempts(self, limit: int) -> int:
        """Tasks of workers whose lease lapsed: RETRYING at once, or FAILED when used up."""
        ...

    async def lost_hand_overs(self, older_than: timedelta, limit: int) -> int:
        """Tasks QUEUED for longer than that and not started: SCHEDULED again."""
        ...

    async def deaf_cancellations(self, older_than: timedelta, limit: int) -> int:
        """Running tasks asked to stop longer ago than that: CANCELLED, their results refused."""
        ...
