"""What becomes of a schedule's fire times once they have passed: one pure decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from domain.schedules.jitter import jittered
from domain.schedules.misfire import NextAfter, catch_up, passed
from domain.schedules.model import Schedule
from domain.schedules.overlap import OverlapPolicy, admit
from domain.schedules.planning import next_after, planned
from domain.schedules.ports import Recurrences


@dataclass(frozen=True, slots=True)
class Due:
    """A task to make."""

    fire_time: datetime
    scheduled_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    schedule: Schedule
    """As it is from here on."""
    make: tuple[Due, ...]
    """Oldest first."""
    cancel_unfinished: bool
    """The schedule's tasks that have not ended are cancelled first."""
    skipped: int
    """Fire times without a task, by the overlap policy."""
    dropped: int
    """Fire times without a task, by the misfire policy."""
    exact: bool
    """False when there were so many that `dropped` says only how many there were at least."""


def decide(schedule: Schedule, recurrences: Recurrences, now: datetime, *, unfinished: bool) -> Decision:
    """Settles every fire time up to `now`, and releases the one that is held when nothing it waits for is
    `unfinished`.

    The same for the same arguments. Raises Invalid for a recurrence that cannot be understood.
    """
    unfinished = unfinished and schedule.overlap_policy is not OverlapPolicy.ALLOW
    following = _remembering(schedule, recurrences)
    times = passed(following, schedule.settled_until, now)
    caught = catch_up(times, schedule.misfire_policy, now, schedule.catch_up_window)
    held = schedule.held_fire_time
    released = None if unfinished or _is_replaced(schedule, caught.fire) else held
    if released is not None:
        held, unfinished = None, True
    admitted = admit(caught.fire, schedule.overlap_policy, unfinished=unfinished, held=held is not None)
    given_up = held is not None and admitted.cancel_unfinished
    settled_until = times.latest[-1] if times.latest else schedule.settled_until
    after = replace(
        schedule,
        settled_until=settled_until,
        next_fire_time=following(settled_until),
        held_fire_time=admitted.hold or (None if given_up else held),
        zone_version=recurrences.zone_database_version(),
    )
    make = _due(schedule, following, admitted.start)
    if released is not None:
        make = (Due(released, max(now, _spread(schedule, following, released))), *make)
    return Decision(
        schedule=after,
        make=make,
        cancel_unfinished=admitted.cancel_unfinished,
        skipped=len(admitted.skipped) + given_up,
        dropped=caught.dropped,
        exact=caught.exact,
    )


def replanned(schedule: Schedule, recurrences: Recurrences, now: datetime) -> Schedule:
    """With the zone database of `recurrences`. What it moves into the past was not missed: it does not fire.

    A fire time that has passed already is left to be settled as it is.
    """
    after = planned(schedule, recurrences)
    if schedule.next_fire_time is not None and schedule.next_fire_time <= now:
        return replace(after, next_fire_time=schedule.next_fire_time)
    if after.next_fire_time is not None and after.next_fire_time <= now:
        return planned(replace(after, settled_until=max(after.settled_until, now)), recurrences)
    return after


def _remembering(schedule: Schedule, recurrences: Recurrences) -> NextAfter:
    """As `next_after`, which is most of the cost of a fire; what is stored of it is the first answer."""
    compute = next_after(schedule, recurrences)
    known: dict[datetime, datetime | None] = {}
    if schedule.zone_version == recurrences.zone_database_version():
        known[schedule.settled_until] = schedule.next_fire_time

    def first_after(instant: datetime) -> datetime | None:
        if instant not in known:
            known[instant] = compute(instant)
        return known[instant]

    return first_after


def _is_replaced(schedule: Schedule, fire: tuple[datetime, ...]) -> bool:
    """Whether what is held would be cancelled by a later one as soon as it is made."""
    return bool(fire) and schedule.overlap_policy is OverlapPolicy.CANCEL_RUNNING


def _due(schedule: Schedule, following: NextAfter, times: Iterable[datetime]) -> tuple[Due, ...]:
    return tuple(Due(time, _spread(schedule, following, time)) for time in times)


def _spread(schedule: Schedule, following: NextAfter, time: datetime) -> datetime:
    if not schedule.jitter:
        return time
    return jittered(schedule.id, time, schedule.jitter, following(time))
