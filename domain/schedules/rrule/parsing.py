"""Reads the text of a recurrence rule; what it does not know it refuses by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final

from domain.errors import Invalid
from domain.schedules.recurrence import HORIZON, MAX_TEXT, YEARS
from domain.schedules.rrule.rule import Frequency, Moment, Rule, RuleText

WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MAX_COUNT: Final = 10_000

_HOURS: Final = HORIZON.days * 24
_LONGEST: Final = {
    Frequency.YEARLY: 8,
    Frequency.MONTHLY: 8 * 12,
    Frequency.WEEKLY: HORIZON.days // 7,
    Frequency.DAILY: HORIZON.days,
    Frequency.HOURLY: _HOURS,
    Frequency.MINUTELY: _HOURS * 60,
}
"""Intervals of eight years."""
_MOMENT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?")
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_NUMBER = re.compile(r"[+-]?[0-9]{1,7}")


def parse(text: str) -> RuleText:
    """Raises Invalid with the path `("rrule",)`."""
    if len(text) > MAX_TEXT:
        raise _invalid(f"It must have at most {MAX_TEXT} characters; it has {len(text)}.")
    rule: Rule | None = None
    start: Moment | None = None
    excluded: list[Moment] = []
    zones: set[str] = set()
    for line in _unfolded(text):
        name, parameters, value = _content(line)
        match name:
            case "RRULE" if rule is None and not parameters:
                rule = _rule(value.upper())
            case "DTSTART" if start is None:
                zones.update(_zones(name, parameters))
                start = _moment(name, value)
            case "EXDATE":
                zones.update(_zones(name, parameters))
                excluded.extend(_moment(name, each) for each in value.split(","))
            case "RRULE" | "DTSTART":
                raise _invalid(f"{name} can be given once, and RRULE has no parameters.")
            case _:
                raise _invalid(f"{_shown(name)} is not known here: RRULE, DTSTART and EXDATE are.")
    if rule is None:
        raise _invalid("There must be a rule, for instance FREQ=DAILY.")
    return RuleText(rule=rule, start=start, excluded=tuple(excluded), zones=frozenset(zones))


def _unfolded(text: str) -> list[str]:
    lines = re.sub(r"\r?\n[ \t]", "", text.strip()).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _content(line: str) -> tuple[str, list[str], str]:
    """The name, parameters and value of a content line; a line that is a rule alone gets its name."""
    head, colon, value = line.partition(":")
    if not colon:
        return "RRULE", [], line
    name, *parameters = head.split(";")
    return name.upper(), parameters, value


def _zones(line: str, parameters: list[str]) -> list[str]:
    found = []
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.upper() == "TZID":
            found.append(value)
        elif parameter.upper() not in ("VALUE=DATE", "VALUE=DATE-TIME"):
            raise _invalid(f"{line} has a parameter that is not known here: {_shown(parameter)}.")
    return found


def _rule(text: str) -> Rule:
    given: dict[str, str] = {}
    for part in text.removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise _invalid(f"Each part must be a name and a value, as in FREQ=DAILY; {_shown(part)} is not.")
        if name in given:
            raise _invalid(f"{name} can be given once.")
        if name not in _PARTS and name != "FREQ":
            raise _invalid(_UNKNOWN.get(name, f"{_shown(name)} is not known here."))
        given[name] = value
    frequency = _frequency(given.pop("FREQ", None))
    values = {_PARTS[name][0]: _PARTS[name][1](name, value) for name, value in given.items()}
    rule = Rule(frequency=frequency, **values)
    _check(rule)
    return rule


def _check(rule: Rule) -> None:
    """Refuses what RFC 5545 rules out, and intervals that leave the horizon."""
    frequency = rule.frequency
    if rule.interval > _LONGEST[frequency]:
        raise _invalid("INTERVAL must not be longer than eight years.")
    if rule.count is not None and rule.until is not None:
        raise _invalid("COUNT and UNTIL cannot both be given.")
    if rule.by_month_day and frequency is Frequency.WEEKLY:
        raise _invalid("BYMONTHDAY cannot be used with FREQ=WEEKLY.")
    if rule.by_year_day and frequency in (Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY):
        raise _invalid(f"BYYEARDAY cannot be used with FREQ={frequency}.")
    if frequency not in (Frequency.MONTHLY, Frequency.YEARLY) and any(nth for _, nth in rule.by_day):
        raise _invalid(f"BYDAY cannot have numbers with FREQ={frequency}.")
    by = (rule.by_month, rule.by_month_day, rule.by_year_day, rule.by_day, rule.by_hour, rule.by_minute)
    if rule.by_set_pos and not any(by):
        raise _invalid("BYSETPOS needs another BY part to choose from.")
    if rule.by_set_pos and frequency is Frequency.MINUTELY:
        raise _invalid(
            "BYSETPOS cannot be used with FREQ=MINUTELY: there is nothing to choose within a minute."
        )


def _frequency(value: str | None) -> Frequency:
    if value is None:
        raise _invalid("FREQ must be given, for instance FREQ=DAILY.")
    if value not in Frequency.__members__:
        known = ", ".join(Frequency)
        raise _invalid(f"FREQ={_shown(value)} is not known here: it is one of {known}.")
    return Frequency(value)


def _number(name: str, text: str, least: int, most: int) -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise _invalid(f"{name} takes numbers from {least} to {most}; {_shown(text)} is none.")
    return int(text)


def _one(most: int) -> Callable[[str, str], int]:
    return lambda name, value: _number(name, value, 1, most)


def _set(least: int, most: int) -> Callable[[str, str], frozenset[int]]:
    return lambda name, value: frozenset(_number(name, each, least, most) for each in value.split(","))


def _sorted(least: int, most: int) -> Callable[[str, str], tuple[int, ...]]:
    numbers = _set(least, most)
    return lambda name, value: tuple(sorted(numbers(name, value)))


def _signed(most: int) -> Callable[[str, str], frozenset[int]]:
    numbers = _set(-most, most)
    return lambda name, value: frozenset(_nonzero(name, each) for each in numbers(name, value))


def _nonzero(name: str, number: int) -> int:
    if number == 0:
        raise _invalid(f"{name} counts from 1, or from -1 at the end: there is no 0.")
    return number


def _positions(name: str, value: str) -> tuple[int, ...]:
    return tuple(sorted(_signed(366)(name, value)))


def _weekday(name: str, value: str) -> int:
    if value not in WEEKDAYS:
        raise _invalid(f"{name} takes one of {', '.join(WEEKDAYS)}; {_shown(value)} is none.")
    return WEEKDAYS.index(value)


def _days(name: str, value: str) -> frozenset[tuple[int, int]]:
    found = set()
    for each in value.split(","):
        match = _DAY.fullmatch(each)
        if match is None:
            raise _invalid(f"{name} takes days like MO, 2TU or -1FR; {_shown(each)} is none.")
        number, weekday = match.groups()
        nth = 0 if number is None else _nonzero(name, _number(name, number, -53, 53))
        found.add((WEEKDAYS.index(weekday), nth))
    return frozenset(found)


def _moment(name: str, value: str) -> Moment:
    match = _MOMENT.fullmatch(value.strip().upper())
    if match is None:
        raise _invalid(f"{name} takes dates like 20300131, 20300131T080000 or 20300131T080000Z.")
    year, month, day, hour, minute, second, utc = match.groups()
    if int(year) not in YEARS:
        raise _invalid(f"{name} takes dates from {YEARS.start} to {YEARS.stop - 1}; {value} is outside.")
    try:
        if hour is None:
            return date(int(year), int(month), int(day))
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))  # noqa: DTZ001  a wall time
    except ValueError:
        raise _invalid(f"{name} has a date or time that does not exist: {value}.") from None
    return moment.replace(tzinfo=UTC) if utc else moment


_PARTS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "INTERVAL": ("interval", _one(9_999_999)),
    "COUNT": ("count", _one(MAX_COUNT)),
    "UNTIL": ("until", _moment),
    "BYMONTH": ("by_month", _set(1, 12)),
    "BYMONTHDAY": ("by_month_day", _signed(31)),
    "BYYEARDAY": ("by_year_day", _signed(366)),
    "BYDAY": ("by_day", _days),
    "BYHOUR": ("by_hour", _sorted(0, 23)),
    "BYMINUTE": ("by_minute", _sorted(0, 59)),
    "BYSETPOS": ("by_set_pos", _positions),
    "WKST": ("week_start", _weekday),
}
"""What it sets, and how its value is read."""

_UNKNOWN: Final = {
    "BYSECOND": "BYSECOND is not known here: the second is that of the start.",
    "BYWEEKNO": "BYWEEKNO is not known here: say it with BYMONTH, BYDAY or BYYEARDAY.",
}


def _shown(text: str) -> str:
    return repr(text[:40])


def _invalid(sentence: str) -> Invalid:
    return Invalid(sentence, ("rrule",))
