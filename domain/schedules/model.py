"""A schedule, and what its callers may do to it. Its fire times up to `settled_until` never fire again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from domain.actions.model import Action
from domain.attempts.retry import RetryPolicy
from domain.schedules.misfire import CATCH_UP_WINDOW, MisfirePolicy
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.recurrence import Recurrence, anchor_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTemplate:
    """What each task of a schedule will be."""

    title: str
    description: str | None = None
    owner: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    action: Action
    queue: str = "default"
    priority: int = 5
    concurrency_key: str | None = None
    timeout: timedelta
    retry: RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    id: UUID
    tenant: str
    name: str
    recurrence: Recurrence
    zone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """The last instant at which it may fire."""
    jitter: timedelta = timedelta(0)
    misfire_policy: MisfirePolicy = MisfirePolicy.FIRE_ONCE
    catch_up_window: timedelta = CATCH_UP_WINDOW
    overlap_policy: OverlapPolicy = OverlapPolicy.BUFFER_ONE
    paused: bool = False
    fault: str | None = None
    """Why the scheduler itself paused it, when it could not be read any more."""
    task: TaskTemplate
    revision: int = 1
    """Counts the changes of when it fires. Fire times of two revisions are told apart by it."""
    version: int = 1
    """Counts the changes its callers make; firing is none."""
    anchor: datetime
    """Where its counting begins."""
    settled_until: datetime
    """What fires up to here has been decided. Moves forward only."""
    next_fire_time: datetime | None = None
    """The first after `settled_until`; None while it is paused, and once it has ended."""
    held_fire_time: datetime | None = None
    """Admitted, and waiting for the unfinished task of the schedule."""
    zone_version: str = ""
    """Of the zone database that `next_fire_time` was computed with."""
    created_at: datetime
    updated_at: datetime

    @property
    def owner(self) -> str | None:
        """Whose tasks it makes: it is theirs."""
        return self.task.owner

    def begun_anew(self, now: datetime, *, anchor: datetime) -> Schedule:
        """As a new revision: nothing that passed fires again, and a fire time that waits is dropped."""
        return replace(
            self,
            revision=self.revision + 1,
            anchor=anchor,
            settled_until=max(self.settled_until, now),
            held_fire_time=None,
        )

    def pausing(self) -> Schedule:
        """Nothing fires from here on; a fire time that waits is dropped. Itself when it is paused already."""
        return self if self.paused else replace(self, paused=True, next_fire_time=None, held_fire_time=None)

    def resuming(self, now: datetime) -> Schedule:
        """What passed while it was paused was not missed: it does not fire. To be planned then."""
        return replace(self, paused=False, fault=None, settled_until=max(self.settled_until, now))


def edited(before: Schedule, after: Schedule, now: datetime) -> Schedule:
    """`after`, which callers made of `before`: as a new revision when it changes when the schedule fires.

    A change of its end leaves where the counting began. What changes only the tasks to come (the template, the
    policies, the jitter, the name) keeps the revision: the next fire time goes by it.
    """
    if (after.recurrence, after.zone, after.starts_at) != (before.recurrence, before.zone, before.starts_at):
        return after.begun_anew(now, anchor=anchor_of(after.recurrence, after.starts_at, now))
    if after.ends_at != before.ends_at:
        return after.begun_anew(now, anchor=after.anchor)
    return after
