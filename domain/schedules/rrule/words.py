"""A recurrence rule in plain words, for people who look at a preview."""

from __future__ import annotations

from calendar import day_name, month_name
from collections.abc import Iterable
from datetime import datetime
from itertools import product
from typing import Final

from domain.schedules.rrule.rule import Frequency, Rule, RuleText

_UNITS: Final = {
    Frequency.YEARLY: "year",
    Frequency.MONTHLY: "month",
    Frequency.WEEKLY: "week",
    Frequency.DAILY: "day",
    Frequency.HOURLY: "hour",
    Frequency.MINUTELY: "minute",
}
_MOST_TIMES: Final = 4
"""That are listed one by one."""


def describe(text: RuleText) -> str | None:
    """None for a rule that picks by BYSETPOS, which no short sentence says well."""
    rule = text.rule
    if rule.by_set_pos:
        return None
    parts = [_often(rule), *_days(rule), *_times(rule)]
    sentence = " ".join(parts) + _end(rule)
    return f"{sentence}, with exceptions" if text.excluded else sentence


def _often(rule: Rule) -> str:
    unit = _UNITS[rule.frequency]
    return f"Every {unit}" if rule.interval == 1 else f"Every {rule.interval} {unit}s"


def _days(rule: Rule) -> Iterable[str]:
    if rule.by_day:
        within = " of the year" if rule.frequency is Frequency.YEARLY and not rule.by_month else ""
        yield "on " + _joined(
            _weekday(*each, within) for each in sorted(rule.by_day, key=lambda each: each[::-1])
        )
    if rule.by_month_day:
        yield "on " + _joined(f"{_place(each)} day" for each in _in_order(rule.by_month_day)) + " of the month"
    if rule.by_year_day:
        yield "on " + _joined(f"{_place(each)} day" for each in _in_order(rule.by_year_day)) + " of the year"
    if rule.by_month:
        yield "in " + _joined(month_name[each] for each in sorted(rule.by_month))


def _times(rule: Rule) -> Iterable[str]:
    hours, minutes = rule.by_hour, rule.by_minute
    if hours and minutes and len(hours) * len(minutes) <= _MOST_TIMES:
        yield "at " + _joined(f"{hour:02}:{minute:02}" for hour, minute in product(hours, minutes))
        return
    if minutes:
        yield f"at minute {_joined(map(str, minutes))}"
    if hours:
        yield f"in hour {_joined(map(str, hours))}"


def _end(rule: Rule) -> str:
    if rule.count is not None:
        return ", once" if rule.count == 1 else f", {rule.count} times"
    if isinstance(rule.until, datetime):
        return f", until {rule.until:%Y-%m-%d %H:%M}" + (" UTC" if rule.until.tzinfo else "")
    return "" if rule.until is None else f", until {rule.until:%Y-%m-%d}"


def _weekday(weekday: int, place: int, within: str) -> str:
    name = day_name[weekday]
    return f"the {_ordinal(place)} {name}{within}" if place else name


def _place(place: int) -> str:
    return f"the {_ordinal(place)}"


def _in_order(places: Iterable[int]) -> list[int]:
    """Those counted from the end come last."""
    return sorted(places, key=lambda place: (place < 0, place))


def _ordinal(place: int) -> str:
    if place < 0:
        return "last" if place == -1 else f"{_ordinal(-place)} last"
    teens = place % 100 in (11, 12, 13)
    return f"{place}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(place % 10, 'th')}"


def _joined(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
