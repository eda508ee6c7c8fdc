"""From the wall times of a recurrence to instants, where clocks are put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final, Protocol

from domain.schedules.recurrence import HORIZON

_SECOND: Final = timedelta(seconds=1)


class WallTimes(Protocol):
    def next(self, after: datetime) -> datetime | None:
        """The first one later than `after`. Both are naive and on whole seconds."""
        ...


class Reading(Enum):
    """What a clock that is put forward skips, and what one that is put back shows twice."""

    FIXED = "fixed"
    """A skipped time fires once, right after the gap; a repeated one fires the first time."""
    CALENDAR = "calendar"
    """A skipped time does not exist (RFC 5545, 3.3.10); a repeated one is the first (3.3.5)."""
    ELAPSED = "elapsed"
    """It fires as often as the clock shows it."""


def next_instant(times: WallTimes, zone: tzinfo, after: datetime, reading: Reading) -> datetime | None:
    """The first instant later than `after` at which a clock in `zone` shows one of `times`, in UTC.

    Asks `times` once, and once more for each gap it comes by that skips one of them; for eight years at most.
    """
    local = after.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0, microsecond=0)
    first, second = _offsets(wall, zone)
    if first > second:  # the clock shows `wall` twice, and `after` is one of them
        turn = _turn(zone, wall - first, wall - second)
        if local.fold:
            if reading is not Reading.ELAPSED:  # all that is shown now has been shown before
                wall = turn + first - _SECOND
        elif reading is Reading.ELAPSED:
            found = times.next(wall)
            if found is not None and found < turn + first:
                return (found - first).replace(tzinfo=UTC)
            wall, after = turn + second - _SECOND, (turn - _SECOND).replace(tzinfo=UTC)
    end = wall + HORIZON
    while (found := times.next(wall)) is not None and found <= end:
        first, second = _offsets(found, zone)
        instant = (found - first).replace(tzinfo=UTC)
        if first == second:
            return instant
        if first > second:
            return instant if instant > after else (found - second).replace(tzinfo=UTC)
        turn = _turn(zone, found - second, found - first)
        if reading is Reading.FIXED:
            return turn.replace(tzinfo=UTC)
        wall = turn + second - _SECOND
    return None


def instants(wall: datetime, zone: tzinfo, reading: Reading) -> tuple[datetime, ...]:
    """When a clock in `zone` shows `wall`, in UTC: never, once or twice, for a reading that shifts nothing."""
    first, second = _offsets(wall, zone)
    if first < second:
        return ()
    instant = (wall - first).replace(tzinfo=UTC)
    if first == second or reading is Reading.CALENDAR:
        return (instant,)
    return (instant, (wall - second).replace(tzinfo=UTC))


def changes_within(zone: tzinfo, start: datetime, end: datetime) -> bool:
    """Whether clocks differ between two wall times."""
    return start.replace(tzinfo=zone).utcoffset() != end.replace(tzinfo=zone).utcoffset()


def _offsets(wall: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """From UTC, as PEP 495 has them: the first is greater for a repeated time, smaller for a skipped one."""
    first = wall.replace(tzinfo=zone).utcoffset()
    second = wall.replace(tzinfo=zone, fold=1).utcoffset()
    if first is None or second is None:
        raise ValueError("a time zone that knows no offset")
    return first, second


def _turn(zone: tzinfo, before: datetime, then: datetime) -> datetime:
    """When the offset changes: the first second, naive in UTC, of the one that is in force at `then`."""
    old = _offset_at(zone, before)
    low, high = 0, (then - before) // _SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_at(zone, before + middle * _SECOND) == old:
            low = middle
        else:
            high = middle
    return before + high * _SECOND


def _offset_at(zone: tzinfo, instant: datetime) -> timedelta | None:
    return instant.replace(tzinfo=UTC).astimezone(zone).utcoffset()
