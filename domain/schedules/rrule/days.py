"""The days on which a rule happens, each with its minutes, in order, from any day on."""

from __future__ import annotations

from bisect import bisect_left
from calendar import isleap, monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final

from domain.schedules.rrule.minutes import Minutes, Occasion, first_period, picked
from domain.schedules.rrule.rule import Frequency, Rule

LAST_DAY: Final = date(9999, 12, 30).toordinal()

Period = Sequence[int]
"""The days of a year, month, week or day that a rule names, sorted."""


class Days:
    """Of a rule, completed by its start: what the rule leaves open is as it is there (RFC 5545, 3.3.10)."""

    def __init__(self, rule: Rule, start: datetime) -> None:
        self._rule = rule = _completed(rule, start)
        self._start = start
        self._first = start.toordinal()
        self._first_period, self._periods_a_day = first_period(rule, start), rule.frequency.periods_a_day
        self._weekdays = frozenset(weekday for weekday, _ in rule.by_day)
        self._minutes = Minutes(rule, start)
        self._latest: tuple[tuple[int, int], Period] = ((0, 0), ())
        """A month and its days: who asks for one fire time after the other asks for it again and again."""

    def since(self, day: int, last: int) -> Iterator[Occasion]:
        """Those from `day` to `last`; costs a few steps for each day in between, and none for days before."""
        day = max(day, self._first)
        last = min(last, LAST_DAY)
        for each, minutes in self._occasions(day, last):
            if each > last:
                return
            if each >= day:
                early = self._start.hour * 60 + self._start.minute if each == self._first else 0
                yield each, minutes[bisect_left(minutes, early) :] if early else minutes

    def _occasions(self, day: int, last: int) -> Iterator[Occasion]:
        every_day = self._minutes.every_day
        if not every_day:
            return
        positions = self._rule.by_set_pos if self._rule.frequency.beyond_a_day else ()
        for period in self._periods(day, last):
            if positions:
                yield from picked(period, every_day, positions)
            else:
                for each in period:
                    yield each, self._minutes.on(each)

    def _periods(self, day: int, last: int) -> Iterator[Period]:
        match self._rule.frequency:
            case Frequency.YEARLY:
                return self._yearly(day, last)
            case Frequency.MONTHLY:
                return self._monthly(day, last)
            case Frequency.WEEKLY:
                return self._weekly(day, last)
            case _:
                return self._daily(day, last)

    def _yearly(self, day: int, last: int) -> Iterator[Period]:
        rule = self._rule
        since = date.fromordinal(day)
        months = sorted(rule.by_month) or range(1, 13)
        first, end = _aligned(since.year, self._start.year, rule.interval), date.fromordinal(last).year + 1
        for year in range(first, end, rule.interval):
            if rule.by_set_pos:
                yield [each for month in months for each in self._month(year, month)]
                continue
            for month in months:  # one by one, since the rest of the year is seldom needed
                if (year, month) >= (since.year, since.month):
                    yield self._month(year, month)

    def _monthly(self, day: int, last: int) -> Iterator[Period]:
        rule = self._rule
        first = _aligned(_month_index(date.fromordinal(day)), _month_index(self._start), rule.interval)
        for index in range(first, _month_index(date.fromordinal(last)) + 1, rule.interval):
            year, month = divmod(index, 12)
            if not rule.by_month or month + 1 in rule.by_month:
                yield self._month(year, month + 1)

    def _weekly(self, day: int, last: int) -> Iterator[Period]:
        rule = self._rule
        step = 7 * rule.interval
        first_week = self._first - (self._first - 1 - rule.week_start) % 7
        for week in range(_aligned(day - 6, first_week, step), last + 1, step):
            yield [
                each
                for each in range(week, week + 7)
                if (each - 1) % 7 in self._weekdays
                and (not rule.by_month or date.fromordinal(each).month in rule.by_month)
            ]

    def _daily(self, day: int, last: int) -> Iterator[Period]:
        months = self._rule.by_month
        each = self._day_of_period(day)
        while each <= last:
            when = date.fromordinal(each)
            if months and when.month not in months:
                each = self._day_of_period(each + monthrange(when.year, when.month)[1] - when.day + 1)
                continue
            if self._matches(each, when.year, when.month, when.day):
                yield (each,)
            each = self._day_of_period(each + 1)

    def _day_of_period(self, day: int) -> int:
        """The first day from `day` on in which a period of a day or less begins."""
        if self._rule.interval <= self._periods_a_day:
            return day
        return (
            _aligned(day * self._periods_a_day, self._first_period, self._rule.interval) // self._periods_a_day
        )

    def _month(self, year: int, month: int) -> Period:
        """The days of a month that the rule names."""
        known, days = self._latest
        if known != (year, month):
            days = self._named(year, month)
            self._latest = ((year, month), days)
        return days

    def _named(self, year: int, month: int) -> Period:
        before = date(year, month, 1).toordinal() - 1
        numbers = self._candidates(before + 1, year, monthrange(year, month)[1])
        return [before + each for each in numbers if self._matches(before + each, year, month, each)]

    def _candidates(self, first: int, year: int, length: int) -> Iterable[int]:
        """Numbers of a month's days, sorted, by the part of the rule that leaves fewest."""
        rule = self._rule
        if rule.by_month_day:
            return sorted(_counted(rule.by_month_day, length).intersection(range(1, length + 1)))
        if rule.by_year_day:
            place, places = _in_year(first, year)
            numbers = {each - place + 1 for each in _counted(rule.by_year_day, places)}
            return sorted(numbers.intersection(range(1, length + 1)))
        firsts = ((weekday - first + 1) % 7 + 1 for weekday in self._weekdays)
        return sorted(each for number in firsts for each in range(number, length + 1, 7))

    def _matches(self, day: int, year: int, month: int, number: int) -> bool:
        rule = self._rule
        if rule.by_day and (day - 1) % 7 not in self._weekdays:
            return False
        if rule.by_month_day and not _is_one_of(rule.by_month_day, number, monthrange(year, month)[1]):
            return False
        if rule.by_year_day and not _is_one_of(rule.by_year_day, *_in_year(day, year)):
            return False
        if rule.by_day and ((day - 1) % 7, 0) not in rule.by_day:
            return self._is_numbered(day, year, month, number)
        return True

    def _is_numbered(self, day: int, year: int, month: int, number: int) -> bool:
        """Whether it is, say, the second Tuesday of its month or year."""
        weekday, asked = (day - 1) % 7, self._rule.by_day
        place, length = number, monthrange(year, month)[1]
        if self._rule.frequency is Frequency.YEARLY and not self._rule.by_month:
            place, length = _in_year(day, year)
        return (weekday, (place + 6) // 7) in asked or (weekday, -((length - place) // 7 + 1)) in asked


def _completed(rule: Rule, start: datetime) -> Rule:
    if rule.by_month_day or rule.by_year_day or rule.by_day:
        return rule
    match rule.frequency:
        case Frequency.YEARLY:
            months = rule.by_month or frozenset({start.month})
            return replace(rule, by_month=months, by_month_day=frozenset({start.day}))
        case Frequency.MONTHLY:
            return replace(rule, by_month_day=frozenset({start.day}))
        case Frequency.WEEKLY:
            return replace(rule, by_day=frozenset({(start.weekday(), 0)}))
    return rule


def _aligned(value: int, first: int, step: int) -> int:
    """The first of `first`, `first + step`, ... that is not below `value`."""
    return max(first, value + (first - value) % step)


def _month_index(day: date) -> int:
    return day.year * 12 + day.month - 1


def _in_year(day: int, year: int) -> tuple[int, int]:
    """Which day of its year it is, and how many that year has."""
    return day - date(year, 1, 1).toordinal() + 1, 366 if isleap(year) else 365


def _is_one_of(asked: frozenset[int], place: int, length: int) -> bool:
    """Counted from the beginning or from the end."""
    return place in asked or place - length - 1 in asked


def _counted(asked: frozenset[int], length: int) -> set[int]:
    """From the beginning, what is counted from the end too."""
    return {each if each > 0 else length + 1 + each for each in asked}
