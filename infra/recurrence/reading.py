"""Reads recurrences of every kind, and remembers the ones it read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from domain.errors import Invalid
from domain.schedules.recurrence import YEARS, Cron, Every, Recurrence, RRule
from domain.schedules.rrule.parsing import parse
from domain.schedules.rrule.series import Series
from domain.schedules.rrule.words import describe
from infra.recurrence.cron import CronTimes
from infra.recurrence.zones import zone_database_version, zone_named

REMEMBERED: Final = 4_096
"""Expressions and rules that are kept read, the latest used."""

LONGEST_COUNT: Final = timedelta(days=2 * 366)
"""How long ago COUNT may begin when a schedule is made: each day since then has to be looked at."""

_MOMENT: Final = timedelta(microseconds=1)


class ReadRecurrences:
    """What it keeps depends on nothing but its key, so threads may share it."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._cron = lru_cache(remembered)(CronTimes)
        self._series = lru_cache(remembered)(_series)

    def check_zone(self, zone: str) -> None:
        zone_named(zone)

    def check(self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime) -> None:
        zone_named(zone)
        if anchor.year not in YEARS:
            raise Invalid(f"It must begin from {YEARS.start} to {YEARS.stop - 1}.", (_name(recurrence),))
        if isinstance(recurrence, RRule):
            since = self._series(recurrence.text, zone, anchor).counted_since
            if since is not None and since < after - LONGEST_COUNT:
                raise Invalid("With COUNT, it must not begin more than two years ago.", ("rrule",))
        if self.next_after(recurrence, zone, anchor, after) is None:
            raise Invalid("It does not fire within eight years.", (_name(recurrence),))

    def next_after(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime
    ) -> datetime | None:
        after = max(after, anchor - _MOMENT)
        place = zone_named(zone)
        try:
            match recurrence:
                case Cron(expression):
                    return self._cron(expression).next_after(place, after)
                case RRule(text):
                    return self._series(text, zone, anchor).next_after(after)
                case Every():
                    recurrence.check()
                    return recurrence.next_after(anchor, after)
        except OverflowError:  # the calendar ends with the year 9999
            return None

    def fire_times(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime, most: int
    ) -> Iterator[datetime]:
        first = self.next_after(recurrence, zone, anchor, after)
        return self._following(recurrence, zone, anchor, first, most)

    def _following(
        self, recurrence: Recurrence, zone: str, anchor: datetime, at: datetime | None, most: int
    ) -> Iterator[datetime]:
        for _ in range(most):
            if at is None:
                return
            yield at
            at = self.next_after(recurrence, zone, anchor, at)

    def describe(self, recurrence: Recurrence) -> str | None:
        match recurrence:
            case Cron(expression):
                return self._cron(expression).describe()
            case RRule(text):
                return describe(parse(text))
            case Every():
                recurrence.check()
                return recurrence.describe()

    def zone_database_version(self) -> str:
        return zone_database_version()


def _series(text: str, zone: str, anchor: datetime) -> Series:
    read = parse(text)
    if read.zones - {zone}:
        raise Invalid(f"TZID must be the schedule's own zone, {zone}, or be left out.", ("rrule",))
    return Series(read, zone_named(zone), anchor)


def _name(recurrence: Recurrence) -> str:
    return {Cron: "cron", RRule: "rrule", Every: "every"}[type(recurrence)]
