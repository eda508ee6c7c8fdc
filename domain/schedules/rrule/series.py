"""A rule in a zone, from a start on: its fire times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from domain.schedules.recurrence import HORIZON
from domain.schedules.rrule.days import Days
from domain.schedules.rrule.rule import Moment, RuleText
from domain.schedules.wall_time import Reading, changes_within, instants, next_instant

_DAY = timedelta(days=1)


class Series:
    """Costs a few steps for each day between the instant asked and the answer, at most eight years of them.

    With COUNT, also for each day since the start; those it remembers, to go on from there.
    """

    def __init__(self, text: RuleText, zone: tzinfo, anchor: datetime) -> None:
        """`anchor` begins the counting where the text has no DTSTART."""
        rule = text.rule
        self._zone = zone
        self._reading = Reading.ELAPSED if rule.frequency.within_a_day else Reading.CALENDAR
        self._start = _wall(anchor if text.start is None else text.start, zone)
        self._since = anchor.replace(microsecond=0) if text.start is None else _instant(self._start, zone)
        self._days = Days(rule, self._start)
        self._until = None if rule.until is None else _end(rule.until, zone)
        self._count = rule.count
        self._excluded = frozenset(_wall(each, zone) for each in text.excluded if isinstance(each, datetime))
        days = (each for each in text.excluded if not isinstance(each, datetime))
        self._excluded_days = frozenset(each.toordinal() for each in days)
        self._counted = (self._start.toordinal(), 0)
        """A day, and how many there are before it."""

    @property
    def counted_since(self) -> datetime | None:
        """Where COUNT begins, if it is given."""
        return None if self._count is None else self._since

    def next_after(self, after: datetime) -> datetime | None:
        """The first fire time later than `after`, in UTC; None when there is none within eight years."""
        found = next_instant(self, self._zone, after, self._reading)
        if found is None or (self._until is not None and found > self._until):
            return None
        return None if self._is_past_count(found) else found

    def next(self, after: datetime) -> datetime | None:
        """The first wall time later than `after` that EXDATE does not take out."""
        first, second = after.toordinal(), self._start.second
        passed = after.hour * 60 + after.minute - (second > after.second)
        for day, minutes in self._days.since(first, first + HORIZON.days):
            if day in self._excluded_days:
                continue
            for index in range(bisect_right(minutes, passed) if day == first else 0, len(minutes)):
                wall = self._at(day, minutes[index])
                if wall not in self._excluded:
                    return wall
        return None

    def _is_past_count(self, found: datetime) -> bool:
        """Those that EXDATE takes out count, those a gap swallows don't."""
        if self._count is None:
            return False
        local = found.astimezone(self._zone)
        today = local.toordinal()
        day, total = self._counted if self._counted[0] <= today else (self._start.toordinal(), 0)
        minutes_today: Sequence[int] = ()
        for each, minutes in self._days.since(day, today):
            if each == today:
                minutes_today = minutes
            else:
                total += len(minutes) if self._is_plain(each) else len(self._instants(each, minutes))
                if total >= self._count:
                    return True
        self._counted = (today, total)
        if self._is_plain(today):
            return total + bisect_right(minutes_today, local.hour * 60 + local.minute) > self._count
        return total + sum(each <= found for each in self._instants(today, minutes_today)) > self._count

    def _instants(self, day: int, minutes: Sequence[int]) -> list[datetime]:
        found = (instants(self._at(day, minute), self._zone, self._reading) for minute in minutes)
        return [instant for each in found for instant in each if instant >= self._since]

    def _is_plain(self, day: int) -> bool:
        """Whether no clock is changed on that day."""
        midnight = datetime.fromordinal(day)
        return not changes_within(self._zone, midnight, midnight + _DAY)

    def _at(self, day: int, minute: int) -> datetime:
        hour, minute = divmod(minute, 60)
        return datetime.combine(date.fromordinal(day), time(hour, minute, self._start.second))


def _wall(moment: Moment, zone: tzinfo) -> datetime:
    """As a clock in `zone` shows it; the beginning of a day."""
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time())
    if moment.tzinfo is not None:
        moment = moment.astimezone(zone)
    return moment.replace(tzinfo=None, fold=0, microsecond=0)


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """The first, for one that is repeated; by the offset before the gap, for one that is skipped (3.3.5)."""
    return wall.replace(tzinfo=zone).astimezone(UTC)


def _end(until: Moment, zone: tzinfo) -> datetime:
    """The last instant that may fire; the end of a day."""
    if not isinstance(until, datetime):
        return datetime.combine(until, time(23, 59, 59, fold=1), tzinfo=zone).astimezone(UTC)
    return until if until.tzinfo is not None else _instant(until, zone)
