"""Cron expressions, read by cronsim; here they are walked in wall times, without zones and clock changes."""

from __future__ import annotations

import re
from bisect import bisect_right
from calendar import FRIDAY, MONDAY, monthrange
from contextlib import suppress
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError
from cronsim.explain import explain
from typing_extensions import override

from domain.errors import Invalid
from domain.schedules.recurrence import HORIZON, MAX_TEXT
from domain.schedules.wall_time import Reading, next_instant

MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_TAKES: Final = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L for the last day, LW for the last weekday, 15W for the one nearest the 15th",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, or SUN to SAT, 5L for the last Friday, 5#2 for the second",
}
"""Fields in their order, by the names cronsim has for them."""
_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = range(len(_TAKES))
_A_DAY: Final = timedelta(days=1)
_NEAREST = re.compile(r"(0?[1-9]|[12][0-9]|3[01])W")


class CronTimes:
    """The wall times of an expression.

    Day of month and day of week are joined as Debian's cron does: both must match when either begins with `*`
    (or is `?`), one of them otherwise.
    """

    def __init__(self, expression: str) -> None:
        """Raises Invalid with the path `("cron",)`."""
        fields = _fields(expression)
        self._reading = Reading.ELAPSED if "*" in (fields[_MINUTE][0], fields[_HOUR][0]) else Reading.FIXED
        days = fields[_DAY].split(",")
        nearest = frozenset(int(match[1]) for each in days if (match := _NEAREST.fullmatch(each)))
        others = [each for each in days if not _NEAREST.fullmatch(each)]
        self._read = _read([*fields[:_DAY], ",".join(others) or "1", *fields[_MONTH:]], fields)
        self._read.nearest = nearest
        if not others:
            self._read.days = set()
        self._hours, self._minutes = sorted(self._read.hours), sorted(self._read.minutes)
        self._seconds = sorted(self._read.seconds)
        self._fields, self._mixed = fields, bool(nearest and others)

    def next_after(self, zone: tzinfo, after: datetime) -> datetime | None:
        """The first fire time later than `after`, in UTC; None when there is none within eight years."""
        return next_instant(self, zone, after, self._reading)

    def next(self, after: datetime) -> datetime | None:
        today = after.date()
        if today.month in self._read.months and self._read.match_day(today):
            later = self._later(after.hour, after.minute, after.second)
            if later is not None:
                return datetime.combine(today, later)
        day = self._day_after(today)
        return None if day is None else datetime.combine(day, self._first)

    def _day_after(self, today: date) -> date | None:
        day, end = today + _A_DAY, today + HORIZON
        while day <= end:
            if day.month not in self._read.months:
                day += timedelta(days=monthrange(day.year, day.month)[1] - day.day + 1)
            elif self._read.match_day(day):
                return day
            else:
                day += _A_DAY
        return None

    @property
    def _first(self) -> time:
        return time(self._hours[0], self._minutes[0], self._seconds[0])

    def _later(self, hour: int, minute: int, second: int) -> time | None:
        """The first time of a matching day that is later than this one."""
        if hour in self._read.hours:
            if minute in self._read.minutes and (found := _above(self._seconds, second)) is not None:
                return time(hour, minute, found)
            if (found := _above(self._minutes, minute)) is not None:
                return time(hour, found, self._seconds[0])
        found = _above(self._hours, hour)
        return None if found is None else self._first.replace(hour=found)

    def describe(self) -> str | None:
        if self._mixed:
            return None
        fields = list(self._fields)
        if not self._read.nearest:
            return explain(" ".join(fields))
        fields[_DAY] = fields[_DAY].replace("W", "")
        return f"{explain(' '.join(fields))}, moved to the nearest weekday"


class _Read(CronSim):
    """What cronsim reads, with `15W`: the weekday nearest the 15th within its month."""

    nearest: frozenset[int] = frozenset()

    @override
    def match_dom(self, d: date) -> bool:
        return super().match_dom(d) or (bool(self.nearest) and self._is_nearest(d))

    def _is_nearest(self, day: date) -> bool:
        weekday, last = day.weekday(), monthrange(day.year, day.month)[1]
        if weekday > FRIDAY:
            return False
        stands_for = {day.day}
        if weekday == FRIDAY and day.day < last:
            stands_for |= {day.day + 1, last} if day.day + 2 == last else {day.day + 1}
        if weekday == MONDAY and day.day > 1:
            stands_for |= {day.day - 1, 1} if day.day - 2 == 1 else {day.day - 1}
        return not stands_for.isdisjoint(self.nearest)


def _above(numbers: list[int], number: int) -> int | None:
    place = bisect_right(numbers, number)
    return numbers[place] if place < len(numbers) else None


def _fields(expression: str) -> list[str]:
    """Six of them, in capitals."""
    if len(expression) > MAX_TEXT:
        raise _invalid(f"It must have at most {MAX_TEXT} characters; it has {len(expression)}.")
    if not expression.isascii():
        raise _invalid("It must have ASCII characters alone.")
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in MACROS:
            raise _invalid(f"{text[:40]!r} is not known; {', '.join(MACROS)} are.")
        text = MACROS[text.lower()]
    fields = text.upper().split()
    if len(fields) not in (len(_TAKES) - 1, len(_TAKES)):
        raise _invalid(
            "It must have five fields (minute, hour, day of month, month, day of week), or six with the second "
            f"first; it has {len(fields)}."
        )
    if len(fields) < len(_TAKES):
        fields.insert(_SECOND, "0")
    for each in (_DAY, _WEEKDAY):
        if fields[each] == "?":
            fields[each] = "*"
    return fields


def _read(simple: list[str], fields: list[str]) -> _Read:
    """`simple` is what cronsim understands of `fields`."""
    try:
        return _understood(simple)
    except CronSimError as refused:
        name = str(refused).removeprefix("Bad ")
    place = list(_TAKES).index(name)
    if place == _DAY:
        with suppress(CronSimError):  # it looks at the days alone, and then at the months' lengths
            _understood([*simple[:_MONTH], "*", simple[_WEEKDAY]])
            raise _invalid("It cannot fire: none of its months has such a day.")
    raise _invalid(
        f"The {name} field, {fields[place][:40]!r}, is not understood: it takes {_TAKES[name]}; "
        "lists with commas, ranges with a hyphen, steps with a slash, and *."
    )


def _understood(fields: list[str]) -> _Read:
    return _Read(" ".join(fields), datetime.min)  # noqa: DTZ901  a wall time


def _invalid(sentence: str) -> Invalid:
    return Invalid(sentence, ("cron",))
