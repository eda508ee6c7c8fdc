"""When a schedule fires next: computed from what is settled, never from now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import takewhile

from domain.schedules.misfire import NextAfter
from domain.schedules.model import Schedule
from domain.schedules.ports import Recurrences


def planned(schedule: Schedule, recurrences: Recurrences) -> Schedule:
    """With its next fire time. Raises Invalid for a recurrence that cannot be understood."""
    found = None if schedule.paused else next_after(schedule, recurrences)(schedule.settled_until)
    return replace(schedule, next_fire_time=found, zone_version=recurrences.zone_database_version())


def next_after(schedule: Schedule, recurrences: Recurrences) -> NextAfter:
    """The first fire time of the schedule later than an instant, up to its end."""
    recurrence, zone, anchor, end = schedule.recurrence, schedule.zone, schedule.anchor, schedule.ends_at

    def first_after(instant: datetime) -> datetime | None:
        found = recurrences.next_after(recurrence, zone, anchor, instant)
        return None if found is None or (end is not None and found > end) else found

    return first_after


def next_fire_times(
    schedule: Schedule, recurrences: Recurrences, now: datetime, most: int
) -> Iterator[datetime]:
    """Up to `most` of them later than `now`, in order; none while it is paused, and once it has ended."""
    if schedule.paused:
        return
    after = max(schedule.settled_until, now)
    times = recurrences.fire_times(schedule.recurrence, schedule.zone, schedule.anchor, after, most)
    yield from takewhile(lambda time: schedule.ends_at is None or time <= schedule.ends_at, times)
