"""What a recurrence rule says (RFC 5545, 3.3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Frequency(StrEnum):
    YEARLY = "YEARLY"
    MONTHLY = "MONTHLY"
    WEEKLY = "WEEKLY"
    DAILY = "DAILY"
    HOURLY = "HOURLY"
    MINUTELY = "MINUTELY"

    @property
    def within_a_day(self) -> bool:
        return self in (Frequency.HOURLY, Frequency.MINUTELY)

    @property
    def beyond_a_day(self) -> bool:
        return self in (Frequency.YEARLY, Frequency.MONTHLY, Frequency.WEEKLY)

    @property
    def periods_a_day(self) -> int:
        """For those of at most a day."""
        return {Frequency.HOURLY: 24, Frequency.MINUTELY: 24 * 60}.get(self, 1)


Moment = date | datetime
"""A day; or a time, naive in the schedule's zone, or aware in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An empty set or tuple is a part that is not given."""

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: Moment | None = None
    by_month: frozenset[int] = frozenset()
    by_month_day: frozenset[int] = frozenset()
    by_year_day: frozenset[int] = frozenset()
    by_day: frozenset[tuple[int, int]] = frozenset()
    """Weekdays, Monday being 0, each with which one of the month or year it is; 0 is every one."""
    by_hour: tuple[int, ...] = ()
    """Sorted, as are minutes."""
    by_minute: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()
    week_start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """A rule with what may stand beside it."""

    rule: Rule
    start: Moment | None = None
    """DTSTART: when given, counting begins there instead of at the schedule's anchor."""
    excluded: tuple[Moment, ...] = ()
    """EXDATE. A day takes out all that happens on it."""
    zones: frozenset[str] = frozenset()
    """Named by TZID."""
