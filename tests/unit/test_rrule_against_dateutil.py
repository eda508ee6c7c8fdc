"""Recurrence rules fire when dateutil, which implements the same RFC, says so."""

from __future__ import annotations

import datetime as calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from dateutil import rrule as theirs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.schedules.recurrence import HORIZON
from domain.schedules.rrule.parsing import WEEKDAYS, parse
from domain.schedules.rrule.series import Series
from infra.recurrence.zones import zone_named

STARTS = (datetime(2024, 1, 1), datetime(2031, 12, 31))  # noqa: DTZ001  wall times
END = datetime(2042, 1, 1)  # noqa: DTZ001  a wall time
"""What comes later is not compared."""
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

WITHIN_A_DAY = ("HOURLY", "MINUTELY")


class _ShortCalendar:
    """The module datetime, ending early: dateutil looks for the next date until its calendar ends."""

    MAXYEAR = END.year + 9

    def __getattr__(self, name: str) -> Any:
        return getattr(calendar, name)


@pytest.fixture(scope="module", autouse=True)
def short_calendar() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "datetime", _ShortCalendar())
        yield


def numbers(least: int, most: int, size: int = 3) -> st.SearchStrategy[str]:
    some = st.lists(st.integers(least, most), min_size=1, max_size=size, unique=True)
    return some.map(lambda each: ",".join(map(str, each)))


def signed(most: int, size: int = 3) -> st.SearchStrategy[str]:
    one = st.integers(1, most) | st.integers(-most, -1)
    return st.lists(one, min_size=1, max_size=size, unique=True).map(lambda each: ",".join(map(str, each)))


def days(numbered: int) -> st.SearchStrategy[str]:
    """All with numbers or all without: dateutil asks that both kinds match, the RFC that one does."""
    some = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3, unique=True)
    plain = some.map(",".join)
    if not numbered:
        return plain
    place = st.integers(1, numbered) | st.integers(-numbered, -1)
    return plain | st.tuples(place, some).map(lambda each: ",".join(f"{each[0]}{day}" for day in each[1]))


INTERVALS = {"YEARLY": 3, "MONTHLY": 14, "WEEKLY": 6, "DAILY": 40, "HOURLY": 50, "MINUTELY": 3_000}


def parts(frequency: str) -> dict[str, st.SearchStrategy[str]]:
    common = {"BYMONTH": numbers(1, 12), "BYHOUR": numbers(0, 23), "BYMINUTE": numbers(0, 59)}
    per_month = {"BYMONTHDAY": signed(31)}
    match frequency:
        case "YEARLY":
            return common | per_month | {"BYDAY": days(53), "BYYEARDAY": signed(366)}
        case "MONTHLY":
            return common | per_month | {"BYDAY": days(5)}
        case "WEEKLY":
            return common | {"BYDAY": days(0)}
        case "DAILY":
            return common | per_month | {"BYDAY": days(0)}
        case "HOURLY":
            return common | per_month | {"BYDAY": days(0), "BYYEARDAY": signed(366, 10)}
        case _:  # dateutil goes through each minute of a day that is not ruled out
            return {"BYDAY": days(0), "BYHOUR": common["BYHOUR"], "BYMINUTE": common["BYMINUTE"]}


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, datetime]:
    """The text of a rule, and its start as a wall time."""
    frequency = draw(st.sampled_from(list(INTERVALS)))
    given_parts = {"FREQ": frequency}
    known = parts(frequency)
    for name in draw(st.lists(st.sampled_from(sorted(known)), max_size=3, unique=True)):
        given_parts[name] = draw(known[name])
    if "BYMONTH" in given_parts and "BYDAY" in given_parts and frequency == "YEARLY":
        given_parts["BYDAY"] = draw(days(5))  # counted within the month; dateutil fails on higher numbers
    if draw(st.booleans()):
        given_parts["INTERVAL"] = str(draw(st.integers(1, INTERVALS[frequency])))
    if draw(st.integers(0, 2)) == 0:
        given_parts["WKST"] = draw(st.sampled_from(WEEKDAYS))
    if len(given_parts) > 1 and frequency != "MINUTELY" and draw(st.integers(0, 2)) == 0:
        given_parts["BYSETPOS"] = draw(signed(draw(st.sampled_from([2, 30, 366]))))
    if given_parts.keys() <= {"FREQ", "INTERVAL", "WKST", "BYSETPOS"}:
        given_parts.pop("BYSETPOS", None)
    start = draw(st.datetimes(*STARTS)).replace(microsecond=0)
    if frequency == "WEEKLY" and "BYSETPOS" in given_parts:
        # dateutil picks from what is left of the first week, we from the whole of it, as from each later one.
        first = WEEKDAYS.index(given_parts.get("WKST", "MO"))
        start -= DAY * ((start.weekday() - first) % 7)
    return ";".join(f"{name}={value}" for name, value in given_parts.items()), start


def oracle(text: str, start: datetime) -> theirs.rrule | None:
    """None for a rule that dateutil sees to be empty, which it does where we only look for eight years."""
    try:
        found = theirs.rrulestr(text, dtstart=start)
    except ValueError as refused:
        if "empty set" in str(refused):
            return None
        raise
    assert isinstance(found, theirs.rrule)
    return found


def expected_after(rule: theirs.rrule | None, after: datetime) -> Iterator[datetime]:
    """Those later than `after`, up to the first pause of more than eight years, and to the end."""
    if rule is None:
        return
    try:
        for each in rule:
            if each > after:
                if each - after > HORIZON - DAY:
                    assume(
                        each - after > HORIZON + DAY
                    )  # at the horizon itself a day is neither here nor there
                    return
                if each >= END:
                    return
                yield each
                after = each
    except ValueError as refused:
        if "Invalid combination" not in str(refused):
            raise


def ours_after(series: Series, after: datetime) -> Iterator[datetime]:
    return (each.replace(tzinfo=None) for each in instants_after(series, UTC, after.replace(tzinfo=UTC)))


def instants_after(series: Series, zone: calendar.tzinfo, after: datetime) -> Iterator[datetime]:
    found = series.next_after(after)
    while found is not None and (local := found.astimezone(zone)).replace(tzinfo=None) < END:
        yield local
        found = series.next_after(found)


@settings(max_examples=250, deadline=None)
@given(rules(), st.data())
def test_fires_when_dateutil_says(drawn: tuple[str, datetime], data: st.DataObject) -> None:
    text, start = drawn
    days_on = 20 if "MINUTELY" in text else 60 if "HOURLY" in text else 1_500
    after = start + data.draw(st.timedeltas(-DAY, DAY * days_on))
    series = Series(parse(text), UTC, start.replace(tzinfo=UTC))
    assert list(islice(ours_after(series, after), 6)) == list(
        islice(expected_after(oracle(text, start), after), 6)
    )


@settings(max_examples=150, deadline=None)
@given(rules(), st.integers(1, 40), st.data())
def test_ends_when_dateutil_says(drawn: tuple[str, datetime], count: int, data: st.DataObject) -> None:
    text, start = drawn
    rule = oracle(text, start)
    everything = list(islice(expected_after(rule, start - SECOND), 41))
    if data.draw(st.booleans()):
        text, expected = f"{text};COUNT={count}", everything[:count]
    else:
        until = data.draw(st.sampled_from(everything)) if everything else start
        until += data.draw(st.sampled_from([timedelta(0), SECOND, -SECOND]))
        text = f"{text};UNTIL={until:%Y%m%dT%H%M%S}{data.draw(st.sampled_from(['', 'Z']))}"
        expected = [each for each in everything if each <= until]
    series = Series(parse(text), UTC, start.replace(tzinfo=UTC))
    assert list(islice(ours_after(series, start - SECOND), 41)) == expected
    # From anywhere, in any order: what it remembers of its counting must not show.
    for after in data.draw(st.permutations([start - SECOND, *expected]))[:8]:
        later = [each for each in expected if each > after]
        assert next(ours_after(series, after), None) == (later[0] if later else None)


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana")
CHANGES = ("2030-03-08", "2030-03-29", "2030-04-05", "2030-04-24", "2030-10-04", "2030-10-25", "2030-11-01")
"""Two days before those zones change their clocks."""


@settings(max_examples=250, deadline=None)
@given(rules(), st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(0, 3 * 24 * 60))
def test_shows_the_wall_times_that_dateutil_says_and_the_zone_has(
    drawn: tuple[str, datetime], name: str, day: str, minutes: int
) -> None:
    text, start = drawn
    start = datetime.fromisoformat(day) + timedelta(minutes=minutes, seconds=start.second)
    assume("BYSETPOS" not in text or "WEEKLY" not in text)
    zone = zone_named(name)
    assume(exists(start, zone))
    expected = (each for each in expected_after(oracle(text, start), start - SECOND) if exists(each, zone))
    series = Series(parse(text), zone, start.replace(tzinfo=zone))
    found = instants_after(series, zone, start.replace(tzinfo=zone).astimezone(UTC) - SECOND)
    # A clock that is put back shows times again: those are left out here, and tested with the clock changes.
    shown = (each.replace(tzinfo=None) for each in found if not each.fold)
    most = 200 if any(each in text for each in WITHIN_A_DAY) else 8
    assert list(islice(shown, most)) == list(islice(expected, most))


def exists(wall: datetime, zone: calendar.tzinfo) -> bool:
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall
