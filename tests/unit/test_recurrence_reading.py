"""Recurrences of every kind through one port: zones, anchors, bounds, and what hostile ones cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.schedules.ports import Recurrences
from domain.schedules.recurrence import MAX_TEXT, Cron, Every, Recurrence, RRule, anchor_of
from infra.recurrence.reading import ReadRecurrences
from infra.recurrence.zones import zone_named, zone_names
from tests.support.recurrences import instant, walls
from tests.support.steps import lines_run

NOW = instant("2030-01-01 12:34:56")
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
MOST_LINES = 60_000
"""About five milliseconds."""


@pytest.fixture
def recurrences() -> Recurrences:
    return ReadRecurrences()


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"]
)
def test_knows_the_zones_of_iana(recurrences: Recurrences, name: str) -> None:
    recurrences.check_zone(name)
    assert zone_named(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Berlin",
        "/usr/share/zoneinfo/Europe/Berlin",
        "../zoneinfo/UTC",
        "Europe/../UTC",
        "Europe",
        "Europe/",
        "Europe/Berlin\n",
        "Europe/Berlin\0",
        "right/Europe/Berlin",
        "posix/UTC",
        "posixrules",
        "localtime",
        "zone.tab",
        "Factory",
        "tzdata.zi",
        "__init__.py",
        "+02:00",
        "x" * 10_000,
    ],
)
def test_refuses_other_zones(recurrences: Recurrences, name: str) -> None:
    with pytest.raises(Invalid, match="is not an IANA time zone") as refusal:
        recurrences.check_zone(name)
    assert refusal.value.path == ("timeZone",)
    assert len(refusal.value.message) < 200
    with pytest.raises(Invalid):
        recurrences.check(Cron("@daily"), name, NOW, NOW)


def test_tells_how_a_zone_is_written(recurrences: Recurrences) -> None:
    with pytest.raises(Invalid, match="as IANA has them: Europe/Berlin"):
        recurrences.check_zone("europe/berlin")


def test_can_load_every_zone() -> None:
    assert len(zone_names()) > 500
    for name in zone_names():
        assert zone_named(name).utcoffset(NOW) is not None


def test_says_which_rules_of_zones_it_has(recurrences: Recurrences) -> None:
    year, number = recurrences.zone_database_version().split(".")
    assert int(year) >= 2026
    assert int(number) >= 1


@pytest.mark.parametrize("recurrence", [Cron("* * * * *"), RRule("FREQ=MINUTELY"), Every(timedelta(minutes=1))])
def test_nothing_fires_before_the_anchor_and_the_anchor_may(
    recurrences: Recurrences, recurrence: Recurrence
) -> None:
    anchor = instant("2031-01-01 00:00")
    assert list(recurrences.fire_times(recurrence, "UTC", anchor, NOW, 2)) == [
        anchor,
        anchor + timedelta(minutes=1),
    ]
    late = anchor + timedelta(milliseconds=5)
    for each in recurrences.fire_times(recurrence, "UTC", late, NOW, 2):
        assert each > late


@pytest.mark.parametrize("recurrence", [Cron("0 9 * * *"), RRule("FREQ=DAILY;BYHOUR=9;BYMINUTE=0"), Every(DAY)])
def test_the_instant_asked_from_is_not_an_answer(recurrences: Recurrences, recurrence: Recurrence) -> None:
    nine = instant("2030-01-02 09:00")
    anchor = nine - DAY
    assert recurrences.next_after(recurrence, "UTC", anchor, nine) == nine + DAY
    assert recurrences.next_after(recurrence, "UTC", anchor, nine - timedelta(microseconds=1)) == nine


@given(
    interval=st.timedeltas(SECOND, 500 * DAY).map(lambda each: each // SECOND * SECOND),
    anchor=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  Hypothesis adds the zone
    later=st.timedeltas(-DAY, 9_000 * DAY),
)  # fmt: skip
def test_an_interval_is_counted_from_the_anchor(
    interval: timedelta, anchor: datetime, later: timedelta
) -> None:
    after = anchor + later
    found = Every(interval).next_after(anchor, after)
    start = anchor.replace(microsecond=0)
    assert found > after
    assert (found - start) % interval == timedelta(0)
    assert found == start or found - interval <= after


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        (timedelta(0), "at least one second"),
        (timedelta(seconds=-5), "at least one second"),
        (timedelta(milliseconds=999), "at least one second"),
        (timedelta(seconds=1.5), "whole seconds"),
        (timedelta(days=3_000), "at most eight years"),
        (timedelta.max, "eight years|whole seconds"),
    ],
)
def test_refuses_intervals(recurrences: Recurrences, interval: timedelta, told: str) -> None:
    with pytest.raises(Invalid, match=told) as refusal:
        recurrences.check(Every(interval), "UTC", NOW, NOW)
    assert refusal.value.path == ("every",)


def test_a_refusal_comes_before_the_first_fire_time(recurrences: Recurrences) -> None:
    with pytest.raises(Invalid):
        recurrences.fire_times(Cron("nonsense"), "UTC", NOW, NOW, 5)


def test_a_rule_without_a_start_begins_at_a_whole_minute() -> None:
    assert anchor_of(RRule("FREQ=DAILY"), None, NOW) == instant("2030-01-01 12:34")
    assert anchor_of(Every(DAY), None, NOW + timedelta(milliseconds=3)) == NOW
    start = NOW + timedelta(milliseconds=3)
    assert anchor_of(RRule("FREQ=DAILY"), start, NOW) == NOW


@pytest.mark.parametrize(
    ("recurrence", "words"),
    [
        (Every(SECOND), "Every second"),
        (Every(timedelta(seconds=90)), "Every 90 seconds"),
        (Every(timedelta(minutes=90)), "Every 90 minutes"),
        (Every(timedelta(hours=1)), "Every hour"),
        (Every(2 * DAY), "Every 2 days"),
        (Cron("@hourly"), "At the start of every hour"),
        (RRule("FREQ=DAILY"), "Every day"),
    ],
)
def test_says_it_in_words(recurrences: Recurrences, recurrence: Recurrence, words: str) -> None:
    assert recurrences.describe(recurrence) == words


@pytest.mark.parametrize("recurrence", [Cron("@daily"), RRule("FREQ=DAILY;COUNT=3"), Every(DAY)])
@pytest.mark.parametrize("edge", [datetime.min, datetime.max])  # noqa: DTZ901  a zone is added
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_edges_of_the_calendar_are_refused(
    recurrences: Recurrences, recurrence: Recurrence, edge: datetime, zone: str
) -> None:
    far = edge.replace(tzinfo=UTC)
    with pytest.raises(Invalid, match="It must begin from 1900 to 2199"):
        recurrences.check(recurrence, zone, far, NOW)
    assert recurrences.next_after(recurrence, zone, NOW, datetime.max.replace(tzinfo=UTC)) is None
    recurrences.next_after(recurrence, zone, NOW, datetime.min.replace(tzinfo=UTC))


def test_what_it_remembers_is_bounded_and_changes_nothing() -> None:
    forgetful, remembering = ReadRecurrences(remembered=1), ReadRecurrences()
    several: list[Recurrence] = [
        Cron("*/7 * * * *"),
        RRule("FREQ=HOURLY;COUNT=9"),
        RRule("FREQ=DAILY"),
        Cron("@daily"),
    ]
    after = NOW
    for _ in range(10):
        for each in several:
            expected = forgetful.next_after(each, "Europe/Berlin", NOW, after)
            assert remembering.next_after(each, "Europe/Berlin", NOW, after) == expected
        after += timedelta(minutes=50)


LONG_LIST = ",".join(map(str, range(60)))
HOSTILE = [
    Cron("0 0 */31 * MON#2"),
    Cron("0 0 * 2 MON#5"),
    Cron("59 59 23 31 12 *"),
    Cron("59 59 23 29 2 *"),
    Cron("0 0 31W 2 *"),
    Cron("*/5 2 * 3 0L"),
    Cron(",".join(["*"] * 240) + " * * * *"),
    Cron("/".join(["*"] * 240) + " * * * *"),
    Cron("9" * 500 + " * * * *"),
    Cron("1-" * 250 + " * * * *"),
    Cron("L" * 250 + " " + "W" * 250),
    Cron("* " * 10_000),
    Cron("@" * 500),
    RRule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"),
    RRule("FREQ=HOURLY;BYMONTHDAY=31;BYYEARDAY=1"),
    RRule("FREQ=MINUTELY;BYYEARDAY=1;BYMONTHDAY=31"),
    RRule("FREQ=MINUTELY;INTERVAL=14;BYMINUTE=" + ",".join(map(str, range(1, 60, 2)))),
    RRule("FREQ=MINUTELY;INTERVAL=7;BYDAY=TU;BYHOUR=3;BYMINUTE=5"),
    RRule("FREQ=MINUTELY;INTERVAL=1439;BYDAY=TU;BYYEARDAY=366"),
    RRule("FREQ=MINUTELY;INTERVAL=1441;BYHOUR=5;BYMINUTE=5;BYDAY=TU;BYYEARDAY=366"),
    RRule("FREQ=HOURLY;INTERVAL=70000;BYHOUR=5"),
    RRule("FREQ=YEARLY;BYDAY=53MO;BYYEARDAY=1"),
    RRule("FREQ=YEARLY;BYDAY=53MO,53TU,53WE,53TH,53FR;BYSETPOS=-366,366"),
    RRule(f"FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYMINUTE={LONG_LIST};BYSETPOS=-366,366"),
    RRule("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE=" + ",".join(map(str, range(30)))),
    RRule("FREQ=WEEKLY;BYMONTH=2;BYDAY=MO;BYSETPOS=7"),
    RRule("FREQ=DAILY;BYHOUR=1;BYSETPOS=2"),
    RRule("DTSTART:20280101T000000\nFREQ=MINUTELY;COUNT=10000"),
    RRule("DTSTART:20280101T000000\nFREQ=MINUTELY;INTERVAL=1439;COUNT=10000"),
    RRule("DTSTART:20280101T000000\nFREQ=MINUTELY;BYHOUR=2;BYDAY=SU;COUNT=10000"),
    RRule("DTSTART:20280329T000000\nFREQ=MINUTELY;COUNT=10000"),
    RRule("DTSTART:19000101T000000\nFREQ=MINUTELY;INTERVAL=7"),
    RRule("FREQ=DAILY\nEXDATE:" + ",".join(f"203001{day:02}" for day in range(1, 32))),
    RRule("FREQ=MINUTELY\nEXDATE:" + ",".join(f"203001{day:02}" for day in range(1, 32))),
    RRule("FREQ=MINUTELY\nEXDATE:" + ",".join(f"20300101T13{minute:02}00" for minute in range(28))),
    RRule(";" * 512),
    RRule("\n" * 512),
    RRule("FREQ=DAILY;BYHOUR=" + "," * 480),
    RRule("FREQ=DAILY;BYDAY=" + "MO," * 150),
    RRule("FREQ=DAILY;" * 40),
    RRule("EXDATE:" + "2030" * 120),
    RRule("X" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize("recurrence", HOSTILE, ids=lambda each: str(each)[:60])
def test_a_hostile_recurrence_costs_a_bounded_number_of_steps(recurrence: Recurrence) -> None:
    recurrences = ReadRecurrences()
    zone_named("Europe/Berlin")

    def check() -> None:
        try:
            recurrences.check(recurrence, "Europe/Berlin", NOW, NOW)
        except Invalid as refusal:
            refused.append(refusal)

    refused: list[Invalid] = []
    assert lines_run(check) < MOST_LINES
    assert all(len(each.message) < MAX_TEXT for each in refused)


def test_an_old_anchor_costs_no_more_than_a_new_one(recurrences: Recurrences) -> None:
    for text in (
        "FREQ=MINUTELY;INTERVAL=7",
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=WEEKLY",
        "FREQ=MONTHLY",
        "FREQ=YEARLY",
    ):
        costs = [
            lines_run(lambda: recurrences.next_after(RRule(text), "UTC", NOW - age * DAY, NOW))  # noqa: B023  called at once
            for age in (1, 30 * 365)
        ]
        assert costs[1] < costs[0] * 2 + 500


def test_counting_goes_on_from_where_it_was(recurrences: Recurrences) -> None:
    rule = RRule("FREQ=DAILY;COUNT=2000")
    anchor = NOW - 700 * DAY
    first = lines_run(lambda: recurrences.next_after(rule, "UTC", anchor, NOW))
    second = lines_run(lambda: recurrences.next_after(rule, "UTC", anchor, NOW + DAY))
    assert second < first / 10


def test_cron_and_rule_agree_on_ordinary_days() -> None:
    assert walls(Cron("30 9 * * MON-FRI"), "2030-01-01 00:00", 40, zone="Europe/Berlin") == walls(
        RRule("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=30"),
        "2030-01-01 00:00",
        40,
        zone="Europe/Berlin",
    )
