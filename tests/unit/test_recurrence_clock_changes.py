"""Fire times where clocks are put forward and back, in every zone, against one who watches the clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from domain.schedules.recurrence import Cron, Every, Recurrence, RRule
from domain.schedules.wall_time import Reading
from infra.recurrence.reading import ReadRecurrences
from infra.recurrence.zones import zone_named, zone_names
from tests.support.clock_changes import MINUTE, Change, all_changes, fires, watch

HOUR = timedelta(hours=1)
MARGIN = 2 * HOUR
SECOND = timedelta(seconds=1)
LONG_AGO = datetime(2019, 6, 1, tzinfo=UTC)

Matches = Callable[[datetime], bool]


@pytest.fixture(scope="module")
def changes() -> list[Change]:
    return all_changes()


@pytest.fixture(scope="module")
def recurrences() -> ReadRecurrences:
    return ReadRecurrences()


@dataclass(frozen=True)
class Case:
    recurrence: Recurrence
    reading: Reading
    matches: Matches


def at(hours: set[int] | range, minutes: set[int] | range) -> Matches:
    return lambda wall: wall.hour in hours and wall.minute in minutes


def hours_from(change: Change) -> tuple[int, int]:
    """The hour in which clocks are changed, and the one before."""
    hour = change.first_wall.hour
    return hour, (hour - 1) % 24


def fixed(change: Change) -> Iterator[Case]:
    hour, before = hours_from(change)
    hours = {hour, before, (hour + 1) % 24}
    yield Case(Cron(f"30 {hour} * * *"), Reading.FIXED, at({hour}, {30}))
    yield Case(Cron(f"0 0,{hour} * * *"), Reading.FIXED, at({0, hour}, {0}))
    yield Case(
        Cron(f"0-59/7 {','.join(map(str, hours))} * * *"), Reading.FIXED, at(hours, set(range(0, 60, 7)))
    )
    yield Case(Cron(f"0 5,45 {hour},{before} * * ?"), Reading.FIXED, at({hour, before}, {5, 45}))


def elapsed(change: Change) -> Iterator[Case]:
    hour, before = hours_from(change)
    yield Case(Cron("30 * * * *"), Reading.ELAPSED, at(range(24), {30}))
    yield Case(Cron(f"* {hour} * * *"), Reading.ELAPSED, at({hour}, range(60)))
    yield Case(Cron(f"*/20 {hour},{before} * * *"), Reading.ELAPSED, at({hour, before}, {0, 20, 40}))
    yield Case(Cron("*/45 */2 * * *"), Reading.ELAPSED, at(range(0, 24, 2), {0, 45}))


def rules(change: Change) -> Iterator[Case]:
    hour, before = hours_from(change)
    daily = f"FREQ=DAILY;BYHOUR={hour},{before};BYMINUTE=0,10,30"
    yield Case(RRule(daily), Reading.CALENDAR, at({hour, before}, {0, 10, 30}))
    yield Case(RRule("FREQ=HOURLY;BYMINUTE=15,45"), Reading.ELAPSED, at(range(24), {15, 45}))
    yield Case(
        RRule("DTSTART:20190601T000000\nFREQ=MINUTELY;INTERVAL=20"), Reading.ELAPSED, at(range(24), {0, 20, 40})
    )


@pytest.mark.fault(21, "every change of every zone, against one who watches the clock")
@pytest.mark.parametrize("cases", [fixed, pytest.param(elapsed, marks=pytest.mark.long), rules])
def test_every_change_of_every_zone_is_met_as_by_one_who_watches_the_clock(
    changes: list[Change], recurrences: ReadRecurrences, cases: Callable[[Change], Iterator[Case]]
) -> None:
    assert len(changes) > 800
    for change in changes:
        start, end = change.at - change.size - MARGIN, change.at + change.size + MARGIN
        shown = watch(zone_named(change.zone), start, end)
        for case in cases(change):
            expected = fires(shown, case.matches, case.reading)
            assert list(between(recurrences, case.recurrence, change.zone, start, end)) == expected, (
                change,
                case,
            )
            for after in glances(start, end):
                place = bisect_right(expected, after)
                if place < len(expected):
                    found = recurrences.next_after(case.recurrence, change.zone, LONG_AGO, after)
                    assert found == expected[place], (change, case, after)


def between(
    recurrences: ReadRecurrences, recurrence: Recurrence, zone: str, start: datetime, end: datetime
) -> Iterator[datetime]:
    found = recurrences.next_after(recurrence, zone, LONG_AGO, start)
    while found is not None and found <= end:
        yield found
        found = recurrences.next_after(recurrence, zone, LONG_AGO, found)


def glances(start: datetime, end: datetime) -> Iterator[datetime]:
    """Instants to ask from, most of them not on a whole minute."""
    step = timedelta(minutes=23, seconds=17, microseconds=3)
    while start < end:
        yield start
        start += step


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", (2030, 3, 31)),
        ("Europe/Berlin", (2030, 10, 27)),
        ("America/New_York", (2030, 3, 10)),
        ("Australia/Lord_Howe", (2030, 4, 7)),
        ("Australia/Lord_Howe", (2030, 10, 6)),
        ("Africa/Cairo", (2030, 4, 26)),
        ("Pacific/Apia", (2011, 12, 30)),
    ],
)
@pytest.mark.parametrize("fields", ["*/20 30 {hours}", "5 */30 {hours}", "*/25 59,0 *", "1-59/29 0 {hours}"])
def test_seconds_are_met_too(
    recurrences: ReadRecurrences, zone: str, day: tuple[int, int, int], fields: str
) -> None:
    noon = datetime(*day, tzinfo=zone_named(zone)).astimezone(UTC)
    start, end = noon - timedelta(hours=1), noon + timedelta(hours=4)
    hours = {0, 1, 2, 3}
    expression = fields.format(hours="0-3") + " * * *"
    seconds, minutes, *_ = expression.split()
    sets = {
        "*/20": {0, 20, 40}, "5": {5}, "*/25": {0, 25, 50}, "1-59/29": {1, 30, 59},
        "30": {30}, "*/30": {0, 30}, "59,0": {59, 0}, "0": {0},
    }  # fmt: skip
    wild = "*/30" in expression or "59,0 *" in expression

    def matches(wall: datetime) -> bool:
        any_hour = "59,0 *" in expression
        return (
            wall.second in sets[seconds] and wall.minute in sets[minutes] and (any_hour or wall.hour in hours)
        )

    reading = Reading.ELAPSED if wild else Reading.FIXED
    expected = fires(watch(zone_named(zone), start, end, SECOND), matches, reading, SECOND)
    found: list[datetime] = []
    after: datetime | None = recurrences.next_after(Cron(expression), zone, start, start)
    while after is not None and after <= end:
        found.append(after)
        after = recurrences.next_after(Cron(expression), zone, start, after)
    assert found == expected


def test_a_day_that_a_country_skips_fires_once_when_it_is_over(recurrences: ReadRecurrences) -> None:
    # Samoa had no 30 December 2011.
    zone = zone_named("Pacific/Apia")
    start = datetime(2011, 12, 29, 12, tzinfo=zone).astimezone(UTC)
    found = list(recurrences.fire_times(Cron("0 8,20 * * *"), "Pacific/Apia", start, start, 4))
    assert [f"{instant.astimezone(zone):%d %H:%M}" for instant in found] == [
        "29 20:00",
        "31 00:00",
        "31 08:00",
        "31 20:00",
    ]


def test_an_interval_is_elapsed_time_in_every_zone(recurrences: ReadRecurrences) -> None:
    anchor = datetime(2030, 3, 30, 23, 7, 5, tzinfo=UTC)
    expected = [anchor + 90 * MINUTE * each for each in range(1, 21)]
    for zone in sorted(zone_names())[::40]:
        assert list(recurrences.fire_times(Every(90 * MINUTE), zone, anchor, anchor, 20)) == expected


@pytest.mark.parametrize(
    "recurrence",
    [
        Cron("*/15 * * * *"),
        Cron("0,30 1-3 * * *"),
        Cron("*/30 15 2 * * *"),
        RRule("FREQ=HOURLY;BYMINUTE=0,20"),
        RRule("FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,59"),
        Every(7 * MINUTE),
    ],
)
def test_fire_times_grow_and_are_whole_seconds_in_utc(
    recurrences: ReadRecurrences, recurrence: Recurrence
) -> None:
    for zone in ("Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll", "America/Havana", "Asia/Beirut"):
        for start in (datetime(2030, 3, 28, tzinfo=UTC), datetime(2030, 10, 24, tzinfo=UTC)):
            found = list(recurrences.fire_times(recurrence, zone, LONG_AGO, start, 300))
            assert all(earlier < later for earlier, later in pairwise([start, *found]))
            assert all(instant.microsecond == 0 and instant.tzinfo is UTC for instant in found)


def test_a_rule_that_only_ever_names_skipped_times_is_given_up(recurrences: ReadRecurrences) -> None:
    rule = RRule("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE=30")
    assert recurrences.next_after(rule, "Europe/Berlin", LONG_AGO, LONG_AGO) is None
    assert recurrences.next_after(rule, "Asia/Tokyo", LONG_AGO, LONG_AGO) is not None
