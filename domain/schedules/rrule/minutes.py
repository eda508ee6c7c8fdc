"""The minutes of a day at which a rule happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from math import gcd
from typing import Final

from domain.schedules.rrule.rule import Frequency, Rule

_MINUTES: Final = 24 * 60
_CACHED: Final = 128

Occasion = tuple[int, Sequence[int]]
"""A day as its ordinal, and minutes of that day, sorted."""
Times = tuple[int, ...]


class Minutes:
    """Of a rule, completed by its start: an hour or minute that the rule leaves open is as it is there."""

    def __init__(self, rule: Rule, start: datetime) -> None:
        frequency = rule.frequency
        self._hourly = frequency is Frequency.HOURLY
        self._within = frequency.within_a_day
        self._hours = rule.by_hour or (() if self._within else (start.hour,))
        self._minutes = rule.by_minute or (() if frequency is Frequency.MINUTELY else (start.minute,))
        if self._hourly and rule.by_set_pos:
            self._minutes = _chosen(self._minutes, rule.by_set_pos)
        self._interval, self._daily = rule.interval, frequency.periods_a_day
        self._first = first_period(rule, start)
        self._picked: Times | None = None
        if frequency is Frequency.DAILY and rule.by_set_pos:
            self._picked = _chosen(self.every_day, rule.by_set_pos)

    @property
    def every_day(self) -> Sequence[int]:
        """Those of every day; of periods shorter than a day, those that some day has.

        Not kept here, but shared by all rules: there may be a thousand.
        """
        if self._picked is not None:
            return self._picked
        if not self._within:
            return _hourly(0, 1, self._hours, self._minutes)
        step = gcd(self._interval, self._daily)  # days differ by multiples of it
        return self._from(self._first % step, step)

    def on(self, day: int) -> Sequence[int]:
        """Those of a day on which the rule happens."""
        if not self._within:
            return self.every_day
        phase = (self._first - day * self._daily) % self._interval
        return () if phase >= self._daily else self._from(phase, self._interval)

    def _from(self, phase: int, step: int) -> Sequence[int]:
        return (_hourly if self._hourly else _minutely)(phase, step, self._hours, self._minutes)


def picked(days: Sequence[int], minutes: Sequence[int], positions: Times) -> Iterator[Occasion]:
    """BYSETPOS: those at `positions` among all minutes of all `days`, which are never listed."""
    size = len(days) * len(minutes)
    places = {position - 1 if position > 0 else size + position for position in positions}
    chosen = sorted(place for place in places if 0 <= place < size)
    for day, group in groupby(chosen, key=lambda place: place // len(minutes)):
        yield days[day], [minutes[place % len(minutes)] for place in group]


def first_period(rule: Rule, start: datetime) -> int:
    """The minute, hour or day of the start, counted from the beginning of the calendar."""
    within = {Frequency.HOURLY: start.hour, Frequency.MINUTELY: start.hour * 60 + start.minute}
    return start.toordinal() * rule.frequency.periods_a_day + within.get(rule.frequency, 0)


def _chosen(minutes: Sequence[int], positions: Times) -> Times:
    return tuple(minute for _, some in picked((0,), minutes, positions) for minute in some)


@lru_cache(_CACHED)
def _hourly(phase: int, step: int, hours: Times, minutes: Times) -> Sequence[int]:
    of_day = range(phase, 24, step)
    return tuple(hour * 60 + minute for hour in of_day if not hours or hour in hours for minute in minutes)


@lru_cache(_CACHED)
def _minutely(phase: int, step: int, hours: Times, minutes: Times) -> Sequence[int]:
    of_day: Sequence[int] = range(phase, _MINUTES, step)
    if hours:
        of_day = [at for at in of_day if at // 60 in hours]
    if minutes:
        of_hour = frozenset(minutes)
        of_day = [at for at in of_day if at % 60 in of_hour]
    return of_day
